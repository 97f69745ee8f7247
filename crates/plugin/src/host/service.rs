//! What the process of a library does with what it is told.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;
use vitald_core::probe::ProbeResult;
use vitald_core::restarter::StartError;
use vitald_sdk::message::{BuildRequest, CheckRequest, ServiceAnswer, ServiceRequest};

use crate::library::{CallError, Instance, Library, Services};
use crate::model::About;
use crate::wire::{self, FromHost, Hello, ToHost};

/// Serves until the connection ends.
///
/// # Errors
/// What came cannot be understood: it is of no supervisor of our kind.
pub(super) async fn serve(socket: std::os::unix::net::UnixStream, file: &Path) -> io::Result<()> {
    let (reader, mut writer) = UnixStream::from_std(socket)?.into_split();
    let (say, mut said) = mpsc::unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        while let Some(line) = said.recv().await {
            if writer.write_all(&line).await.is_err() {
                return;
            }
        }
    });
    let host = Arc::new(Host { say, held: Mutex::default() });
    tokio::spawn(introduce(Arc::clone(&host), file.to_owned()));
    let mut lines = FramedRead::new(reader, wire::codec());
    while let Some(line) = lines.next().await {
        host.hear(serde_json::from_str(&line.map_err(io::Error::other)?)?);
    }
    Ok(())
}

async fn introduce(host: Arc<Host>, file: PathBuf) {
    let opened = tokio::task::spawn_blocking(move || {
        let library = Library::open(&file).map_err(|err| err.to_string())?;
        let about = About::from(library.info());
        let kinds =
            library.kinds().map_err(|err| format!("{}: its probes are not known: {err}", about.name))?;
        Ok((library, Hello { about, kinds }))
    });
    match opened.await.unwrap_or_else(|err| Err(err.to_string())) {
        Ok((library, hello)) => {
            host.held().library = Some(library);
            host.say(FromHost::Hello(hello));
        }
        Err(reason) => host.say(FromHost::Refused { reason }),
    }
}

/// The library, its probes, and what is under way.
struct Host {
    say: mpsc::UnboundedSender<Vec<u8>>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    library: Option<Arc<Library>>,
    probes: HashMap<u64, Arc<Instance>>,
    checks: HashMap<u64, CancellationToken>,
    /// What checks have asked for, by check and number.
    services: HashMap<(u64, u64), oneshot::Sender<ServiceAnswer>>,
}

impl Host {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, message: FromHost) {
        let line = wire::line(&message).or_else(|err| wire::line(&instead_of(message, &err.to_string())));
        if let Ok(line) = line {
            // Nobody listens: the process is about to end.
            let _ = self.say.send(line);
        }
    }

    /// Begins what it is told, and comes back at once.
    fn hear(self: &Arc<Self>, message: ToHost) {
        let host = Arc::clone(self);
        match message {
            ToHost::Needs { id, request } => host.with_library(
                move |library| library.needs(&request),
                move |_host, answer| FromHost::Needs { id, answer },
            ),
            ToHost::Build { instance, request } => host.build(instance, request),
            ToHost::Check { id, instance, request } => host.check(id, instance, request),
            ToHost::Cancel { id } => {
                if let Some(cancel) = self.held().checks.get(&id) {
                    cancel.cancel();
                }
            }
            ToHost::Drop { instance } => {
                // It ends on a thread of its own.
                self.held().probes.remove(&instance);
            }
            ToHost::Served { check, id, answer } => {
                if let Some(asked) = self.held().services.remove(&(check, id)) {
                    // It may have been given up.
                    let _ = asked.send(answer);
                }
            }
        }
    }

    fn build(self: Arc<Self>, id: u64, request: BuildRequest) {
        self.with_library(
            move |library| library.build(&request),
            move |host, built| {
                let answer = built.map(|probe| drop(host.held().probes.insert(id, probe)));
                FromHost::Built { instance: id, answer }
            },
        );
    }

    /// Calls the library on a thread that it may block, and says what came of it.
    fn with_library<T: Send + 'static>(
        self: Arc<Self>,
        call: impl FnOnce(&Arc<Library>) -> Result<T, CallError> + Send + 'static,
        answer: impl FnOnce(&Self, Result<T, CallError>) -> FromHost + Send + 'static,
    ) {
        let library = self.held().library.clone();
        tokio::spawn(async move {
            let called = tokio::task::spawn_blocking(move || match library {
                Some(library) => call(&library),
                None => Err(CallError::Rubbish("there is no library".to_owned())),
            });
            let called = called.await.unwrap_or_else(|err| Err(CallError::Rubbish(err.to_string())));
            self.say(answer(&self, called));
        });
    }

    fn check(self: Arc<Self>, id: u64, probe: u64, request: CheckRequest) {
        let Some(probe) = self.held().probes.get(&probe).cloned() else {
            let answer = Err(CallError::Rubbish("there is no such probe".to_owned()));
            return self.say(FromHost::Checked { id, answer });
        };
        let cancel = CancellationToken::new();
        self.held().checks.insert(id, cancel.clone());
        tokio::spawn(async move {
            let services = Arc::new(WireServices {
                check: id,
                next: AtomicU64::new(0),
                turns: Semaphore::new(wire::MOST_SERVICES),
                host: Arc::clone(&self),
            });
            let mut checking = probe.check(&request, services);
            let answer = tokio::select! {
                biased;
                answer = &mut checking => answer,
                () = cancel.cancelled() => {
                    checking.cancel();
                    checking.ended().await;
                    Err(CallError::Cancelled)
                }
            };
            self.checked(id, answer);
        });
    }
}

