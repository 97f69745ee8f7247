//! The Temporal SDK for Python, for real workers: a pinned one in a virtual environment, made once and kept
//! outside the tree.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::keep;
use crate::workspace::{on_path, say};

const VERSION: &str = "1.35.0";

/// Makes sure that there is a Python with the SDK, and says which program it is.
pub(crate) fn ensure() -> Result<PathBuf> {
    let python = keep(&format!("temporalio-{VERSION}"), make)?.join("bin/python");
    eprintln!("xtask: using {}", python.display());
    Ok(python)
}

fn make(dir: &Path) -> Result<()> {
    let Some(python) = on_path("python3") else {
        bail!("there is no `python3` on PATH to run Temporal's workers with: install Python 3.10 or later");
    };
    let mut venv = Command::new(python);
    run(venv.args(["-m", "venv"]).arg(dir)).context("is python3-venv installed?")?;
    // By the program itself: what pip writes into scripts is a path that changes.
    let python = dir.join("bin/python");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    run(pip.arg(format!("temporalio=={VERSION}")))?;
    run(Command::new(&python).args(["-c", "import temporalio.client, temporalio.worker"]))
}

fn run(command: &mut Command) -> Result<()> {
    say(command);
    let status = command.status().context("cannot start Python")?;
    if !status.success() {
        bail!("Python failed; its words are above");
    }
    Ok(())
}
