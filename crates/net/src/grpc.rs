//! gRPC over one connection, and what its errors say.

use std::error::Error;
use std::future::ready;
use std::io;

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, TimeoutExpired};
use vitald_core::wording::{host_port, system_error};

use crate::causes;
use crate::connection::{NoConnection, connect};

/// What a call ended in that no server has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// Nothing came within the call's deadline. tonic keeps it, too, and may be ahead of the caller by a hair.
    Late,
    /// What answers speaks no gRPC, or has gone: in one sentence.
    NoGrpc(String),
}

/// A channel of one connection, opened here; when it closes there is no other.
///
/// # Errors
/// There is no connection, or whoever accepted it speaks no HTTP/2, or no TLS where the endpoint asks for it.
pub async fn channel(endpoint: &Endpoint, host: &str, port: u16) -> Result<Channel, NoConnection> {
    let mut stream = Some(TokioIo::new(connect(host, port).await?));
    let only_once = tower::service_fn(move |_| ready(stream.take().ok_or_else(|| io::Error::other(CLOSED))));
    let connected = endpoint.connect_with_connector(only_once).await;
    connected.map_err(|err| NoConnection::Refused(no_grpc(&host_port(host, port), &innermost(&err))))
}

/// Tells a status that the library has made up from one that `server` has sent. `None` for the latter.
pub fn no_answer(server: &str, status: &Status) -> Option<NoAnswer> {
    // A 404 becomes `Unimplemented`, though nothing there speaks gRPC.
    const MADE_UP: &str = "mapped from HTTP status code ";
    if causes(status).any(|err| err.is::<TimeoutExpired>()) {
        return Some(NoAnswer::Late);
    }
    let why = match status.message().split_once(MADE_UP) {
        _ if status.source().is_some() => innermost(status),
        Some((_, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("it answers HTTP {number}")
        }
        Some(_) | None => return None,
    };
    Some(NoAnswer::NoGrpc(no_grpc(server, &why)))
}

fn no_grpc(server: &str, why: &str) -> String {
    format!("no gRPC at {server}: {why}")
}

/// The innermost cause that a person can act on.
pub fn innermost(err: &(dyn Error + 'static)) -> String {
    let err = causes(err).last().unwrap_or(err);
    match err.downcast_ref::<io::Error>() {
        Some(err) if err.kind() == io::ErrorKind::BrokenPipe => CLOSED.to_owned(),
        Some(err) => system_error(err),
        // `HTTP/1.1 400`, read as a frame of HTTP/2, is one of 4,740,180 bytes.
        None if err.to_string().contains("frame with invalid size") => {
            "the server does not speak HTTP/2".into()
        }
        None => err.to_string(),
    }
}

const CLOSED: &str = "the server closed the connection";
