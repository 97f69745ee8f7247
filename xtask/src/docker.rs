//! The Docker engine that tests start for themselves, and what their image is made of: those on PATH, else
//! Debian's packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::workspace::{on_path, say};

/// The last one makes networks of a test's own.
const PROGRAMS: [&str; 3] = ["dockerd", "docker", "ip"];
const BUSYBOX: &str = "/bin/busybox";
const PACKAGES: [&str; 4] = ["docker.io", "busybox-static", "iptables", "iproute2"];

/// Keeps packages from starting services as they are installed.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Makes sure that an engine can be started, by root.
pub(crate) fn ensure() -> Result<()> {
    // Several parts may need it at the same time.
    static ONE_BY_ONE: Mutex<()> = Mutex::new(());
    let _turn = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let there = || PROGRAMS.iter().all(|program| on_path(program).is_some()) && Path::new(BUSYBOX).exists();
    if there() {
        return Ok(());
    }
    if on_path("apt-get").is_none() {
        bail!(
            "{} and a static {BUSYBOX} are needed, and there is no apt-get to install them",
            PROGRAMS.join(", ")
        );
    }
    eprintln!("xtask: installing {}", PACKAGES.join(", "));
    let made = make_policy()?;
    let installed = install();
    if made {
        fs::remove_file(POLICY).with_context(|| format!("cannot remove {POLICY}"))?;
    }
    installed?;
    if !there() {
        bail!(
            "{} are installed, and {} or {BUSYBOX} are not there",
            PACKAGES.join(", "),
            PROGRAMS.join(", ")
        );
    }
    Ok(())
}

/// No engine of the machine's own is to be started. Whether there was none of it before.
fn make_policy() -> Result<bool> {
    if Path::new(POLICY).exists() {
        return Ok(false);
    }
    let cannot = || format!("cannot write {POLICY}: docker tests need root");
    fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(cannot)?;
    fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).with_context(cannot)?;
    Ok(true)
}

fn install() -> Result<()> {
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
    apt(&[&["install", "--yes", "--no-install-recommends"], &PACKAGES[..]].concat())
}
