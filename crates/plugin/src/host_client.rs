//! A library in a process of its own: what asks it, from anywhere in this process.
//!
//! One task ([`Actor`](actor::Actor)) holds the process. It starts one when it is asked something, and replaces it when
//! it has ended. Everybody else sends messages to that task, and waits: with a limit of its own, or for as long as
//! a future is polled.

mod actor;
mod book;
mod connection;
mod due;
mod words;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use vitald_core::notify::RunNeeds;
use vitald_core::probe::ProbeResult;
use vitald_sdk::message::{BuildRequest, CheckRequest, NeedsRequest, ServiceAnswer, ServiceRequest};

use crate::child::Living;
use crate::host::Limits;
use crate::library::{CallError, Services};
use crate::mark::Mark;
use crate::model::{HostCommand, Notice, NoticeKind, Tell};
use crate::wire::{self, Hello};

/// What ends a process this soon has crashed it; what hangs takes longer.
const SOON: Duration = Duration::from_secs(1);
/// More than any limit of the task, so that its sentences are heard.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a library is, and what is known of it.
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    /// The file that was looked at; no other is started.
    pub(crate) mark: Mark,
    /// What its process is started with.
    pub(crate) command: HostCommand,
    /// What its process may use.
    pub(crate) limits: Limits,
    /// Those that are there.
    pub(crate) children: Arc<Living>,
    /// Is told what people should hear of.
    pub(crate) tell: Tell,
    /// What it has said of itself.
    pub(crate) hello: OnceLock<Hello>,
}

impl Place {
    /// Its name; before that is known, what its file is named.
    pub(crate) fn name(&self) -> String {
        match self.hello.get() {
            Some(hello) => hello.about.name.clone(),
            None => self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }

    /// `the host of disk-space (FILE)`.
    pub(crate) fn host(&self) -> String {
        match self.hello.get() {
            Some(hello) => format!("the host of {} ({})", hello.about.name, self.file.display()),
            None => format!("the host of {}", self.file.display()),
        }
    }

    pub(crate) fn tell(&self, kind: NoticeKind, text: String) {
        (self.tell)(Notice { file: self.file.clone(), library: self.name(), kind, text });
    }
}

/// Takes an answer, wherever its asker waits.
pub(crate) type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// Why a call came to nothing.
#[derive(Debug, Clone, Error)]
pub(crate) enum CallFailure {
    /// The library said so.
    #[error("{0}")]
    Library(CallError),
    /// Its process has ended, was ended, or cannot be started: a whole sentence.
    #[error("{0}")]
    Host(String),
    /// It is not asked any more: a whole sentence.
    #[error("{0}")]
    Retired(String),
}

/// What the task is asked.
pub(crate) enum Ask {
    Hello {
        reply: Reply<Result<Hello, String>>,
    },
    Needs {
        id: u64,
        request: NeedsRequest,
        reply: Reply<Result<RunNeeds, CallFailure>>,
    },
    Validate {
        id: u64,
        request: Arc<BuildRequest>,
        reply: Reply<Result<(), CallFailure>>,
    },
    Check {
        id: u64,
        probe: (u64, Arc<BuildRequest>),
        request: CheckRequest,
        events: mpsc::Sender<CheckEvent>,
    },
    Cancel {
        id: u64,
    },
    Served {
        check: u64,
        id: u64,
        answer: ServiceAnswer,
    },
    Forget {
        probe: u64,
    },
    Retire,
}

/// What happens to a check.
pub(crate) enum CheckEvent {
    /// It asks for something.
    Serve { id: u64, request: ServiceRequest },
    /// And does not need it any more.
    Unserve { id: u64 },
    /// It has ended.
    Ended(Result<ProbeResult, CallFailure>),
}

/// A library in a process of its own. Its process ends with the last of this and its probes.
#[derive(Clone)]
pub(crate) struct HostClient {
    pub(crate) place: Arc<Place>,
    asks: mpsc::UnboundedSender<Ask>,
    next: Arc<AtomicU64>,
}

/// A probe in such a process, whichever process that is at the time.
pub(crate) struct HostedProbe {
    client: HostClient,
    id: u64,
    request: Arc<BuildRequest>,
}

impl HostClient {
    /// Nothing is started before something is asked.
    pub(crate) fn new(place: Arc<Place>, background: &Handle) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        background.spawn(actor::Actor::new(Arc::clone(&place), asked).run());
        Self { place, asks, next: Arc::default() }
    }

    /// Starts the process, for who will soon ask what the library says of itself.
    pub(crate) fn begin(&self) {
        let _ = self.asks.send(Ask::Hello { reply: Box::new(drop) });
    }

