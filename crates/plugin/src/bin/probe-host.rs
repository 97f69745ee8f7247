//! The process of a library for the tests of this crate: `vitald __probe-host` without the rest of vitald.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().next_back() {
        Some(file) => vitald_plugin::host::serve(file.as_ref()),
        None => ExitCode::FAILURE,
    }
}
