//! vitald probe: memory.
