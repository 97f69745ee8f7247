//! Debian's packages, where something that the tests need is not there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::workspace::{on_path, say};

/// Keeps packages from starting services as they are installed.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs packages, unless what is wanted of them is `there`, and makes sure that it is then. `what` says it to
/// people.
pub(crate) fn ensure(what: &str, packages: &[&str], there: impl Fn() -> bool) -> Result<()> {
    // Several parts may need something at the same time.
    static ONE_BY_ONE: Mutex<()> = Mutex::new(());
    let _turn = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    if there() {
        return Ok(());
    }
    if on_path("apt-get").is_none() {
        bail!("{what} needed, and there is no apt-get to install it with");
    }
    eprintln!("xtask: installing {}", packages.join(", "));
    let made = make_policy(what)?;
    let installed = install(packages);
    if made {
        fs::remove_file(POLICY).with_context(|| format!("cannot remove {POLICY}"))?;
    }
    installed?;
    if !there() {
        bail!("{what} needed; {} installed, and it is not there", packages.join(", "));
    }
    Ok(())
}

/// No service of the machine's own is to be started. Whether there was no such policy before.
fn make_policy(what: &str) -> Result<bool> {
    if Path::new(POLICY).exists() {
        return Ok(false);
    }
    let cannot = || format!("cannot write {POLICY}: {what} needed, and installing it needs root");
    fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(cannot)?;
    fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).with_context(cannot)?;
    Ok(true)
}

fn install(packages: &[&str]) -> Result<()> {
    let apt = |words: &[&str]| -> Result<()> {
        let mut command = Command::new("apt-get");
        command.args(["-o", "DPkg::Lock::Timeout=180", "-q"]).args(words);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        say(&command);
        if !command.status().context("cannot start apt-get")?.success() {
            bail!("apt-get failed; its words are above");
        }
        Ok(())
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}
