//! `cargo xtask schema`: the schema that the manifests of the repository name in their first line.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, say};

/// Writes `manifests/schema.json`, as `vitald schema` has it where there are no custom probes.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    workspace.cargo(["build", "--package", "vitald"])?;
    let mut vitald = Command::new(workspace.programs("debug").join("vitald"));
    // A state dir that is not there, and with it no libraries of custom probes.
    let nowhere = workspace.target().join("no-state");
    vitald.arg("--state-dir").arg(nowhere).arg("schema").env_remove("VITALD_PLUGIN_PATH");
    say(&vitald);
    let output = vitald.output().context("cannot start vitald")?;
    if !output.status.success() {
        bail!("vitald failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let file = workspace.root().join("manifests/schema.json");
    fs::write(&file, &output.stdout).with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("xtask: wrote {}", file.display());
    Ok(())
}
