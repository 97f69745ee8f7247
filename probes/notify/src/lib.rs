//! vitald probe: notify.
