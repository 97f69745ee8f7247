//! A TCP connection to a host, or why there is none.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use vitald_core::probe::ProbeResult;
use vitald_core::wording::{LOCALHOST, connect_failure, is_ours, resolve_failure};

/// Why there is no connection: in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoConnection {
    /// The other side does not answer, or there is none.
    Refused(String),
    /// It was not asked for a shortage of our own, in which it has no part: see [`is_ours`].
    Shortage(String),
}

impl NoConnection {
    fn new(err: &io::Error, reason: String) -> Self {
        if is_ours(err) { Self::Shortage(reason) } else { Self::Refused(reason) }
    }
}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) | Self::Shortage(reason) => f.write_str(reason),
        }
    }
}

impl Error for NoConnection {}

/// What it means where a connection is all that was asked for.
impl From<NoConnection> for ProbeResult {
    fn from(none: NoConnection) -> Self {
        match none {
            NoConnection::Refused(reason) => Self::Failure(reason),
            NoConnection::Shortage(reason) => Self::Unknown(reason),
        }
    }
}

/// What a host name or an IP address stands for, in the order of preference. `localhost` is [`LOCALHOST`],
/// whatever the machine's hosts file says.
///
/// # Errors
/// The name is not known, or could not be looked up.
pub async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, NoConnection> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(LOCALHOST.map(|address| (address, port).into()).to_vec());
    }
    let found = lookup_host((host, port)).await.map_err(|err| {
        let err = shortage().unwrap_or(err);
        NoConnection::new(&err, resolve_failure(&err, host))
    })?;
    let found: Vec<_> = found.collect();
    match found.is_empty() {
        true => Err(NoConnection::Refused(format!("host `{host}` has no address"))),
        false => Ok(found),
    }
}

/// What a lookup without a descriptor ends in reads like a name that does not exist: so this tries to get one.
fn shortage() -> Option<io::Error> {
    File::open("/dev/null").err().filter(is_ours)
}

/// Connects to the first of a host's addresses that accepts, tried in turn.
///
/// # Errors
/// None accepts: says what the first of them answered.
pub async fn connect(host: &str, port: u16) -> Result<TcpStream, NoConnection> {
    let addresses = addresses(host, port).await?;
    let mut first_error = None;
    for address in &addresses {
        match TcpStream::connect(address).await.and_then(accepted) {
            Ok(stream) => return Ok(stream),
            Err(err) => first_error = first_error.or(Some(err)),
        }
    }
    let err = first_error.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    let tried: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    Err(NoConnection::new(&err, connect_failure(&err, host, port, &tried)))
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

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn a_connection_to_itself_counts_as_refused() -> io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((LOCALHOST[0], 0).into())?;
        let address = socket.local_addr()?;
        let met_itself = accepted(socket.connect(address).await?).map_err(|err| err.kind());
        assert_eq!(met_itself.err(), Some(io::ErrorKind::ConnectionRefused));

        let listener = TcpListener::bind((LOCALHOST[0], 0)).await?;
        accepted(TcpStream::connect(listener.local_addr()?).await?).map(drop)
    }
}
