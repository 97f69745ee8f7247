//! Two probes of one key, which the SDK's macro would not let pass.

use std::ffi::c_void;
use vitald_sdk::abi::{Bytes, Done, Info, Outcome, Services, Slice, Table};

#[used]
#[unsafe(link_section = "vitald_probes")]
static INFO: Info = odd::info("twice_the_same", &TABLE);

static TABLE: Table = Table { size: size_of::<Table>(), describe, needs, build, check, cancel, destroy };

const KIND: &str = r#"{"key": "twice", "schema": {"type": "object", "description": "Two."}}"#;

unsafe extern "C" fn describe(answer: *mut Bytes) -> u32 {
    // SAFETY: the caller lends the place for an answer.
    unsafe { answer.write(odd::bytes(format!("[{KIND}, {KIND}]").into_bytes())) };
    Outcome::Done as u32
}

unsafe extern "C" fn needs(_: Slice, _: *mut Bytes) -> u32 {
    Outcome::Refused as u32
}

unsafe extern "C" fn build(_: Slice, _: *mut *mut c_void, _: *mut Bytes) -> u32 {
    Outcome::Refused as u32
}

unsafe extern "C" fn check(_: *mut c_void, _: Slice, _: Services, _: Done) -> *mut c_void {
    std::ptr::null_mut()
}

unsafe extern "C" fn cancel(_: *mut c_void) {}

unsafe extern "C" fn destroy(_: *mut c_void) {}
