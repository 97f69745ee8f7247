//! Never comes back when it is asked what it has.

use std::ffi::c_void;
use vitald_sdk::abi::{Bytes, Done, Info, Outcome, Services, Slice, Table};

#[used]
#[unsafe(link_section = "vitald_probes")]
static INFO: Info = odd::info("describe_hangs", &TABLE);

static TABLE: Table = Table { size: size_of::<Table>(), describe, needs, build, check, cancel, destroy };

unsafe extern "C" fn describe(_: *mut Bytes) -> u32 {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
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
