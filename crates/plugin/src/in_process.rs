//! A library in this process: for speed, and at its own risk. What can be bounded here is time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use vitald_core::probe::ProbeResult;
use vitald_sdk::message::{BuildRequest, CheckRequest};

use crate::host_client::{CallFailure, Place};
use crate::library::{CallError, Checking, Instance, Library, Services};
use crate::model::NoticeKind;

/// How long a check may go on after nobody waits for it.
const LET_GO: Duration = Duration::from_secs(1);
/// A library that did not let go so often is not run in this process any more.
const STRIKES: u32 = 3;

/// A library in this process, which is loaded when it is needed first.
pub(crate) struct InProcess {
    place: Arc<Place>,
    background: Handle,
    library: OnceCell<Arc<Library>>,
    strikes: AtomicU32,
}

/// A probe of it, which is built when it is asked first.
pub(crate) struct LocalProbe {
    of: Arc<InProcess>,
    request: Arc<BuildRequest>,
    built: OnceCell<Arc<Instance>>,
    /// Whether a check of it was given up and has not ended.
    stuck: Arc<AtomicBool>,
}

impl InProcess {
    pub(crate) fn new(place: Arc<Place>, background: Handle) -> Arc<Self> {
        Arc::new(Self { place, background, library: OnceCell::new(), strikes: AtomicU32::new(0) })
    }

    /// Whether it has shown that it must run in a process of its own.
    pub(crate) fn is_out(&self) -> bool {
        self.strikes.load(Ordering::Relaxed) >= STRIKES
    }

    /// A probe of it.
    pub(crate) fn probe(self: &Arc<Self>, request: Arc<BuildRequest>) -> LocalProbe {
        LocalProbe { of: Arc::clone(self), request, built: OnceCell::new(), stuck: Arc::default() }
    }

    fn strike(&self) {
        if self.strikes.fetch_add(1, Ordering::Relaxed) + 1 == STRIKES {
            let name = self.place.name();
            let text = format!(
                "{name} did not let go of what it was doing {STRIKES} times: its probes run in a process of their own \
                 from now on, until this one is started again"
            );
            self.place.tell(NoticeKind::Moved, text);
        }
    }

    async fn library(self: &Arc<Self>) -> Result<Arc<Library>, CallFailure> {
        let open = async {
            let (place, file): (_, PathBuf) = (Arc::clone(&self.place), self.place.file.clone());
            self.call(move || {
                place.mark.still(&file).map_err(CallFailure::Host)?;
                Library::open(&file).map_err(|err| CallFailure::Host(err.to_string()))
            })
            .await
        };
        self.library.get_or_try_init(|| open).await.cloned()
    }

    /// Calls code of the library on a thread that it may block. Dropping this leaves the thread to it, and counts.
    async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce() -> Result<T, CallFailure> + Send + 'static,
    ) -> Result<T, CallFailure> {
        let mut striking = Striking { of: Some(self) };
        let called = self.background.spawn_blocking(call).await;
        striking.of = None;
        called.unwrap_or_else(|err| Err(CallFailure::Host(err.to_string())))
    }
}

struct Striking<'a> {
    of: Option<&'a InProcess>,
}

impl Drop for Striking<'_> {
    fn drop(&mut self) {
        if let Some(of) = self.of {
            of.strike();
        }
    }
}

impl LocalProbe {
    /// Whether it is of this library.
    pub(crate) fn is_of(&self, of: &Arc<InProcess>) -> bool {
        Arc::ptr_eq(&self.of, of)
    }

    /// Whether a check of it was given up and has not ended: another probe is to be built in its place.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Checks once. Dropping this gives the check up, also one that blocks its thread.
    ///
    /// # Errors
    /// Why there was no check.
    pub(crate) async fn check(
        &self,
        request: CheckRequest,
        services: Arc<dyn Services>,
    ) -> Result<ProbeResult, CallFailure> {
        let build = async {
            let library = self.of.library().await?;
            let request = Arc::clone(&self.request);
            self.of.call(move || library.build(&request).map_err(CallFailure::Library)).await
        };
        let instance = self.built.get_or_try_init(|| build).await?;
        let mut watched = Watched {
            checking: Some(instance.check(&request, services)),
            stuck: Arc::clone(&self.stuck),
            of: &self.of,
        };
        let answer = match &mut watched.checking {
            Some(checking) => checking.await,
            None => Err(CallError::Cancelled),
        };
        watched.checking = None;
        answer.map_err(CallFailure::Library)
    }
}

/// A check that is under way. Dropping it cancels the check, and watches whether it lets go.
struct Watched<'a> {
    checking: Option<Checking>,
    stuck: Arc<AtomicBool>,
    of: &'a Arc<InProcess>,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let Some(checking) = self.checking.take() else { return };
        let (ended, stuck, of) = (checking.ended(), Arc::clone(&self.stuck), Arc::clone(self.of));
        drop(checking);
        stuck.store(true, Ordering::Relaxed);
        self.of.background.spawn(async move {
            tokio::pin!(ended);
            if tokio::time::timeout(LET_GO, &mut ended).await.is_err() {
                of.strike();
                ended.await;
            }
            stuck.store(false, Ordering::Relaxed);
        });
    }
}
