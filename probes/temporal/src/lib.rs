//! vitald probe: temporal.
