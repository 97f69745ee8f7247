//! What probes that speak over a network share: the way to a connection, TLS with whoever answers, and what a
//! failed gRPC call comes to. What is spoken over it, and what an answer means, is the probe's own.
//!
//! **Invariant:** nothing here has a deadline. Whoever checks has one, and drops what is under way.

use std::error::Error;

pub mod connection;
#[cfg(feature = "tonic")]
pub mod grpc;
#[cfg(feature = "rustls")]
pub mod tls;

/// How a probe introduces itself. It begins as the kubelet's does: servers tell probes from other callers by it.
pub const USER_AGENT: &str = concat!("kube-probe/1.37 (vitald ", env!("CARGO_PKG_VERSION"), ")");

/// An error and all that it came from, outermost first.
pub fn causes<'a>(err: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(err), |&err| err.source())
}
