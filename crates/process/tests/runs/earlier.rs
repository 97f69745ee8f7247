//! An earlier supervisor: this test program once more, as a process of its own that can be killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vitald_core::restarter::{ExecRequest, ProcessIdentity, Restarter, RunId};
use vitald_core::spec::ProcessSpec;
use vitald_process::{Paths, ProcessRestarter};

use crate::bed::{Bed, eventually};

/// Names the folder of the component that it is to start.
const FOLDER: &str = "EARLIER_SUPERVISOR";

/// The number of the run that it starts.
pub(crate) const RUN: RunId = RunId(7);

/// A living supervisor that has started run [`RUN`] of a component.
pub(crate) struct Earlier {
    process: Child,
    /// The main process that it started.
    pub(crate) recorded: ProcessIdentity,
}

impl Earlier {
    /// Starts one with the component of `bed`.
    pub(crate) async fn start(bed: &Bed) -> Self {
        Self::with_command(bed, None).await
    }

    /// Starts one that also runs `command` as a probe would.
    pub(crate) async fn with_command(bed: &Bed, command: Option<&str>) -> Self {
        let process = Self::begin(bed, command);
        eventually("its record", || bed.path("record").exists()).await;
        let recorded = fs::read_to_string(bed.path("record")).unwrap();
        Self { process, recorded: serde_json::from_str(&recorded).unwrap() }
    }

    /// A supervisor that is about to start the component.
    pub(crate) fn begin(bed: &Bed, command: Option<&str>) -> Child {
        let command: Vec<&str> = command.map(|script| vec!["/bin/sh", "-c", script]).unwrap_or_default();
        let order = serde_json::to_string(&(&bed.spec, &bed.inherited, command)).unwrap();
        bed.write("order", &order, 0o600);
        let _ = fs::remove_file(bed.path("record"));
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "earlier::as_an_earlier_supervisor"])
            .env(FOLDER, bed.dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Stops it where it stands: it reaps nobody any more.
    pub(crate) fn freeze(&self) {
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGSTOP).unwrap();
    }

    /// Kills it; gives what it recorded.
    pub(crate) fn die(mut self) -> ProcessIdentity {
        self.end();
        self.recorded.clone()
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Earlier {
    fn drop(&mut self) {
        self.end();
    }
}

/// Not a test: what the other process does.
#[tokio::test]
async fn as_an_earlier_supervisor() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let order = fs::read_to_string(folder.join("order")).unwrap();
    let (spec, inherited, command): (ProcessSpec, BTreeMap<String, String>, Vec<String>) =
        serde_json::from_str(&order).unwrap();
    let paths = Paths { log: folder.join("logs/it.log"), lock: folder.join("locks/it.lock") };
    let restarter = ProcessRestarter::new("it", &spec, Duration::from_secs(5), paths, inherited, None);
    let run = restarter.start(RUN).await.unwrap();
    let record = serde_json::to_string(&run.process()).unwrap();
    fs::write(folder.join("record.new"), record).unwrap();
    fs::rename(folder.join("record.new"), folder.join("record")).unwrap();
    let executor = restarter.executor();
    while !command.is_empty() {
        let request = ExecRequest { command: command.clone(), ..ExecRequest::default() };
        executor.exec(request).await.unwrap();
        fs::write(folder.join("command-is-done"), "").unwrap();
    }
    run.gone().await;
    std::future::pending::<()>().await;
}
