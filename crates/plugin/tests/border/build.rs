//! Libraries for these tests, built as a stranger would: by cargo in a project of its own, or by a C compiler.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("border").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|err| panic!("{command:?}: {err}"))
}

fn succeed(output: Output, what: &str) {
    assert!(output.status.success(), "{what}:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// A project of this source, and where what is built of it lies. All share that folder, as they share what they
/// depend on.
struct Project {
    folder: PathBuf,
    target: PathBuf,
}

impl Project {
    fn new(name: &str, version: &str, file: &str, source: &str, with: &[&str]) -> Self {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\n\n\
             [dependencies]\nvitald-sdk = {{ path = {:?} }}\nvitald-core = {{ path = {:?} }}\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\nschemars = \"1\"\n\
             tokio = {{ version = \"1\", features = [\"net\", \"time\"] }}\n",
            crates.join("sdk"),
            crates.join("core"),
        );
        for other in with {
            writeln!(manifest, "{other} = {{ path = {:?} }}", folder(other)).unwrap();
        }
        if file == "lib.rs" {
            manifest.push_str("\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n");
        }
        manifest.push_str(
            "\n[profile.dev]\ndebug = false\n\n[profile.aborting]\ninherits = \"dev\"\npanic = \"abort\"\n\n\
             [workspace]\n",
        );
        let folder = folder(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::write(folder.join("src").join(file), source).unwrap();
        // The versions that are here already.
        fs::copy(crates.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        Self { folder, target: self::folder("target") }
    }

    fn build(&self, profile: &str) -> Output {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--quiet", "--profile", profile]).current_dir(&self.folder);
        run(cargo.env("CARGO_TARGET_DIR", &self.target))
    }

    fn library(&self, folder: &str) -> PathBuf {
        let name = self.folder.file_name().unwrap().to_str().unwrap().replace('-', "_");
        self.target.join(folder).join(format!("lib{name}.so"))
    }
}

/// Builds a library.
pub(crate) fn rust(name: &str, version: &str, source: &str) -> PathBuf {
    rust_with(name, version, source, &[])
}

/// Builds a library that depends on others that were built here.
pub(crate) fn rust_with(name: &str, version: &str, source: &str, with: &[&str]) -> PathBuf {
    let project = Project::new(name, version, "lib.rs", source, with);
    succeed(project.build("dev"), name);
    project.library("debug")
}

/// Builds a library of which a panic aborts.
pub(crate) fn aborting(name: &str, source: &str) -> PathBuf {
    let project = Project::new(name, "0.1.0", "lib.rs", source, &[]);
    succeed(project.build("aborting"), name);
    project.library("aborting")
}

/// Builds a program that links libraries that were built here.
pub(crate) fn program(name: &str, source: &str, with: &[&str]) -> PathBuf {
    let project = Project::new(name, "0.1.0", "main.rs", source, with);
    succeed(project.build("dev"), name);
    project.target.join("debug").join(name)
}

/// What the compiler says of a library that it refuses.
pub(crate) fn mistake(name: &str, source: &str) -> String {
    let output = Project::new(name, "0.1.0", "lib.rs", source, &[]).build("dev");
    assert!(!output.status.success(), "{name} was built");
    String::from_utf8(output.stderr).unwrap()
}

/// The library of `probes.rs`.
pub(crate) fn probes() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| rust("border-probes", "1.2.3", include_str!("probes.rs")))
}

/// Builds `border.c`, as bad as `bad` says.
pub(crate) fn c(bad: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder("c");
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let new = folder.join(format!("{bad}.{}.new", LAST.fetch_add(1, Ordering::Relaxed)));
    let file = folder.join(format!("libeven-{bad}.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]);
    compiler.arg(format!("-DBAD={bad}")).arg("-I").arg(here.join("../sdk/include"));
    succeed(run(compiler.arg(here.join("tests/border/border.c")).arg("-o").arg(&new)), bad);
    // Tests that build the same one at once get a whole one each.
    fs::rename(new, &file).unwrap();
    file
}
