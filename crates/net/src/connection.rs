//! A TCP connection to a host, or why there is none.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
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

/// Whether something can be looked up at all: an IP address, that of one link with its `%interface`, or what has
/// none of the signs that stand beside a host in an address or a URL.
///
/// ```
/// use vitald_net::connection::is_host;
///
/// assert!(["db.example", "my_host", "::1", "fe80::1%eth0"].iter().all(|host| is_host(host)));
/// assert!(!["", "a b", "a:80", "[::1]", "http://a", "u@h"].iter().any(|host| is_host(host)));
/// ```
pub fn is_host(text: &str) -> bool {
    let is_sign = |c: char| c.is_whitespace() || c.is_control() || ":/?#@[]\\%".contains(c);
    let is_link = |(address, link): (&str, &str)| {
        address.parse::<Ipv6Addr>().is_ok() && !link.is_empty() && !link.contains(is_sign)
    };
    let is_address = text.parse::<IpAddr>().is_ok() || text.split_once('%').is_some_and(is_link);
    is_address || !(text.is_empty() || text.contains(is_sign))
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

/// How long an address may keep silent before the next one is tried beside it: RFC 8305, Go and so the kubelet.
const HEAD_START: Duration = Duration::from_millis(300);

/// Connects to the first of a host's addresses that accepts. They are tried in turn; one that only keeps silent
/// does not hold up the others.
///
/// # Errors
/// None accepts: says what the first of them answered.
pub async fn connect(host: &str, port: u16) -> Result<TcpStream, NoConnection> {
    let addresses = addresses(host, port).await?;
    let (mut ahead, mut under_way) = (addresses.iter().enumerate(), FuturesUnordered::new());
    let mut errors = Vec::new();
    loop {
        if let Some((nth, address)) = ahead.next() {
            under_way.push(async move { (nth, TcpStream::connect(address).await.and_then(accepted)) });
        }
        let patience = if ahead.len() > 0 { HEAD_START } else { Duration::MAX };
        match timeout(patience, under_way.next()).await {
            Err(_silent) => {}
            Ok(Some((_, Ok(stream)))) => return Ok(stream),
            Ok(Some((nth, Err(err)))) => errors.push((nth, err)),
            Ok(None) => break,
        }
    }
    let first = errors.into_iter().min_by_key(|(nth, _)| *nth);
    let err = first.map_or_else(|| io::ErrorKind::AddrNotAvailable.into(), |(_, err)| err);
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
    use std::future::Future;
    use std::net::SocketAddrV6;

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

    /// A listener that takes no more connections: an attempt to open one is left without an answer.
    async fn keep_silent(socket: TcpSocket) -> io::Result<(TcpListener, Vec<TcpStream>)> {
        let listener = socket.listen(1)?;
        let mut waiting = Vec::new();
        while let Some(stream) = soon(TcpStream::connect(listener.local_addr()?)).await {
            waiting.push(stream?);
        }
        Ok((listener, waiting))
    }

    /// `None` where nothing comes of it in a second.
    async fn soon<T>(what: impl Future<Output = T>) -> Option<T> {
        timeout(Duration::from_secs(1), what).await.ok()
    }

    #[tokio::test]
    async fn an_address_that_keeps_silent_does_not_hold_up_the_next() -> io::Result<()> {
        let mut answering = match TcpListener::bind((LOCALHOST[1], 0)).await {
            Ok(listener) => listener,
            Err(err) => {
                assert!(std::env::var_os("CI").is_none(), "skipped: no IPv6: {err}");
                println!("skipped: no IPv6: {err}");
                return Ok(());
            }
        };
        let mut silent = TcpSocket::new_v4()?;
        while silent.bind((LOCALHOST[0], answering.local_addr()?.port()).into()).is_err() {
            answering = TcpListener::bind((LOCALHOST[1], 0)).await?;
            silent = TcpSocket::new_v4()?;
        }
        let port = answering.local_addr()?.port();
        let (_silent, _waiting) = keep_silent(silent).await?;
        assert!(soon(connect("127.0.0.1", port)).await.is_none(), "it keeps silent");

        let connected = timeout(Duration::from_secs(20), connect("localhost", port)).await?;
        let peer = connected.map(|stream| stream.peer_addr().map(|peer| peer.ip()).ok());
        assert_eq!(peer, Ok(Some(LOCALHOST[1])));
        Ok(())
    }

    #[tokio::test]
    async fn an_address_of_one_link_stays_on_it() {
        // `lo` is the first interface of every machine.
        let expected = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 1);
        assert_eq!(addresses("fe80::1%lo", 80).await, Ok(vec![expected.into()]));
    }
}
