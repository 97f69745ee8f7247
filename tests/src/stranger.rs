//! Cargo projects outside this workspace, built as a stranger would build them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::{Output, Place};

/// A project's folder; one package of it and its compiler, where that is another one.
type Wanted = (String, Option<(String, PathBuf)>);

/// A Cargo project of its own, which has been built in debug mode.
#[derive(Debug, Clone)]
pub struct Stranger {
    target: PathBuf,
}

impl Stranger {
    /// Builds the project in a folder of this repository, such as `examples/custom-probes`: all its packages, with
    /// its own lock file where it has one, and once however many tests want it.
    ///
    /// All such projects share a target folder: `VITALD_STRANGER_TARGET`, else `target/stranger`.
    pub fn build(folder: &str) -> Self {
        Self::built(folder, None)
    }

    /// The same of one package by another compiler, in a target folder of its own.
    pub fn build_with(folder: &str, package: &str, rustc: &Path) -> Self {
        Self::built(folder, Some((package, rustc)))
    }

    fn built(folder: &str, other: Option<(&str, &Path)>) -> Self {
        static BUILT: Mutex<BTreeMap<Wanted, Result<Stranger, String>>> = Mutex::new(BTreeMap::new());
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        let owned = other.map(|(package, rustc)| (package.to_owned(), rustc.to_owned()));
        let outcome = built
            .entry((folder.to_owned(), owned))
            .or_insert_with(|| Self::try_build(&repository().join(folder), other));
        outcome.clone().unwrap_or_else(|words| panic!("{folder} cannot be built:\n{words}"))
    }

    /// Builds a project anywhere, or one package of it by another compiler.
    ///
    /// # Errors
    /// It does not build: what cargo said.
    pub fn try_build(project: &Path, other: Option<(&str, &Path)>) -> Result<Self, String> {
        let target = other.map_or_else(target, |_| target().join("other-compiler"));
        let mut command = cargo(project, other.map(|(_, rustc)| rustc));
        match other {
            None => command.args(["build", "--workspace"]),
            Some((package, _)) => command.args(["build", "--package", package]),
        };
        command.arg("--target-dir").arg(&target);
        if project.join("Cargo.lock").exists() {
            command.arg("--locked");
        }
        let output = Output::of(&mut command);
        if output.code == 0 { Ok(Self { target }) } else { Err(output.all()) }
    }

    /// Runs a project's own tests.
    pub fn test(project: &Path) -> Output {
        Output::of(cargo(project, None).arg("test").arg("--target-dir").arg(target()))
    }

    /// The library of a package, by the package's name.
    pub fn library(&self, package: &str) -> PathBuf {
        self.made(&format!("lib{}.so", package.replace('-', "_")))
    }

    /// A program, by its name.
    pub fn program(&self, name: &str) -> PathBuf {
        self.made(name)
    }

    fn made(&self, file: &str) -> PathBuf {
        let path = self.target.join("debug").join(file);
        assert!(path.exists(), "{} was not made", path.display());
        path
    }
}

impl Place {
    /// Puts a library where vitald looks for custom probes here, `plugins/` in the state dir, as a person would:
    /// in one step, and writable by nobody else. Gives its place there.
    pub fn install(&self, library: &Path) -> PathBuf {
        let folder = self.state_dir().join("plugins");
        fs::create_dir_all(&folder).expect("a folder for libraries");
        for folder in [self.state_dir(), &folder] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("a folder of ours");
        }
        let file = folder.join(library.file_name().expect("a file"));
        let new = file.with_extension("new");
        fs::copy(library, &new).unwrap_or_else(|err| panic!("{} to be copied: {err}", library.display()));
        fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).expect("a file of ours");
        fs::rename(&new, &file).expect("a library to be put in place");
        file
    }
}

/// Cargo in a stranger's project: nothing of the cargo that runs the tests leads it.
pub fn cargo(project: &Path, rustc: Option<&Path>) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(project).stdin(Stdio::null());
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_"))) {
        command.env_remove(name);
    }
    for name in ["CARGO_TARGET_DIR", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    match rustc {
        Some(rustc) => command.env("RUSTC", rustc),
        None => command.env_remove("RUSTC"),
    };
    command
}

/// The folder that all of this lies in.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder above the tests").to_owned()
}

fn target() -> PathBuf {
    std::env::var_os("VITALD_STRANGER_TARGET")
        .map_or_else(|| repository().join("target/stranger"), PathBuf::from)
}
