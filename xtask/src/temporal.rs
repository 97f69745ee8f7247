//! The Temporal CLI, which contains the development server: the one on PATH, else a pinned one, built
//! once with Go and kept outside the tree.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cache::keep;
use crate::workspace::{on_path, say};

/// The newest version that `go install` accepts: later ones have `replace` lines in their go.mod.
const VERSION: &str = "v1.5.1";
const PACKAGE: &str = "github.com/temporalio/cli/cmd/temporal";

/// Makes sure that there is a `temporal`, and says in which directory.
pub(crate) fn ensure() -> Result<PathBuf> {
    let found = match on_path("temporal") {
        Some(found) => found,
        None => keep(&format!("temporal-{VERSION}"), make)?.join("temporal"),
    };
    eprintln!("xtask: using {}", found.display());
    Ok(found.parent().context("a program without a directory")?.to_owned())
}

fn make(dir: &Path) -> Result<()> {
    build(dir)?;
    let program = dir.join("temporal");
    let works = Command::new(&program).arg("--version").output();
    if !works.is_ok_and(|output| output.status.success()) {
        bail!("the temporal that go built does not run: {}", program.display());
    }
    Ok(())
}

fn build(into: &Path) -> Result<()> {
    let Some(go) = find_go() else {
        bail!(
            "there is no `temporal` on PATH, and no Go to build it with: install Go 1.25 or later \
             (https://go.dev/dl), or the Temporal CLI"
        );
    };
    let mut command = Command::new(go);
    command.args(["install", &format!("{PACKAGE}@{VERSION}")]).env("GOBIN", into);
    // Set to another machine or a vendored tree, these would install elsewhere, or not at all.
    for name in ["GOOS", "GOARCH", "GOFLAGS"] {
        command.env_remove(name);
    }
    eprintln!("xtask: there is no `temporal` on PATH; building {VERSION} once, some four minutes");
    say(&command);
    let mut child = command.spawn().context("cannot start go")?;
    let (done, is_done) = mpsc::channel::<()>();
    let ticker = std::thread::spawn(move || {
        let begun = Instant::now();
        while is_done.recv_timeout(Duration::from_secs(30)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("xtask: still building temporal, {} s", begun.elapsed().as_secs());
        }
    });
    let status = child.wait();
    drop(done);
    let _ = ticker.join();
    if !status?.success() {
        bail!("go install {PACKAGE}@{VERSION} failed; its words are above");
    }
    Ok(())
}

/// On PATH, or where Go's own installer puts it, which is often not on PATH.
pub(crate) fn find_go() -> Option<PathBuf> {
    on_path("go").or_else(|| Some(PathBuf::from("/usr/local/go/bin/go")).filter(|go| go.exists()))
}
