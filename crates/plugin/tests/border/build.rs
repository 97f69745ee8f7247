//! Libraries for these tests, built as a stranger would: by cargo in a project of its own, or by a C compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("border").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|err| panic!("{command:?}: {err}"));
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Builds a crate of this source. All share a target folder, since they share their dependencies.
pub(crate) fn rust(name: &str, version: &str, source: &str) -> PathBuf {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\n\n\
         [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n\
         [dependencies]\nvitald-sdk = {{ path = {sdk:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\
         schemars = \"1\"\ntokio = {{ version = \"1\", features = [\"net\", \"time\"] }}\n\n\
         [profile.dev]\ndebug = false\n\n[workspace]\n"
    );
    let folder = folder(name);
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("src/lib.rs"), source).unwrap();
    // The versions that are here already.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    fs::copy(lock, folder.join("Cargo.lock")).unwrap();
    let target = self::folder("target");
    let build = ["build", "--offline", "--quiet"];
    run(Command::new(env!("CARGO")).args(build).current_dir(&folder).env("CARGO_TARGET_DIR", &target));
    target.join("debug").join(format!("lib{}.so", name.replace('-', "_")))
}

/// The library of `probes.rs`.
pub(crate) fn probes() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| rust("border-probes", "1.2.3", include_str!("probes.rs")))
}

/// Builds `border.c`, as bad as `bad` says.
pub(crate) fn c(bad: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = folder("c").join(format!("libeven-{bad}.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]);
    compiler.arg(format!("-DBAD={bad}")).arg("-I").arg(here.join("../sdk/include"));
    run(compiler.arg(here.join("tests/border/border.c")).arg("-o").arg(&file));
    file
}