impl Host {
    /// A check has ended. What it has left running gets nothing more, and asks for nothing: the supervisor has
    /// forgotten the check as soon as it hears of this.
    fn checked(&self, id: u64, answer: Result<ProbeResult, CallError>) {
        let mut held = self.held();
        held.checks.remove(&id);
        held.services.retain(|(check, _), _| *check != id);
        self.say(FromHost::Checked { id, answer });
    }
}

/// What is said where an answer cannot be said.
fn instead_of(message: FromHost, why: &str) -> FromHost {
    let trouble = || CallError::Rubbish(why.to_owned());
    match message {
        FromHost::Hello(_) | FromHost::Refused { .. } => {
            FromHost::Refused { reason: format!("what it says of itself cannot be told: {why}") }
        }
        FromHost::Needs { id, .. } => FromHost::Needs { id, answer: Err(trouble()) },
        FromHost::Built { instance, .. } => FromHost::Built { instance, answer: Err(trouble()) },
        FromHost::Checked { id, .. } => FromHost::Checked { id, answer: Err(trouble()) },
        // Refused before it is said: see `WireServices`.
        FromHost::Serve { check, id, .. } | FromHost::Unserve { check, id } => {
            FromHost::Unserve { check, id }
        }
    }
}

/// What a check may ask for: asked of the supervisor.
struct WireServices {
    check: u64,
    next: AtomicU64,
    turns: Semaphore,
    host: Arc<Host>,
}

#[async_trait]
impl Services for WireServices {
    async fn serve(&self, request: ServiceRequest) -> ServiceAnswer {
        let _turn = self.turns.acquire().await;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let gone = unanswered(&request);
        let message = FromHost::Serve { check: self.check, id, request };
        if let Err(err) = wire::line(&message) {
            return gone(&format!("the request cannot be told: {err}"));
        }
        let (answer, answered) = oneshot::channel();
        let asked = Asked { services: self, id };
        {
            let mut held = self.host.held();
            if !held.checks.contains_key(&self.check) {
                return gone("its check has ended");
            }
            held.services.insert((self.check, id), answer);
            self.host.say(message);
        }
        let answer = answered.await.unwrap_or_else(|_| gone("its check has ended"));
        drop(asked);
        answer
    }
}

/// How a request of its kind goes unanswered.
fn unanswered(request: &ServiceRequest) -> fn(&str) -> ServiceAnswer {
    match request {
        ServiceRequest::Exec(_) => |why| {
            ServiceAnswer::Exec(Err(StartError::System {
                doing: "asking the supervisor to run a command".to_owned(),
                reason: why.to_owned(),
            }))
        },
        ServiceRequest::Pids => |why| ServiceAnswer::Pids(Err(why.to_owned())),
        ServiceRequest::Memory => |why| ServiceAnswer::Memory(Err(why.to_owned())),
        ServiceRequest::Heard => |why| ServiceAnswer::Heard(Err(why.to_owned())),
    }
}

/// Something that was asked for. Dropping it before the answer says that it is not needed any more.
struct Asked<'a> {
    services: &'a WireServices,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let (check, id) = (self.services.check, self.id);
        if self.services.host.held().services.remove(&(check, id)).is_some() {
            self.services.host.say(FromHost::Unserve { check, id });
        }
    }
}
