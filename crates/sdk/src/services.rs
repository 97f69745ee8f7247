//! What a check may ask of whoever runs it, seen from inside the library.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use vitald_core::notify::Heard;
use vitald_core::probe::CheckContext;
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, ProcessIdentity, RunView, StartError};

use crate::abi::{Bytes, Done, Outcome, Services, Slice};
use crate::message::{CheckRequest, RunFacts, ServiceAnswer, ServiceRequest};
use crate::panics::caught;

/// The context of a check whose services are on the other side of the border.
pub(crate) fn context(request: CheckRequest, host: Host) -> CheckContext {
    let host = Arc::new(host);
    let run = request.run.map(|facts| Arc::new(Run { facts, host: Arc::clone(&host) }) as Arc<dyn RunView>);
    CheckContext { timeout: request.timeout, run, executor: host }
}

/// Whoever runs the check. Released when the last of the check has gone.
pub(crate) struct Host(Services);

// SAFETY: services may be called from any thread, several calls at a time, as the border has it.
unsafe impl Send for Host {}
// SAFETY: the same.
unsafe impl Sync for Host {}

impl Host {
    pub(crate) fn new(services: Services) -> Self {
        Self(services)
    }

    /// Asks, and waits for the answer. Dropping the future cancels.
    async fn ask(&self, request: ServiceRequest) -> Result<ServiceAnswer, String> {
        let request = serde_json::to_vec(&request).map_err(|err| err.to_string())?;
        let (sender, answer) = oneshot::channel();
        let _asked = self.begin(&request, sender);
        answer.await.unwrap_or_else(|_| Err("it gave no answer".to_owned()))
    }

    fn begin(&self, request: &[u8], sender: Sender) -> Asked {
        let done = Done { data: Box::into_raw(Box::new(sender)).cast(), call: answered };
        // SAFETY: the services are not released yet, the request is lent for the call, and `answered` gets what
        // it is made for.
        let handle = unsafe { (self.0.call)(self.0.data, Slice::lend(request), done) };
        Asked { handle, cancel: self.0.cancel }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: the last of it, and requests under way borrow it.
        unsafe { (self.0.release)(self.0.data) };
    }
}

type Sender = oneshot::Sender<Result<ServiceAnswer, String>>;

/// A request under way, or done: forgotten when it is dropped.
struct Asked {
    handle: *mut c_void,
    cancel: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: `cancel` may be called from any thread, as the border has it.
unsafe impl Send for Asked {}
// SAFETY: nothing can be done with it but to drop it.
unsafe impl Sync for Asked {}

impl Drop for Asked {
    fn drop(&mut self) {
        // SAFETY: once, with what the request gave.
        unsafe { (self.cancel)(self.handle) };
    }
}

unsafe extern "C" fn answered(data: *mut c_void, outcome: u32, answer: Bytes) {
    // SAFETY: it is the sender of `begin`, since each `Done` is called once.
    let sender = unsafe { Box::from_raw(data.cast::<oneshot::Sender<Result<ServiceAnswer, String>>>()) };
    // SAFETY: given away to this call.
    let answer = unsafe { answer.take() };
    // Who asked may not wait any more.
    let _ = caught(|| drop(sender.send(read(outcome, answer))));
}

fn read(outcome: u32, answer: Option<Vec<u8>>) -> Result<ServiceAnswer, String> {
    let answer = answer.ok_or("its answer made no sense")?;
    match Outcome::from_number(outcome) {
        Some(Outcome::Done) => serde_json::from_slice(&answer).map_err(|err| format!("its answer: {err}")),
        Some(Outcome::Cancelled) => Err("it was cancelled".to_owned()),
        Some(Outcome::Refused | Outcome::Panicked) => Err(String::from_utf8_lossy(&answer).into_owned()),
        None => Err(format!("its answer is of no kind that is known: {outcome}")),
    }
}

/// An answer to something else.
fn other_answer(answer: &ServiceAnswer) -> String {
    format!("it answered something else: {answer:?}")
}

#[async_trait]
impl Executor for Host {
    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, StartError> {
        let reason = match self.ask(ServiceRequest::Exec(request)).await {
            Ok(ServiceAnswer::Exec(output)) => return output,
            Ok(other) => other_answer(&other),
            Err(reason) => reason,
        };
        Err(StartError::System { doing: "asking vitald to run a command".to_owned(), reason })
    }
}

/// The run that is checked.
struct Run {
    facts: RunFacts,
    host: Arc<Host>,
}

#[async_trait]
impl RunView for Run {
    fn process(&self) -> ProcessIdentity {
        self.facts.process.clone()
    }

    fn log_offset(&self) -> u64 {
        self.facts.log_offset
    }

    async fn pids(&self) -> io::Result<Vec<i32>> {
        match self.host.ask(ServiceRequest::Pids).await.map_err(io::Error::other)? {
            ServiceAnswer::Pids(answer) => answer.map_err(io::Error::other),
            other => Err(io::Error::other(other_answer(&other))),
        }
    }

    async fn memory(&self) -> io::Result<u64> {
        match self.host.ask(ServiceRequest::Memory).await.map_err(io::Error::other)? {
            ServiceAnswer::Memory(answer) => answer.map_err(io::Error::other),
            other => Err(io::Error::other(other_answer(&other))),
        }
    }

    async fn heard(&self) -> Result<Heard, String> {
        match self.host.ask(ServiceRequest::Heard).await? {
            ServiceAnswer::Heard(answer) => answer,
            other => Err(other_answer(&other)),
        }
    }

    fn container(&self) -> Option<String> {
        self.facts.container.clone()
    }
}
