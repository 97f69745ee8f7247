//! The Docker engine that tests start for themselves, and what their image is made of: those on PATH, else
//! Debian's packages.

use std::path::Path;

use anyhow::Result;

use crate::apt;
use crate::workspace::on_path;

/// The last one makes networks of a test's own.
const PROGRAMS: [&str; 3] = ["dockerd", "docker", "ip"];
const BUSYBOX: &str = "/bin/busybox";
const PACKAGES: [&str; 4] = ["docker.io", "busybox-static", "iptables", "iproute2"];

/// Makes sure that an engine can be started, by root.
pub(crate) fn ensure() -> Result<()> {
    apt::ensure(&format!("{} and a static {BUSYBOX} are", PROGRAMS.join(", ")), &PACKAGES, || {
        PROGRAMS.iter().all(|program| on_path(program).is_some()) && Path::new(BUSYBOX).exists()
    })
}
