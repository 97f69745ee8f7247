//! The TCP port: it says back what it hears.

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::faults::Faults;

pub(crate) async fn serve(
    listener: TcpListener,
    faults: Faults,
    stopped: impl Future<Output = ()>,
) -> Result<()> {
    let mut stopped = std::pin::pin!(stopped);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tokio::spawn(echo(stream, faults.clone()));
            }
            () = &mut stopped => return Ok(()),
        }
    }
}

/// Until the other side has had enough; how a connection ends is its own business.
async fn echo(mut stream: TcpStream, faults: Faults) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        faults.before_answer().await;
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
