//! A host that counts: what it is asked, and how often it is answered.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vitald_core::probe::{ProbeResult, SpecError};
use vitald_core::restarter::{ExecOutput, Exit, StartError};

use super::probes::{BEGUN, DROPPED, Probes};
use crate::abi::{Bytes, Done, Outcome, Services, Slice, Table};
use crate::answer::Owed;
use crate::glue::table;
use crate::message::{ServiceAnswer, ServiceRequest};

/// Longer than anything takes here, under Miri, too.
const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Done(Value),
    Refused(Value),
    Panicked(String),
    Cancelled,
}

impl Answer {
    fn of(outcome: u32, bytes: Vec<u8>) -> Self {
        match Outcome::from_number(outcome) {
            Some(Outcome::Done) if bytes.is_empty() => Self::Done(Value::Null),
            Some(Outcome::Done) => Self::Done(serde_json::from_slice(&bytes).unwrap()),
            Some(Outcome::Refused) => Self::Refused(serde_json::from_slice(&bytes).unwrap()),
            Some(Outcome::Panicked) => Self::Panicked(String::from_utf8(bytes).unwrap()),
            Some(Outcome::Cancelled) => Self::Cancelled,
            None => panic!("no outcome: {outcome}"),
        }
    }

    pub(super) fn result(result: ProbeResult) -> Self {
        Self::Done(serde_json::to_value(result).unwrap())
    }

    pub(super) fn read<T: DeserializeOwned>(self) -> T {
        let Self::Done(value) = self else { panic!("not done: {self:?}") };
        serde_json::from_value(value).unwrap()
    }

    pub(super) fn refusal(self) -> SpecError {
        let Self::Refused(value) = self else { panic!("not refused: {self:?}") };
        serde_json::from_value(value).unwrap()
    }
}

pub(super) struct Library(Table);

pub(super) fn library() -> Library {
    Library(table::<Probes>())
}

impl Library {
    fn call(call: impl FnOnce(*mut Bytes) -> u32) -> Answer {
        let mut bytes = Bytes::none();
        let outcome = call(&raw mut bytes);
        // SAFETY: it was given just now.
        Answer::of(outcome, unsafe { bytes.take() }.unwrap())
    }

    pub(super) fn describe(&self) -> Answer {
        // SAFETY: there is room for the answer.
        Self::call(|answer| unsafe { (self.0.describe)(answer) })
    }

    pub(super) fn needs(&self, key: &str, config: Value) -> Answer {
        let request = serde_json::to_vec(&json!({ "key": key, "config": config })).unwrap();
        // SAFETY: the request lives, and there is room for the answer.
        Self::call(|answer| unsafe { (self.0.needs)(Slice::lend(&request), answer) })
    }

    pub(super) fn build(&self, key: &str, config: Value) -> Result<Probe, Answer> {
        let number = config["number"].as_u64().unwrap_or_default() as usize;
        let request = json!({ "key": key, "config": config, "component": { "ports": { "http": 80 } } });
        let mut built = self.build_raw(&serde_json::to_vec(&request).unwrap())?;
        built.number = number;
        Ok(built)
    }

    pub(super) fn build_raw(&self, request: &[u8]) -> Result<Probe, Answer> {
        let mut built = ptr::null_mut();
        // SAFETY: the request lives, and there is room for both.
        let answer =
            Self::call(|answer| unsafe { (self.0.build)(Slice::lend(request), &raw mut built, answer) });
        match answer {
            Answer::Done(_) => Ok(Probe { table: self.0, built, number: 0 }),
            other => {
                assert!(built.is_null());
                Err(other)
            }
        }
    }

    pub(super) fn forget_nothing() {
        let table = library().0;
        // SAFETY: null is allowed.
        unsafe {
            (table.cancel)(ptr::null_mut());
            (table.destroy)(ptr::null_mut());
        }
    }
}

/// Destroyed when it is dropped.
pub(super) struct Probe {
    table: Table,
    built: *mut c_void,
    number: usize,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "probe {}", self.number)
    }
}

/// What the check is told of its run.
pub(super) enum Run {
    None,
    Known,
}

impl Probe {
    pub(super) fn check(&self, run: &Run) -> Check {
        let process = json!({ "pid": 4242, "startTime": 1, "bootId": "b" });
        let run = match run {
            Run::None => Value::Null,
            Run::Known => json!({ "process": process, "logOffset": 17, "container": "c0ffee" }),
        };
        let request = json!({ "timeout": Duration::from_secs(1), "run": run });
        self.check_raw(&serde_json::to_vec(&request).unwrap())
    }

    pub(super) fn check_raw(&self, request: &[u8]) -> Check {
        let host = Arc::new(Host::default());
        let services =
            Services { data: Arc::into_raw(Arc::clone(&host)).cast_mut().cast(), call, cancel, release };
        let (sender, answers) = mpsc::channel();
        let sender = Arc::new(sender);
        let done = Done { data: Arc::as_ptr(&sender).cast_mut().cast(), call: done };
        SENDERS.lock().unwrap().push(sender);
        // SAFETY: the probe is not destroyed, and what `done` needs lives for ever.
        let handle = unsafe { (self.table.check)(self.built, Slice::lend(request), services, done) };
        let handle = Mutex::new(Some(handle));
        Check { host, table: self.table, handle, answers, number: self.number }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // SAFETY: once.
        unsafe { (self.table.destroy)(self.built) };
    }
}

