//! `lie`: breaks what is agreed upon at the border.

use std::ffi::c_void;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vitald_sdk::abi::{Bytes, Done, Info, Outcome, Services, Slice, Table};

#[used]
#[unsafe(link_section = "vitald_probes")]
static INFO: Info = odd::info("liar", &TABLE);

static TABLE: Table = Table { size: size_of::<Table>(), describe, needs, build, check, cancel, destroy };

/// A lie, told while a file is there.
struct Lie {
    how: String,
    r#while: PathBuf,
}

unsafe extern "C" fn describe(answer: *mut Bytes) -> u32 {
    let kinds = serde_json::json!([{
        "key": "lie",
        "schema": {
            "type": "object",
            "description": "Breaks what is agreed upon.",
            "properties": {"how": {"type": "string"}, "while": {"type": "string"}},
            "additionalProperties": false,
        },
    }]);
    give(answer, kinds.to_string().into_bytes())
}

unsafe extern "C" fn needs(_: Slice, answer: *mut Bytes) -> u32 {
    give(answer, b"{}".to_vec())
}

unsafe extern "C" fn build(request: Slice, instance: *mut *mut c_void, _: *mut Bytes) -> u32 {
    // SAFETY: the caller lends the request and the place for an instance.
    let request = unsafe { std::slice::from_raw_parts(request.data, request.len) };
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lie = Lie {
        how: text(&request["config"]["how"]),
        r#while: Path::new(&text(&request["component"]["workingDir"]))
            .join(text(&request["config"]["while"])),
    };
    // SAFETY: as above.
    unsafe { instance.write(Box::into_raw(Box::new(lie)).cast()) };
    Outcome::Done as u32
}

unsafe extern "C" fn check(instance: *mut c_void, _: Slice, services: Services, done: Done) -> *mut c_void {
    // SAFETY: it is what `build` made; services are released, and done called, as is agreed upon: or not.
    unsafe {
        let lie = &*instance.cast::<Lie>();
        let how = if lie.r#while.exists() { lie.how.as_str() } else { "" };
        (services.release)(services.data);
        let call = |outcome: u32, answer: &[u8]| (done.call)(done.data, outcome, odd::bytes(answer.to_vec()));
        match how {
            "InvalidUtf8" => call(Outcome::Done as u32, b"{\"failure\": \"\xff\xfe\"}"),
            "NoJson" => call(Outcome::Done as u32, b"healthy"),
            "NoOutcome" => call(99, b"\"success\""),
            "NullAnswer" => {
                let nothing = Bytes { data: std::ptr::null_mut(), len: 5, capacity: 5, free: None };
                (done.call)(done.data, Outcome::Done as u32, nothing);
            }
            "Twice" => {
                call(Outcome::Done as u32, b"\"success\"");
                call(Outcome::Done as u32, b"\"success\"");
            }
            "Never" => {}
            _ => call(Outcome::Done as u32, b"\"success\""),
        }
    }
    std::ptr::null_mut()
}

unsafe extern "C" fn cancel(_: *mut c_void) {}

unsafe extern "C" fn destroy(instance: *mut c_void) {
    // SAFETY: it is what `build` made.
    drop(unsafe { Box::from_raw(instance.cast::<Lie>()) });
}

fn give(answer: *mut Bytes, bytes: Vec<u8>) -> u32 {
    // SAFETY: the caller lends the place for an answer.
    unsafe { answer.write(odd::bytes(bytes)) };
    Outcome::Done as u32
}
