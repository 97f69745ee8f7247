//! The process of one library.

use std::path::Path;
use std::process::ExitCode;

/// Is the process of a library, until the supervisor that has started it goes away. Not for people: the supervisor is
/// at its stdin.
pub fn serve(file: &Path) -> ExitCode {
    let _ = file;
    ExitCode::FAILURE
}