type Told = (u32, Vec<u8>);

/// All that `done` is ever called with: a call too many is to be seen, not to crash.
static SENDERS: Mutex<Vec<Arc<mpsc::Sender<Told>>>> = Mutex::new(Vec::new());

pub(super) struct Check {
    pub(super) host: Arc<Host>,
    table: Table,
    handle: Mutex<Option<*mut c_void>>,
    answers: mpsc::Receiver<Told>,
    number: usize,
}

impl Check {
    pub(super) fn answer(&self) -> Answer {
        let (outcome, bytes) = self.answers.recv_timeout(LONG).expect("no answer");
        Answer::of(outcome, bytes)
    }

    pub(super) fn cancel(&self) {
        if let Some(handle) = self.handle.lock().unwrap().take() {
            // SAFETY: once, since it is taken.
            unsafe { (self.table.cancel)(handle) };
        }
    }

    pub(super) fn expect_no_more(&self) {
        assert!(self.answers.try_recv().is_err(), "answered once more");
    }

    pub(super) fn cancel_and_expect_no_more(&self) {
        self.cancel();
        self.expect_no_more();
    }

    pub(super) fn wait_until_begun(&self) {
        wait_until("the check has begun", || BEGUN.lock().unwrap().contains(&self.number));
    }

    /// Whether what it held while it waited is gone.
    pub(super) fn was_dropped(&self) -> bool {
        DROPPED.lock().unwrap().contains(&self.number)
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not in time");
        thread::yield_now();
    }
}

unsafe extern "C" fn done(data: *mut c_void, outcome: u32, answer: Bytes) {
    // SAFETY: it is never freed.
    let sender = unsafe { &*data.cast::<mpsc::Sender<Told>>() };
    // SAFETY: given away to this call.
    let _ = sender.send((outcome, unsafe { answer.take() }.unwrap()));
}

#[derive(Default)]
pub(super) struct Host {
    asked: AtomicU32,
    forgotten: AtomicU32,
    released: AtomicU32,
}

impl Host {
    pub(super) fn released(&self) -> u32 {
        self.released.load(Ordering::SeqCst)
    }

    pub(super) fn forgotten(&self) -> u32 {
        self.forgotten.load(Ordering::SeqCst)
    }

    pub(super) fn wait_until_asked(&self) {
        wait_until("the host was asked", || self.asked.load(Ordering::SeqCst) > 0);
    }
}

/// A request: counted when it is forgotten; one that nobody answers is answered then.
struct Asked {
    host: *const Host,
    _owed: Option<Owed>,
}

unsafe extern "C" fn call(data: *mut c_void, request: Slice, done: Done) -> *mut c_void {
    // SAFETY: not released yet.
    let host = unsafe { &*data.cast::<Host>() };
    // SAFETY: lent for this call.
    let request = serde_json::from_slice(unsafe { request.borrow() }.unwrap()).unwrap();
    let owed = Owed::to(done);
    let give = |owed: Owed, answer: ServiceAnswer| {
        let answer = serde_json::to_vec(&answer).unwrap();
        // From elsewhere, as in life.
        thread::spawn(move || owed.give(Outcome::Done, answer));
        None
    };
    let command = match &request {
        ServiceRequest::Exec(request) => &*request.command[0],
        _ => "",
    };
    let unanswered = match (&request, command) {
        (ServiceRequest::Pids, _) => give(owed, ServiceAnswer::Pids(Ok(vec![4242, 4243]))),
        (ServiceRequest::Memory, _) | (_, "wrong") => give(owed, ServiceAnswer::Memory(Ok(7))),
        (ServiceRequest::Heard, _) => give(owed, ServiceAnswer::Heard(Err("nobody listens".to_owned()))),
        (_, "echo") => {
            let output = ExecOutput { exit: Exit::Code(0), output: "echoed".to_owned() };
            give(owed, ServiceAnswer::Exec(Ok(output)))
        }
        (_, "missing") => {
            let missing = StartError::NotFound { program: command.to_owned(), searched: String::new() };
            give(owed, ServiceAnswer::Exec(Err(missing)))
        }
        (_, "hang") => Some(owed),
        (_, "drop") => None,
        (_, "refuse") => {
            owed.give(Outcome::Refused, b"not today".to_vec());
            None
        }
        (_, "rubbish") => {
            owed.give(Outcome::Done, b"rubbish".to_vec());
            None
        }
        (_, "number") => {
            std::mem::forget(owed);
            // SAFETY: the one call of it.
            unsafe { (done.call)(done.data, 99, Bytes::give(Vec::new())) };
            None
        }
        (_, other) => panic!("what is {other}?"),
    };
    host.asked.fetch_add(1, Ordering::SeqCst);
    Box::into_raw(Box::new(Asked { host, _owed: unanswered })).cast()
}

unsafe extern "C" fn cancel(request: *mut c_void) {
    // SAFETY: `call` made it, and it is passed back once.
    let asked = unsafe { Box::from_raw(request.cast::<Asked>()) };
    // SAFETY: whoever cancels has not released the host.
    unsafe { &*asked.host }.forgotten.fetch_add(1, Ordering::SeqCst);
}

unsafe extern "C" fn release(data: *mut c_void) {
    // SAFETY: once, with what was given away.
    let host = unsafe { Arc::from_raw(data.cast_const().cast::<Host>()) };
    host.released.fetch_add(1, Ordering::SeqCst);
}
