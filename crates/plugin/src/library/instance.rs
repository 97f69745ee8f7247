//! A probe of a library, and a check of it that is under way.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use vitald_core::probe::ProbeResult;
use vitald_sdk::abi::{Bytes, Done, Slice};
use vitald_sdk::message::CheckRequest;
use vitald_sdk::panics::caught;

use super::slots::Slots;
use super::{CallError, Library, Services, error, services};

/// A probe that a library has built. When nobody holds it any more and no check of it is under way, it is ended,
/// on a thread of its own, since that may take as long as the library likes.
pub struct Instance {
    library: Arc<Library>,
    pointer: Pointer,
}

/// The library's pointer to what is its own.
#[derive(Clone, Copy)]
struct Pointer(*mut c_void);

// SAFETY: a library's functions may be called from any thread, several at a time, as the border has it.
unsafe impl Send for Pointer {}
// SAFETY: the same.
unsafe impl Sync for Pointer {}

impl Instance {
    /// # Safety
    /// The library has just built it, and nobody else has it.
    pub(super) unsafe fn new(library: Arc<Library>, pointer: *mut c_void) -> Self {
        Self { library, pointer: Pointer(pointer) }
    }

    /// The library that it is of.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Begins a check, and comes back at once. Must be called within a tokio runtime, which `services` serve on.
    pub fn check(self: &Arc<Self>, request: &CheckRequest, services: Arc<dyn Services>) -> Checking {
        let (sender, answer) = oneshot::channel();
        let ended = CancellationToken::new();
        let under_way = UnderWay { instance: Arc::clone(self), answer: sender, ended: ended.clone() };
        let request = match serde_json::to_vec(request) {
            Ok(request) => request,
            Err(err) => {
                under_way.end(Err(error::untold(err)));
                return Checking { instance: Arc::clone(self), check: Mutex::new(None), answer, ended };
            }
        };
        let done = Done { data: UNDER_WAY.put(under_way), call: done };
        let services = services::lend(services);
        // SAFETY: the instance is alive, since we are, and until `done` is called, since what is under way holds it;
        // the request is lent for the call.
        let check =
            unsafe { (self.library.table.check)(self.pointer.0, Slice::lend(&request), services, done) };
        Checking { instance: Arc::clone(self), check: Mutex::new(Some(Pointer(check))), answer, ended }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let (library, pointer) = (Arc::clone(&self.library), self.pointer);
        let destroy = move || {
            let pointer = pointer;
            // SAFETY: nobody has it any more: checks under way would.
            unsafe { (library.table.destroy)(pointer.0) };
        };
        // Where no thread can be had, it is left as it is.
        let _ = thread::Builder::new().name("end of a probe".to_owned()).spawn(destroy);
    }
}

/// What a check that is under way holds, until the library says that it is done.
struct UnderWay {
    instance: Arc<Instance>,
    answer: oneshot::Sender<Result<ProbeResult, CallError>>,
    ended: CancellationToken,
}

static UNDER_WAY: Slots<UnderWay> = Slots::new();

impl UnderWay {
    fn end(self, answer: Result<ProbeResult, CallError>) {
        // Who asked may not wait any more.
        let _ = self.answer.send(answer);
        self.ended.cancel();
        drop(self.instance);
    }
}

unsafe extern "C" fn done(data: *mut c_void, outcome: u32, answer: Bytes) {
    // SAFETY: given away to this call.
    let answer = unsafe { answer.take() };
    // There is nobody to tell.
    let _ = caught(|| {
        if let Some(under_way) = UNDER_WAY.take(data) {
            under_way.end(error::outcome(outcome, answer).and_then(|answer| error::parse(&answer)));
        }
    });
}

/// A check that is under way: comes to its answer. Dropping it cancels the check.
pub struct Checking {
    instance: Arc<Instance>,
    /// What `cancel` gets, once.
    check: Mutex<Option<Pointer>>,
    answer: oneshot::Receiver<Result<ProbeResult, CallError>>,
    ended: CancellationToken,
}

impl Checking {
    /// Asks the check to end. One that comes back to its runtime does so then; see [`ended`](Self::ended).
    pub fn cancel(&self) {
        let check = self.check.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(check) = check {
            // SAFETY: once, since it is taken.
            unsafe { (self.instance.library.table.cancel)(check.0) };
        }
    }

    /// Waits until the library has let go of the check: nothing of its code runs any more. May be kept when the check
    /// itself is dropped.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.ended.clone().cancelled_owned()
    }
}

impl Future for Checking {
    type Output = Result<ProbeResult, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or(Err(CallError::Cancelled)))
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        self.cancel();
    }
}
