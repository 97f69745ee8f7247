//! A library in this process: for speed, and at its own risk. What can be bounded here is time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::AbortHandle;
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
    built: Arc<OnceCell<Arc<Instance>>>,
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
        LocalProbe { of: Arc::clone(self), request, built: Arc::default(), stuck: Arc::default() }
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

    async fn library(&self) -> Result<Arc<Library>, CallFailure> {
        let place = Arc::clone(&self.place);
        let open = call(move || {
            place.mark.still(&place.file).map_err(CallFailure::Host)?;
            Library::open(&place.file).map_err(|err| CallFailure::Host(err.to_string()))
        });
        self.library.get_or_try_init(|| open).await.cloned()
    }
}

/// Calls code of a library on a thread that it may block.
async fn call<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, CallFailure> + Send + 'static,
) -> Result<T, CallFailure> {
    let called = tokio::task::spawn_blocking(call).await;
    called.unwrap_or_else(|err| Err(CallFailure::Host(err.to_string())))
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
        let instance = self.instance().await?;
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

    /// The probe itself. Who gives up waiting for it does not end its being built: it is there for the next who asks.
    async fn instance(&self) -> Result<Arc<Instance>, CallFailure> {
        if let Some(built) = self.built.get() {
            return Ok(Arc::clone(built));
        }
        let (of, request, built) = (Arc::clone(&self.of), Arc::clone(&self.request), Arc::clone(&self.built));
        let building = self.of.background.spawn(async move {
            let build = async {
                let library = of.library().await?;
                call(move || library.build(&request).map_err(CallFailure::Library)).await
            };
            built.get_or_try_init(|| build).await.cloned()
        });
        let _waiting = Waiting { building: building.abort_handle(), of: &self.of };
        building.await.unwrap_or_else(|err| Err(CallFailure::Host(err.to_string())))
    }
}

/// Somebody waits for a probe to be built. Dropping it watches whether that comes to an end.
struct Waiting<'a> {
    building: AbortHandle,
    of: &'a Arc<InProcess>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.building.is_finished() {
            return;
        }
        let (building, of) = (self.building.clone(), Arc::clone(self.of));
        self.of.background.spawn(async move {
            tokio::time::sleep(LET_GO).await;
            if !building.is_finished() {
                of.strike();
            }
        });
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
