//! The Docker engine: where it is, and how it is asked.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use tokio::time::timeout;
use vitald_core::restarter::StartError;

/// Where an engine is unless DOCKER_HOST says otherwise.
const DEFAULT: &str = "unix:///var/run/docker.sock";

/// How long a connection may take to give a first answer, in seconds; removing a large container takes its time.
const ANSWER_WITHIN: u64 = 120;

/// How long a question may take that is answered from what the engine knows.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long something may take that the engine has to do.
pub(crate) const LATER: Duration = Duration::from_secs(120);

/// The first and the longest pause before an engine that is away is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The engine that DOCKER_HOST names.
pub(crate) struct Engine {
    address: String,
    client: Mutex<Option<Docker>>,
}

/// Why the engine gave no answer, or not the one that was hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EngineError {
    /// It cannot be reached.
    Away { address: String, reason: String },
    /// It said no: the HTTP status and its words.
    Refused { status: u16, message: String },
}

impl EngineError {
    /// Whether there is no such container, image or command.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether it is in the way of something that is there or under way.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// As a reason why a run did not begin.
    pub(crate) fn at(self, doing: &str) -> StartError {
        StartError::System { doing: doing.to_owned(), reason: self.to_string() }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away { address, reason } => write!(
                f,
                "the Docker engine at {address} cannot be reached: {reason}; is it running, and may this user \
                 reach it? DOCKER_HOST names another one"
            ),
            Self::Refused { message, .. } => f.write_str(message.trim_end()),
        }
    }
}

impl Engine {
    /// The one that our environment names.
    pub(crate) fn of_environment() -> Self {
        let named = std::env::var("DOCKER_HOST").ok().filter(|named| !named.is_empty());
        Self::at(named.unwrap_or_else(|| DEFAULT.to_owned()))
    }

    /// The one at this address: `unix://PATH` or `tcp://HOST:PORT`.
    pub(crate) fn at(address: String) -> Self {
        Self { address, client: Mutex::default() }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A client that speaks the version of the API that both know.
    pub(crate) async fn client(&self) -> Result<Docker, EngineError> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(client) = known {
            return Ok(client);
        }
        let client = self.connect()?;
        let client = match timeout(SOON, client.negotiate_version()).await {
            Ok(client) => client.map_err(|err| self.failure(err))?,
            Err(_) => return Err(self.away("it gives no answer".into())),
        };
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    /// Asks, and waits so long for an answer.
    pub(crate) async fn ask<T, F>(
        &self,
        patience: Duration,
        question: impl FnOnce(Docker) -> F + Send,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let client = self.client().await?;
        match timeout(patience, question(client)).await {
            Ok(answer) => answer.map_err(|err| self.failure(err)),
            Err(_) => Err(self.away(format!("no answer within {} s", patience.as_secs()))),
        }
    }

    /// What a client's error means.
    pub(crate) fn failure(&self, err: Error) -> EngineError {
        match err {
            Error::DockerResponseServerError { status_code, message } => {
                EngineError::Refused { status: status_code, message }
            }
            Error::DockerStreamError { error } => EngineError::Refused { status: 500, message: error },
            // Another kind of engine, or a much newer one.
            err @ Error::JsonDataError { .. } => {
                EngineError::Refused { status: 500, message: format!("its answer is not understood: {err}") }
            }
            err => self.away(innermost(&err)),
        }
    }

    /// It cannot be reached: whoever asks next connects anew.
    pub(crate) fn away(&self, reason: String) -> EngineError {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).take();
        EngineError::Away { address: self.address.clone(), reason }
    }

    fn connect(&self) -> Result<Docker, EngineError> {
        let version = bollard::API_DEFAULT_VERSION;
        let client = match self.address.split_once("://") {
            Some(("unix", path)) if !std::path::Path::new(path).exists() => {
                return Err(self.away("there is no such socket".into()));
            }
            Some(("unix", path)) => Docker::connect_with_unix(path, ANSWER_WITHIN, version),
            Some(("tcp" | "http", _))
                if std::env::var_os("DOCKER_TLS_VERIFY").is_some_and(|wanted| !wanted.is_empty()) =>
            {
                return Err(self.away("TLS (DOCKER_TLS_VERIFY) is not supported".into()));
            }
            Some(("tcp" | "http", _)) => Docker::connect_with_http(&self.address, ANSWER_WITHIN, version),
            _ => {
                return Err(self.away("only unix:// and tcp:// are supported".into()));
            }
        };
        client.map_err(|err| self.away(innermost(&err)))
    }
}

/// The reason at the bottom of it: the outer ones only say that a request failed.
fn innermost(err: &Error) -> String {
    let mut innermost: &dyn std::error::Error = err;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Ever longer pauses while an engine is away.
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_is_away_is_told_with_its_address_and_what_to_do() {
        for (address, why) in [
            ("unix:///nowhere/docker.sock", "there is no such socket"),
            ("tcp://127.0.0.1:1", "refused"),
            ("ssh://somewhere", "only unix:// and tcp://"),
        ] {
            let engine = Engine::at(address.to_owned());
            let err = engine.ask(SOON, |docker| async move { docker.ping().await }).await.unwrap_err();
            let text = err.to_string();
            assert!(err.is_away() && text.contains(address) && text.contains("DOCKER_HOST"), "{text}");
            assert!(text.contains(why), "{text}");
        }
    }
}
