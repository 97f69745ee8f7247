//! A TCP connection to the frontend, and what its errors say.

use std::error::Error;
use std::fs::File;
use std::io;
use std::net::IpAddr;

use tokio::net::{TcpStream, lookup_host};
use vitald_core::wording::{LOCALHOST, connect_failure, is_ours, resolve_failure, system_error};

use crate::frontend::NoAnswer;

/// Tries the addresses of `host` in turn; where none accepts, says what the first one answered.
pub(crate) async fn connect(host: &str, port: u16) -> Result<TcpStream, NoAnswer> {
    let unanswered = |err: &io::Error, reason| match is_ours(err) {
        true => NoAnswer::NotAsked(reason),
        false => NoAnswer::Unavailable(reason),
    };
    let addresses: Vec<IpAddr> = if host.eq_ignore_ascii_case("localhost") {
        LOCALHOST.to_vec()
    } else {
        let found = lookup_host((host, port)).await.map_err(|err| {
            let err = shortage().unwrap_or(err);
            unanswered(&err, resolve_failure(&err, host))
        })?;
        found.map(|address| address.ip()).collect()
    };
    let mut first_error = None;
    for address in &addresses {
        match TcpStream::connect((*address, port)).await.and_then(accepted) {
            Ok(stream) => return Ok(stream),
            Err(err) => first_error = first_error.or(Some(err)),
        }
    }
    Err(match first_error {
        Some(err) => unanswered(&err, connect_failure(&err, host, port, &addresses)),
        None => NoAnswer::Unavailable(format!("host `{host}` has no address")),
    })
}

/// What a lookup without a descriptor ends in reads like a name that does not exist: so this tries to get one.
fn shortage() -> Option<io::Error> {
    File::open("/dev/null").err().filter(is_ours)
}

/// A port that nothing listens on may be chosen as the connection's own, which then meets itself.
fn accepted(stream: TcpStream) -> io::Result<TcpStream> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    // Else a request waits for the other side's delayed acknowledgement of what came before, some 40 ms.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The error and all that it came from, outermost first.
pub(crate) fn chain<'a>(err: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(err), |&err| err.source())
}

pub(crate) fn innermost(err: &(dyn Error + 'static)) -> String {
    let err = chain(err).last().unwrap_or(err);
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

pub(crate) const CLOSED: &str = "the server closed the connection";
