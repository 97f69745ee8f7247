//! Finding a program, and saying why it could not be executed.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use vitald_core::restarter::StartError;

/// Where to look when the environment has no PATH: environ(7).
const DEFAULT_PATH: &str = "/usr/bin:/bin";

/// Finds the program as execvp(3) does: with a slash in it, it is a path, relative to the working
/// directory; without, it is looked for on the component's own PATH.
///
/// `shown` is the program as the manifest has it: what it expands to may hold a secret.
pub(crate) fn find(
    program: &str,
    shown: &str,
    path: Option<&str>,
    dir: &Path,
) -> Result<PathBuf, StartError> {
    if program.contains('/') {
        let file = dir.join(program);
        return match look(&file) {
            Look::Usable => Ok(file),
            Look::Unusable(reason) => Err(not_executable(shown, &reason)),
            Look::Missing => Err(StartError::NotFound { program: shown.to_owned(), searched: String::new() }),
        };
    }
    let path = path.unwrap_or(DEFAULT_PATH);
    let mut refused = None;
    if !program.is_empty() {
        for folder in path.split(':') {
            // An empty element is the working directory.
            let file = dir.join(folder).join(program);
            match look(&file) {
                Look::Usable => return Ok(file),
                Look::Unusable(reason) => {
                    refused.get_or_insert_with(|| {
                        not_executable(shown, &format!("{} {reason}", file.display()))
                    });
                }
                Look::Missing => {}
            }
        }
    }
    Err(refused.unwrap_or_else(|| StartError::NotFound {
        program: shown.to_owned(),
        searched: format!(" on PATH {path}"),
    }))
}

enum Look {
    Usable,
    Unusable(String),
    Missing,
}

fn look(file: &Path) -> Look {
    match fs::metadata(file) {
        Ok(metadata) if metadata.is_dir() => Look::Unusable("is a directory".to_owned()),
        Ok(metadata) if !metadata.is_file() => Look::Unusable("is not a regular file".to_owned()),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            Look::Unusable("is not marked executable (chmod +x)".to_owned())
        }
        Ok(_) => Look::Usable,
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Look::Missing,
        Err(err) => Look::Unusable(Errno::from_raw(err.raw_os_error().unwrap_or(0)).desc().to_lowercase()),
    }
}

/// Why execve(2) refused a file that is there.
pub(crate) fn refused(file: &Path, shown: &str, errno: Errno) -> StartError {
    let reason = match errno {
        Errno::ENOENT => match interpreter(file) {
            Some(interpreter) => format!("its interpreter {interpreter} does not exist"),
            None => "it needs a loader or an interpreter that does not exist here".to_owned(),
        },
        Errno::ENOEXEC => "not an executable; a script needs a first line such as #!/bin/sh".to_owned(),
        Errno::EACCES => match interpreter(file) {
            Some(interpreter) => format!("permission denied (for it or its interpreter {interpreter})"),
            None => "permission denied".to_owned(),
        },
        // Of a user's processes, which are counted when one has become theirs.
        Errno::EAGAIN => "its user may have no more processes now (`ulimit -u`)".to_owned(),
        Errno::E2BIG => "its arguments and environment are too long".to_owned(),
        other => other.desc().to_lowercase(),
    };
    not_executable(shown, &reason)
}

/// What a script names after `#!`.
fn interpreter(file: &Path) -> Option<String> {
    let mut head = Vec::new();
    // As much as the kernel looks at.
    File::open(file).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    Some(String::from_utf8_lossy(line).split_whitespace().next()?.to_owned())
}

fn not_executable(shown: &str, reason: &str) -> StartError {
    StartError::NotExecutable { program: shown.to_owned(), reason: reason.to_owned() }
}
