//! Under vitald: what others start, found by pid file or port.
