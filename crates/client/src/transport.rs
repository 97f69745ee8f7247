//! HTTP over the Unix socket, one connection a request.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use vitald_core::status::ApiError;

use crate::error::Error;

/// How long a supervisor that is there may take to accept a connection and to begin a stream.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look whether one has ended that closed a connection, and how long to wait in between.
const GOODBYES: u32 = 10;
const GOODBYE: Duration = Duration::from_millis(20);

/// The way to one socket.
#[derive(Debug)]
pub(crate) struct Transport {
    state_dir: PathBuf,
    /// The state dir, kept open: by way of it the socket is reached however long its path is. An address
    /// holds 108 bytes (sun_path, unix(7)).
    folder: OwnedFd,
}

impl Transport {
    pub(crate) fn open(state_dir: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(state_dir, flags, Mode::empty())
            .map_err(|err| connect_error(state_dir, err.into(), "there is no such folder"))?;
        Ok(Self { state_dir: state_dir.to_owned(), folder })
    }

    /// Whether somebody listens.
    pub(crate) async fn reach(&self) -> Result<(), Error> {
        self.connect().await.map(drop)
    }

    /// Sends a request, and reads the answer. `limit` is for all of it.
    pub(crate) async fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        limit: Option<Duration>,
    ) -> Result<A, Error> {
        let answer = async { read(self.send(method, path, body).await?).await };
        let answer = self.within(limit, answer).await;
        Ok(serde_json::from_slice(&self.explained(answer).await?)?)
    }

    /// Sends a request whose answer has nothing to say but that it was taken.
    pub(crate) async fn tell(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        let answer = async { read(self.send(Method::POST, path, Some(body)).await?).await };
        let answer = self.within(limit, answer).await;
        self.explained(answer).await.map(drop)
    }

    /// Tells a supervisor that ended before it had answered from one that cannot be asked.
    async fn explained<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        let Err(Error::Transport(why)) = answer else { return answer };
        // One that is killed closes its connections a moment before its socket, or after.
        for _ in 0..GOODBYES {
            if let Err(Error::NoSupervisor { .. }) = self.reach().await {
                let reason = "it ended before it had answered";
                return Err(Error::NoSupervisor { state_dir: self.state_dir.clone(), reason });
            }
            tokio::time::sleep(GOODBYE).await;
        }
        Err(Error::Transport(why))
    }

    /// Begins to read an answer that may have no end.
    pub(crate) async fn stream(&self, path: &str) -> Result<Incoming, Error> {
        let response = self.within(Some(PATIENCE), self.send(Method::GET, path, None::<&()>)).await?;
        match response.status().is_success() {
            true => Ok(response.into_body()),
            false => Err(refusal(response).await),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Response<Incoming>, Error> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "vitald")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::<Bytes>::from(body))
            .map_err(|err| Error::Transport(err.into()))?;

        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends by itself once the response has been read or dropped.
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    }

    /// Waits for `work`, but no longer than `limit`.
    pub(crate) async fn within<T>(
        &self,
        limit: Option<Duration>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let silent = || Error::Silent { state_dir: self.state_dir.clone() };
        match limit {
            Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(silent())),
            None => work.await,
        }
    }

    async fn connect(&self) -> Result<UnixStream, Error> {
        let path = format!("/proc/self/fd/{}/vitald.sock", self.folder.as_raw_fd());
        self.within(Some(PATIENCE), async {
            UnixStream::connect(path)
                .await
                .map_err(|err| connect_error(&self.state_dir, err, "it has no control socket"))
        })
        .await
    }
}

/// Tells "nobody is there" from "it cannot be reached".
fn connect_error(state_dir: &Path, err: io::Error, not_found: &'static str) -> Error {
    let reason = match err.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_found,
        io::ErrorKind::ConnectionRefused => "nobody listens on its control socket",
        _ => return Error::Transport(err.into()),
    };
    Error::NoSupervisor { state_dir: state_dir.to_owned(), reason }
}

async fn read(response: Response<Incoming>) -> Result<Bytes, Error> {
    match response.status().is_success() {
        true => Ok(response.into_body().collect().await?.to_bytes()),
        false => Err(refusal(response).await),
    }
}

async fn refusal(response: Response<Incoming>) -> Error {
    let status = response.status();
    match response.into_body().collect().await {
        Ok(body) => Error::Refused {
            status: status.as_u16(),
            message: serde_json::from_slice::<ApiError>(&body.to_bytes())
                .map_or_else(|_| format!("the supervisor answers {status}"), |answer| answer.error),
        },
        Err(err) => err.into(),
    }
}

/// Makes any name a part of a path: percent-encoding, RFC 3986.
pub(crate) fn escape(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
