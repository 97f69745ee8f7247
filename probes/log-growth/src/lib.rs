//! vitald probe: logGrowth.
