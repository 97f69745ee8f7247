//! What a check costs, by where its probe is: the same question, asked by the product's own code.

use anyhow::{Result, bail};

use crate::workspace::{Workspace, say};

/// So many checks in each way; prints a table.
pub(crate) fn plugins(workspace: &Workspace, checks: usize) -> Result<()> {
    workspace.cargo(["build", "--release", "--package", "vitald"])?;
    workspace.cargo(["build", "--release", "--package", "vitald-plugin", "--example", "cost"])?;
    // A stranger's project, with a lock file of its own.
    let strangers = workspace.target().join("stranger");
    let mut command = workspace.cargo_command(["build", "--release", "--locked", "--package", "exists"]);
    command.current_dir(workspace.root().join("tests/plugins")).arg("--target-dir").arg(&strangers);
    say(&command);
    if !command.status()?.success() {
        bail!("the library cannot be built");
    }

    // Alone in a folder: others there would be loaded, too.
    let folder = std::env::temp_dir().join(format!("vitald-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(strangers.join("release/libexists.so"), folder.join("libexists.so"))?;
    let programs = workspace.programs("release");
    let mut command = std::process::Command::new(programs.join("examples/cost"));
    command.arg(&folder).arg(programs.join("vitald")).arg(checks.to_string());
    say(&command);
    let status = command.status();
    let _ = std::fs::remove_dir_all(&folder);
    if !status?.success() {
        bail!("the checks cannot be measured");
    }
    Ok(())
}