    /// What the library says of itself. Blocks until it has been said, ten seconds at most.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn hello(&self) -> Result<Hello, String> {
        self.wait(|reply| Ask::Hello { reply }).unwrap_or_else(|| Err(self.retired().to_string()))
    }

    /// What a run must be given. Blocks for a few seconds at most.
    pub(crate) fn needs(&self, request: NeedsRequest) -> Result<RunNeeds, CallFailure> {
        let id = self.id();
        self.wait(|reply| Ask::Needs { id, request, reply }).unwrap_or_else(|| Err(self.retired()))
    }

    /// Whether a probe can be built. Blocks for a few seconds at most.
    pub(crate) fn validate(&self, request: BuildRequest) -> Result<(), CallFailure> {
        let request = Arc::new(request);
        let since = Instant::now();
        match self.validate_once(&request) {
            // The process may have ended for another's fault; one that this ends, it ends again.
            Err(CallFailure::Host(_)) if since.elapsed() < SOON => self.validate_once(&request),
            answer => answer,
        }
    }

    fn validate_once(&self, request: &Arc<BuildRequest>) -> Result<(), CallFailure> {
        let (id, request) = (self.id(), Arc::clone(request));
        self.wait(|reply| Ask::Validate { id, request, reply }).unwrap_or_else(|| Err(self.retired()))
    }

    /// A probe, which is built when it is asked first.
    pub(crate) fn probe(&self, request: Arc<BuildRequest>) -> HostedProbe {
        HostedProbe { client: self.clone(), id: self.id(), request }
    }

    /// Begins nothing more: checks that are under way end, then the process does.
    pub(crate) fn retire(&self) {
        let _ = self.asks.send(Ask::Retire);
    }

    /// Blocks the thread, never a task's: the answer comes from a thread of its own.
    fn wait<T: Send + 'static>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Option<T> {
        let (answer, answers) = std::sync::mpsc::sync_channel(1);
        let reply = Box::new(move |value| drop(answer.send(value)));
        self.asks.send(ask(reply)).ok()?;
        answers.recv_timeout(PATIENCE).ok()
    }

    fn id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn retired(&self) -> CallFailure {
        CallFailure::Retired(format!("{} was put out of service", self.place.host()))
    }
}

impl HostedProbe {
    /// Whether it is held by this client.
    pub(crate) fn is_of(&self, client: &HostClient) -> bool {
        self.client.asks.same_channel(&client.asks)
    }

    /// Checks once. Dropping this cancels the check; a process that does not let go of it is ended.
    ///
    /// # Errors
    /// Why there was no check, or no end to it.
    pub(crate) async fn check(
        &self,
        request: CheckRequest,
        services: &dyn Services,
    ) -> Result<ProbeResult, CallFailure> {
        let id = self.client.id();
        let (events, mut happens) = mpsc::channel(2 * wire::MOST_SERVICES + 8);
        let probe = (self.id, Arc::clone(&self.request));
        let asks = &self.client.asks;
        if asks.send(Ask::Check { id, probe, request, events }).is_err() {
            return Err(self.client.retired());
        }
        let mut cancels = CancelsOnDrop { asks: Some(asks.clone()), id };
        let mut serving = FuturesUnordered::new();
        let mut aborts: HashMap<u64, AbortHandle> = HashMap::new();
        loop {
            tokio::select! {
                event = happens.recv() => match event {
                    Some(CheckEvent::Ended(answer)) => {
                        cancels.asks = None;
                        return answer;
                    }
                    Some(CheckEvent::Serve { id, request }) => {
                        let (served, abort) = abortable(services.serve(request));
                        aborts.insert(id, abort);
                        serving.push(async move { (id, served.await) });
                    }
                    Some(CheckEvent::Unserve { id }) => {
                        if let Some(abort) = aborts.remove(&id) {
                            abort.abort();
                        }
                    }
                    None => return Err(self.client.retired()),
                },
                Some((service, answer)) = serving.next(), if !serving.is_empty() => {
                    aborts.remove(&service);
                    if let Ok(answer) = answer {
                        let _ = asks.send(Ask::Served { check: id, id: service, answer });
                    }
                }
            }
        }
    }
}

impl Drop for HostedProbe {
    fn drop(&mut self) {
        let _ = self.client.asks.send(Ask::Forget { probe: self.id });
    }
}

struct CancelsOnDrop {
    asks: Option<mpsc::UnboundedSender<Ask>>,
    id: u64,
}

impl Drop for CancelsOnDrop {
    fn drop(&mut self) {
        if let Some(asks) = &self.asks {
            let _ = asks.send(Ask::Cancel { id: self.id });
        }
    }
}
