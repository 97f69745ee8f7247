//! A library of probes in this process.
