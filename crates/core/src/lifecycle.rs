//! Component policy: when to start, probe, stop and restart.
pub mod backoff;
