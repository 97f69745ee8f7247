//! What a check may ask of us: commands, and facts about the run.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use vitald_core::probe::CheckContext;
use vitald_sdk::abi::{self, Done, Outcome, Slice};
use vitald_sdk::answer::{Owed, Work};
use vitald_sdk::message::{CheckRequest, RunFacts, ServiceAnswer, ServiceRequest, own_time};
use vitald_sdk::panics::caught;

use super::slots::Slots;

/// Serves the checks of a library.
#[async_trait]
pub trait Services: Send + Sync + 'static {
    /// Serves a request. Dropped when the check does not want it any more, such as a command that runs.
    async fn serve(&self, request: ServiceRequest) -> ServiceAnswer;
}

/// Serves from the context that a probe in this process is given.
pub struct RunServices {
    /// The context of the check.
    pub cx: CheckContext,
}

/// What a library is told of a check with this context, whose whole time is not the check's own.
pub fn request(cx: &CheckContext) -> CheckRequest {
    let facts = cx.run.as_ref().map(|run| RunFacts {
        process: run.process(),
        log_offset: run.log_offset(),
        container: run.container(),
    });
    CheckRequest { timeout: own_time(cx.timeout), run: facts }
}

#[async_trait]
impl Services for RunServices {
    async fn serve(&self, request: ServiceRequest) -> ServiceAnswer {
        let no_run = || "there is no run".to_owned();
        let run = self.cx.run.as_ref();
        match request {
            ServiceRequest::Exec(request) => ServiceAnswer::Exec(self.cx.executor.exec(request).await),
            ServiceRequest::Pids => ServiceAnswer::Pids(match run {
                Some(run) => run.pids().await.map_err(|err| err.to_string()),
                None => Err(no_run()),
            }),
            ServiceRequest::Memory => ServiceAnswer::Memory(match run {
                Some(run) => run.memory().await.map_err(|err| err.to_string()),
                None => Err(no_run()),
            }),
            ServiceRequest::Heard => ServiceAnswer::Heard(match run {
                Some(run) => run.heard().await,
                None => Err(no_run()),
            }),
        }
    }
}

/// Services, and where they serve.
#[derive(Clone)]
struct Lent {
    services: Arc<dyn Services>,
    runtime: Handle,
}

static LENT: Slots<Lent> = Slots::new();
static REQUESTS: Slots<AbortHandle> = Slots::new();

/// Lends services to a library, until it releases them.
pub(super) fn lend(services: Arc<dyn Services>) -> abi::Services {
    let data = LENT.put(Lent { services, runtime: Handle::current() });
    abi::Services { data, call, cancel, release }
}

unsafe extern "C" fn call(data: *mut c_void, request: Slice, done: Done) -> *mut c_void {
    let owed = Owed::to(done);
    // SAFETY: lent for this call.
    let request = unsafe { request.borrow() };
    caught(|| begin(data, request.unwrap_or_default(), owed)).unwrap_or(ptr::null_mut())
}

fn begin(data: *mut c_void, request: &[u8], owed: Owed) -> *mut c_void {
    let refuse = |owed: Owed, why: String| {
        owed.give(Outcome::Refused, why.into_bytes());
        ptr::null_mut()
    };
    let Some(Lent { services, runtime }) = LENT.get(data) else {
        return refuse(owed, "the services were released".to_owned());
    };
    match serde_json::from_slice(request) {
        Ok(request) => {
            let serve = async move { services.serve(request).await };
            REQUESTS.put(runtime.spawn(Work::new(serve, owed)).abort_handle())
        }
        Err(err) => refuse(owed, format!("the request makes no sense: {err}")),
    }
}

unsafe extern "C" fn cancel(request: *mut c_void) {
    // There is nobody to tell.
    let _ = caught(|| REQUESTS.take(request).map(|request| request.abort()));
}

unsafe extern "C" fn release(data: *mut c_void) {
    let _ = caught(|| LENT.take(data).map(drop));
}
