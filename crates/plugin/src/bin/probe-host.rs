//! The process of a library for the tests of this crate: `vitald __probe-host` without the rest of vitald.

use std::process::ExitCode;

fn main() -> ExitCode {
    vitald_plugin::host::serve(std::env::args_os().skip(2))
}
