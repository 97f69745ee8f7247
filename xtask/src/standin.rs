//! The stand-in for stigmer's programs, written in Go as they are: a static binary, which is also all that its container
//! image holds.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::temporal;
use crate::workspace::{Workspace, say};

/// Builds it where anything changed, and says in which folder it lies.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let Some(go) = temporal::find_go() else {
        bail!(
            "there is no Go to build the stand-in for stigmer with: install Go 1.26 or later (https://go.dev/dl)"
        );
    };
    let folder = workspace.target().join("stigmer");
    let mut command = Command::new(go);
    command
        .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(folder.join("stigmer"))
        .arg(".")
        .current_dir(workspace.root().join("tests/stigmer/standin"))
        .env("CGO_ENABLED", "0");
    // Set to another machine or a vendored tree, these would build something else, or nothing.
    for name in ["GOOS", "GOARCH", "GOFLAGS"] {
        command.env_remove(name);
    }
    say(&command);
    if !command.status().context("cannot start go")?.success() {
        bail!("the stand-in for stigmer cannot be built; go's words are above");
    }
    Ok(folder)
}
