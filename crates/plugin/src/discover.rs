//! Where libraries lie: `*.so` in the folders given, in order.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::trust;

/// A folder to look for libraries in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a mistake that it is not there.
    pub must_exist: bool,
}

impl Folder {
    /// A folder that somebody has named, and that must be there: `--plugin-dir`.
    pub fn named(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), must_exist: true }
    }

    /// A folder that is looked into if it is there.
    pub fn optional(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), must_exist: false }
    }

    /// The folders of a list such as `VITALD_PLUGIN_PATH`: divided by `:`, those that are not there passed over.
    pub fn list(paths: &OsStr) -> Vec<Self> {
        std::env::split_paths(paths).filter(|path| !path.as_os_str().is_empty()).map(Self::optional).collect()
    }
}

impl Folder {
    /// Why nothing in it is trusted, if that is so: others may write to it, or to what is above it. One that is not
    /// there is trusted.
    pub fn distrust(&self) -> Option<String> {
        match self.path.try_exists() {
            Ok(false) => None,
            Ok(true) | Err(_) => trust::check_folder(&self.path).err().map(|err| err.to_string()),
        }
    }
}

/// The libraries in a folder, in the order of their names. None, if it is not there and need not be.
///
/// # Errors
/// It cannot be read.
pub(crate) fn libraries(folder: &Folder) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(&folder.path) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound && !folder.must_exist => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry?.path();
        if is_library(&file) {
            files.push(std::path::absolute(file)?);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether its name is that of a library; what begins with a dot is somebody's half-written copy.
fn is_library(file: &Path) -> bool {
    let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && file.extension() == Some(OsStr::new("so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_by_name_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["libb.so", "liba.so", "liba.so.1", ".libc.so", "README", "libz.d"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = libraries(&Folder::named(dir.path())).unwrap();
        let names: Vec<_> = found.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["liba.so", "libb.so"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_mistake_only_where_somebody_named_it() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        assert_eq!(libraries(&Folder::optional(&missing)).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(libraries(&Folder::named(&missing)).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_list_of_folders_is_divided_at_colons() {
        let folders = Folder::list(OsStr::new("/a::/b/c:"));
        assert_eq!(folders, [Folder::optional("/a"), Folder::optional("/b/c")]);
    }
}
