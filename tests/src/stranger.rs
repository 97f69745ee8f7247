//! Cargo projects outside this workspace, built as a stranger would build them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::{Output, Place};

/// How a project is built, apart from its folder.
#[derive(Debug, Clone, Copy, Default)]
struct How<'a> {
    /// One package of it, if not all.
    package: Option<&'a str>,
    /// Its compiler, if that is another one.
    rustc: Option<&'a Path>,
    /// Its profile, if it is not the one for debugging.
    profile: Option<&'a str>,
}

/// A project's folder, the package, its compiler and its profile.
type Wanted = (String, Option<String>, Option<PathBuf>, Option<String>);

/// A Cargo project of its own, which has been built.
#[derive(Debug, Clone)]
pub struct Stranger {
    /// Where it was put.
    made: PathBuf,
}

impl Stranger {
    /// Builds the project in a folder of this repository, such as `examples/custom-probes`: all its packages and
    /// their examples in debug mode, with its own lock file where it has one, and once however many tests want it.
    ///
    /// All such projects share a target folder: `VITALD_STRANGER_TARGET`, else `target/stranger`.
    pub fn build(folder: &str) -> Self {
        Self::built(folder, How::default())
    }

    /// The same in a profile of the project's own.
    pub fn build_as(folder: &str, profile: &str) -> Self {
        Self::built(folder, How { profile: Some(profile), ..How::default() })
    }

    /// One package of it by another compiler, in a target folder of its own.
    pub fn build_with(folder: &str, package: &str, rustc: &Path) -> Self {
        Self::built(folder, How { package: Some(package), rustc: Some(rustc), ..How::default() })
    }

    fn built(folder: &str, how: How<'_>) -> Self {
        static BUILT: Mutex<BTreeMap<Wanted, Result<Stranger, String>>> = Mutex::new(BTreeMap::new());
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        let (package, profile) = (how.package.map(str::to_owned), how.profile.map(str::to_owned));
        let key = (folder.to_owned(), package, how.rustc.map(Path::to_owned), profile);
        let outcome = built.entry(key).or_insert_with(|| Self::try_how(&repository().join(folder), how));
        outcome.clone().unwrap_or_else(|words| panic!("{folder} cannot be built:\n{words}"))
    }

    /// Builds a project anywhere. What cargo said, where it cannot be built.
    ///
    /// # Errors
    /// It does not build.
    pub fn try_build(project: &Path, rustc: Option<&Path>) -> Result<Self, String> {
        Self::try_how(project, How { rustc, ..How::default() })
    }

    fn try_how(project: &Path, how: How<'_>) -> Result<Self, String> {
        let target = match how.rustc {
            None => target(),
            Some(_) => target().join("other-compiler"),
        };
        let mut command = cargo(project, how.rustc);
        command.args(["build", "--lib", "--bins", "--examples", "--target-dir"]).arg(&target);
        match how.package {
            None => command.arg("--workspace"),
            Some(package) => command.args(["--package", package]),
        };
        if let Some(profile) = how.profile {
            command.args(["--profile", profile]);
        }
        if project.join("Cargo.lock").exists() {
            command.arg("--locked");
        }
        let output = Output::of(&mut command);
        let made = target.join(how.profile.unwrap_or("debug"));
        if output.code == 0 { Ok(Self { made }) } else { Err(output.all()) }
    }

    /// Runs a project's own tests.
    pub fn test(project: &Path) -> Output {
        Output::of(cargo(project, None).arg("test").arg("--target-dir").arg(target()))
    }

    /// The library of a package or an example, by its name.
    pub fn library(&self, package: &str) -> PathBuf {
        self.made(&format!("lib{}.so", package.replace('-', "_")))
    }

    /// A program, by its name.
    pub fn program(&self, name: &str) -> PathBuf {
        self.made(name)
    }

    fn made(&self, file: &str) -> PathBuf {
        let places = [self.made.join(file), self.made.join("examples").join(file)];
        let found = places.iter().find(|path| path.exists());
        found.unwrap_or_else(|| panic!("{} was not made", places[0].display())).clone()
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
