//! vitald as an ordinary user has it, in tests that root runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use crate::{Supervisor, program};

/// The programs that a test starts by name.
const PROGRAMS: [&str; 2] = ["vitald", "vitald-fixture"];

impl Supervisor {
    /// Gives the folder to this user, who need not be known to the system, and has them run everything from now on,
    /// with no right but their own. Only root can.
    pub fn as_user(mut self, uid: u32) -> Self {
        // Those that were built may lie where only root can reach them.
        let programs = self.path("programs");
        fs::create_dir(&programs).expect("a folder for programs");
        for name in PROGRAMS {
            let copy = programs.join(name);
            fs::copy(program(name), &copy).unwrap_or_else(|err| panic!("{name} to be copied: {err}"));
            fs::set_permissions(copy, Permissions::from_mode(0o755)).expect("a program for everybody");
        }
        give(&self.path(""), uid);
        let user = [format!("--reuid={uid}"), format!("--regid={uid}")];
        let prefix = ["setpriv".to_owned()].into_iter().chain(user).chain(["--clear-groups".to_owned()]);
        self.place.prefix = prefix.collect();
        self.place.programs = Some(programs);
        self
    }
}

fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap_or_else(|err| panic!("{} to be given: {err}", path.display()));
    for entry in fs::read_dir(path).into_iter().flatten() {
        give(&entry.expect("an entry of a folder").path(), uid);
    }
}
