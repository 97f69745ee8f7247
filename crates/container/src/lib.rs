//! Docker containers under vitald: create, watch, stop, log.
