//! Files of `NAME=value` lines, for `envFrom` and `fileKeyRef`; [`vitald_core::env_file`] has their form.

use std::fs;
use std::io::Read;
use std::path::Path;

use vitald_core::env_file::parse;

/// More than this is no environment.
const MAX_SIZE: u64 = 1024 * 1024;

/// Reads such a file. What it says of a mistake names file and line, and never a value.
///
/// # Errors
/// The file cannot be read, or a line is not of that form.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let refuse = |why: String| format!("{}: {why}", path.display());
    // Looked at first: opening a pipe would wait for somebody to write to it.
    let metadata = fs::metadata(path).map_err(|err| refuse(reason(&err)))?;
    if !metadata.is_file() {
        return Err(refuse("not a regular file".to_owned()));
    }
    let file = fs::File::open(path).map_err(|err| refuse(reason(&err)))?;
    let mut text = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut text).map_err(|err| refuse(reason(&err)))?;
    if text.len() as u64 > MAX_SIZE {
        return Err(refuse("larger than 1 MiB".to_owned()));
    }
    let text = String::from_utf8(text).map_err(|_| refuse("not UTF-8".to_owned()))?;
    parse(&text).map_err(|(line, what)| format!("{}:{line}: {what}", path.display()))
}

/// The system's word for it, without the number.
fn reason(err: &std::io::Error) -> String {
    match err.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => err.to_string(),
    }
}
