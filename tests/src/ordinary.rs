//! vitald as an ordinary user has it, in tests that root runs.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use crate::{Output, Place, Supervisor, program};

/// The programs that a test starts by name.
const PROGRAMS: [&str; 2] = ["vitald", "vitald-fixture"];

impl Supervisor {
    /// As [`prepare`](Self::prepare), but all belongs to this user, who need not be known to the system, and who runs
    /// everything with no right but their own. Only root can do that.
    pub fn prepare_for(uid: u32, manifests: &str) -> Self {
        // Other folders for temporary files, and what was built, may lie where only root can reach them.
        let mut prepared = Self::prepare_at(Place::new_in(Path::new("/tmp")), manifests);
        let programs = prepared.path("programs");
        fs::create_dir(&programs).expect("a folder for programs");
        // By another process: what we had open for writing, a child of another test might still have, and who is
        // being written to cannot be executed.
        let mut install = Command::new("install");
        install.args(["-m", "755", "-t"]).arg(&programs).args(PROGRAMS.map(program));
        Output::of(&mut install).expect(0);
        give(&prepared.path(""), uid);
        let user = [format!("--reuid={uid}"), format!("--regid={uid}")];
        let prefix = ["setpriv".to_owned()].into_iter().chain(user).chain(["--clear-groups".to_owned()]);
        prepared.place.prefix = prefix.collect();
        prepared.place.programs = Some(programs);
        prepared
    }
}

fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap_or_else(|err| panic!("{} to be given: {err}", path.display()));
    for entry in fs::read_dir(path).into_iter().flatten() {
        give(&entry.expect("an entry of a folder").path(), uid);
    }
}
