//! What probes that speak over a network share: the way to a connection, TLS with whoever answers, and what a
//! failed gRPC call comes to. What is spoken over it, and what an answer means, is the probe's own.
//!
//! **Invariant:** nothing here has a deadline. Whoever checks has one, and drops what is under way.

pub mod connection;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "tls")]
pub mod tls;
