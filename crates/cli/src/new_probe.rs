//! A new crate with a custom probe: what is in it, and how it is called.
//!
//! The crate comes from `templates/probe`, a probe that works and is called `heartbeatFile` there. The SDK's sources
//! come with it, so that it builds wherever it is.

mod names;
mod sources;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use names::Names;
pub(crate) use sources::is_sdk;

/// Where the new crate's SDK is.
#[derive(Debug)]
pub(crate) enum Sdk {
    /// Beside its own sources.
    Along,
    /// In this folder, as it is written into its `Cargo.toml`.
    At(PathBuf),
}

/// The folder of the SDK's sources, in the new crate's.
pub(crate) const ALONG: &str = "vitald";

/// Writes a crate into a folder that is not there yet, all of it or nothing.
///
/// # Errors
/// The folder is there already, or cannot be written.
pub(crate) fn write(folder: &Path, names: &Names, sdk: &Sdk) -> io::Result<()> {
    fs::create_dir(folder)?;
    let written = sources::files(names, sdk)?.iter().try_for_each(|(path, text)| {
        let path = folder.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)
    });
    if written.is_err() {
        // It is the first failure that is told.
        let _ = fs::remove_dir_all(folder);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_comes_along_without_our_tests_and_what_they_need() {
        let names = Names::of("lease", None).unwrap();
        let files = sources::files(&names, &Sdk::Along).unwrap();
        let text = |wanted: &str| {
            let file = files.iter().find(|(path, _)| path == wanted);
            String::from_utf8_lossy(&file.unwrap_or_else(|| panic!("no {wanted}")).1).into_owned()
        };
        assert!(text("vitald/crates/sdk/src/kit.rs").contains("test kit"));
        assert!(!text("vitald/crates/core/src/lifecycle/backoff.rs").is_empty());
        assert!(!files.iter().any(|(path, _)| path.contains("/tests")), "tests came along");
        let workspace = text("vitald/Cargo.toml");
        assert!(workspace.contains("\nschemars = ") && !workspace.contains("insta"), "{workspace}");
        assert!(text("vitald/LICENSE-MIT").contains("Permission"));
        for (path, bytes) in files.iter().filter(|(path, _)| !path.starts_with("vitald/")) {
            let text = String::from_utf8_lossy(bytes).to_lowercase();
            assert!(!text.contains("heartbeatfile") && !text.contains("heartbeat_file"), "{path}:\n{text}");
        }
    }

    #[test]
    fn a_folder_that_is_there_stays_as_it_is() {
        let temp = tempfile::tempdir().unwrap();
        let names = Names::of("lease", None).unwrap();
        let folder = temp.path().join("lease");
        write(&folder, &names, &Sdk::Along).unwrap();
        fs::write(folder.join("src/lib.rs"), "mine").unwrap();
        assert_eq!(write(&folder, &names, &Sdk::Along).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(folder.join("src/lib.rs")).unwrap(), "mine");
    }
}
