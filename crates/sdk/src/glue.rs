//! What a library does when it is called: the functions of [`Table`].
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;
use vitald_core::probe::{HealthProbe, ProbeResult, SpecError};
use vitald_core::registry::{Isolation, Registry};

use crate::abi::{Bytes, Done, Outcome, Services, Slice, Table};
use crate::answer::{Owed, Work};
use crate::message::{BuildRequest, CheckRequest, Kind, NeedsRequest};
use crate::panics::caught;
use crate::runtime::runtime;
use crate::services::{Host, context};

/// The probes of one [`export_probe!`](crate::export_probe).
pub trait Exported: 'static {
    /// Its kinds of probe, gathered at the first call.
    fn kinds() -> &'static Registry;
}

/// The functions for these probes.
pub const fn table<E: Exported>() -> Table {
    Table {
        size: size_of::<Table>(),
        describe: describe::<E>,
        needs: needs::<E>,
        build: build::<E>,
        check,
        cancel,
        destroy,
    }
}

/// A probe that was built. A check holds on to it, too.
type Instance = Arc<dyn HealthProbe>;

unsafe extern "C" fn describe<E: Exported>(answer: *mut Bytes) -> u32 {
    let outcome = outcome_of(|| {
        let kinds = E::kinds();
        let schemas = kinds.keys().filter_map(|key| Some((key, kinds.schema(key)?)));
        let kind = |(key, schema): (&str, &schemars::Schema)| Kind {
            key: key.to_owned(),
            schema: schema.clone().to_value(),
        };
        json(&schemas.map(kind).collect::<Vec<_>>())
    });
    // SAFETY: the caller has room for an answer.
    unsafe { put(outcome, answer) }
}

unsafe extern "C" fn needs<E: Exported>(request: Slice, answer: *mut Bytes) -> u32 {
    let outcome = outcome_of(|| {
        // SAFETY: lent for this call.
        let request: NeedsRequest = unsafe { read(request) }?;
        json(&E::kinds().needs(&request.key, &request.config))
    });
    // SAFETY: the caller has room for an answer.
    unsafe { put(outcome, answer) }
}

unsafe extern "C" fn build<E: Exported>(
    request: Slice,
    instance: *mut *mut c_void,
    answer: *mut Bytes,
) -> u32 {
    let outcome = outcome_of(|| {
        // SAFETY: lent for this call.
        let BuildRequest { key, config, component } = unsafe { read(request) }?;
        // As for a built-in probe, tokio is at hand.
        let runtime = runtime().map_err(|err| SpecError::new(no_runtime(&err)))?;
        let _entered = runtime.enter();
        let probe = E::kinds().build(&key, &config, &component, Isolation::InProcess)?;
        let built: Box<Instance> = Box::new(probe.into());
        // SAFETY: the caller has room for an instance.
        unsafe { instance.write(Box::into_raw(built).cast()) };
        Ok(Vec::new())
    });
    // SAFETY: the caller has room for an answer.
    unsafe { put(outcome, answer) }
}

unsafe extern "C" fn check(
    instance: *mut c_void,
    request: Slice,
    services: Services,
    done: Done,
) -> *mut c_void {
    let owed = Owed::to(done);
    let host = Host::new(services);
    // SAFETY: `build` made it, and it is not destroyed before the check is done.
    let probe = Arc::clone(unsafe { &*instance.cast::<Instance>() });
    // SAFETY: lent for this call.
    let begun = caught(|| begin(probe, unsafe { read(request) }, host, owed));
    begun.ok().flatten().map_or(ptr::null_mut(), |check| Box::into_raw(Box::new(check)).cast())
}

/// Spawns a check. None, where it has been answered already.
fn begin(
    probe: Instance,
    request: Result<CheckRequest, SpecError>,
    host: Host,
    owed: Owed,
) -> Option<AbortHandle> {
    let (request, runtime) = match (request, runtime()) {
        (Err(err), _) => {
            owed.give(Outcome::Refused, json(&err).unwrap_or_default());
            return None;
        }
        (_, Err(err)) => {
            let answer = json(&ProbeResult::unknown(no_runtime(&err)));
            owed.give(Outcome::Done, answer.unwrap_or_default());
            return None;
        }
        (Ok(request), Ok(runtime)) => (request, runtime),
    };
    let cx = context(request, host);
    let check = async move { probe.check(&cx).await };
    Some(runtime.spawn(Work::new(check, owed)).abort_handle())
}

unsafe extern "C" fn cancel(check: *mut c_void) {
    if !check.is_null() {
        // SAFETY: `check` made it, and it is passed back once.
        let check = unsafe { Box::from_raw(check.cast::<AbortHandle>()) };
        // Nobody is left to tell.
        let _ = caught(|| check.abort());
    }
}

unsafe extern "C" fn destroy(instance: *mut c_void) {
    if !instance.is_null() {
        // SAFETY: `build` made it, and it is passed back once.
        let instance = unsafe { Box::from_raw(instance.cast::<Instance>()) };
        let _ = caught(|| {
            let runtime = runtime().ok();
            let _entered = runtime.as_ref().map(|runtime| runtime.enter());
            drop(instance);
        });
    }
}

/// Calls what may refuse or panic.
fn outcome_of(call: impl FnOnce() -> Result<Vec<u8>, SpecError>) -> (Outcome, Vec<u8>) {
    match caught(call) {
        Ok(Ok(answer)) => (Outcome::Done, answer),
        Ok(Err(refusal)) => (Outcome::Refused, json(&refusal).unwrap_or_default()),
        Err(message) => (Outcome::Panicked, message.into_bytes()),
    }
}

/// # Safety
/// There is room at `answer`.
unsafe fn put((outcome, bytes): (Outcome, Vec<u8>), answer: *mut Bytes) -> u32 {
    // SAFETY: by the caller's word.
    unsafe { answer.write(Bytes::give(bytes)) };
    outcome as u32
}

/// # Safety
/// It is lent for at least as long as this takes.
unsafe fn read<T: DeserializeOwned>(request: Slice) -> Result<T, SpecError> {
    // SAFETY: by the caller's word.
    let bytes = unsafe { request.borrow() }.unwrap_or_default();
    serde_json::from_slice(bytes).map_err(|err| SpecError::new(format!("the request makes no sense: {err}")))
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, SpecError> {
    serde_json::to_vec(value).map_err(|err| SpecError::new(format!("cannot be written as JSON: {err}")))
}

fn no_runtime(err: &std::io::Error) -> String {
    format!("the library cannot begin its threads: {err}")
}

#[cfg(test)]
mod tests;
