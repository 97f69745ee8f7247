//! Panics end where the code of a library does.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls what may panic.
///
/// # Errors
/// It has panicked: the panic's message.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let message = text(&*payload);
        // What a panic carries may panic again when it is dropped: then it is left where it is.
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(another);
        }
        message
    })
}

fn text(payload: &(dyn Any + Send)) -> String {
    let message = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| payload.downcast_ref::<String>().cloned());
    message.unwrap_or_else(|| "it gave no message".to_owned())
}
