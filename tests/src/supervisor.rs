//! A `vitald` in a folder of its own.

use std::fs;
use std::ops::Deref;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::{Pid, Place, eventually, seconds};

/// A [`Place`], and the vitald that works there, if one does.
///
/// Dropped, it stops everything; what does not go fails the test.
pub struct Supervisor {
    pub(crate) place: Place,
    foreground: Option<Child>,
}

impl Deref for Supervisor {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Supervisor {
    /// Writes the manifests, and starts nothing. Each document may leave out `apiVersion` and `kind`, and
    /// be indented as the test is.
    pub fn prepare(manifests: &str) -> Self {
        Self::prepare_at(Place::new(), manifests)
    }

    pub(crate) fn prepare_at(place: Place, manifests: &str) -> Self {
        place.write_manifests(manifests);
        Self { place, foreground: None }
    }

    /// The same with a copy of a folder of manifests, and of what lies beside them.
    pub fn prepare_folder(folder: &Path) -> Self {
        let prepared = Self { place: Place::new(), foreground: None };
        copy(folder, &prepared.path("manifests")).expect("a folder to be copied");
        prepared
    }

    /// `vitald run`; returns once it answers.
    pub fn run(manifests: &str) -> Self {
        let mut supervisor = Self::prepare(manifests);
        supervisor.start();
        supervisor
    }

    /// Puts the state dir somewhere else; before anything is started.
    pub fn with_state_dir(mut self, state_dir: PathBuf) -> Self {
        self.place.state_dir = state_dir;
        self
    }

    /// Sets a variable in the environment of vitald.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.place.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts words before every command, such as those that lead into a namespace.
    pub fn with_prefix(mut self, prefix: Vec<String>) -> Self {
        self.place.prefix = prefix;
        self
    }

    /// `vitald run` in the foreground; returns once it answers.
    pub fn start(&mut self) {
        self.spawn_run();
        eventually(
            "vitald run to answer",
            seconds(10),
            || {
                if let Some(child) = &mut self.foreground
                    && let Some(status) = child.try_wait().expect("a child's status")
                {
                    panic!("vitald run ended with {status}:\n{}", self.said());
                }
                (self.cli(&["status"]).code == 0).then_some(())
            },
            || String::from("no answer to `vitald status`"),
        );
    }

    /// `vitald run` without waiting for anything.
    pub fn spawn_run(&mut self) {
        let said = fs::File::options().create(true).append(true).open(self.path("said")).expect("a file");
        let child = self
            .command(&["run", "-f", "manifests"])
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("a second descriptor"))
            .stderr(said)
            .spawn()
            .expect("vitald to start");
        self.foreground = Some(child);
    }

    /// The supervisor's process.
    pub fn pid(&self) -> Pid {
        match &self.foreground {
            Some(child) => Pid(i32::try_from(child.id()).expect("a pid")),
            None => *self.supervisors().first().unwrap_or_else(|| panic!("no supervisor: {}", self.said())),
        }
    }

    /// Kills the supervisor, and it alone, by SIGKILL.
    pub fn kill9(&mut self) {
        let pid = self.pid();
        pid.kill();
        if let Some(mut child) = self.foreground.take() {
            let _ = child.wait();
        }
        pid.wait_gone(seconds(5));
    }

    /// Kills every supervisor that works here, however it was started and whether it answers already; gives
    /// them.
    pub fn kill_supervisors(&mut self) -> Vec<Pid> {
        let mut found = self.supervisors();
        if self.foreground.is_some() && !found.contains(&self.pid()) {
            found.push(self.pid());
        }
        found.iter().for_each(|pid| pid.kill());
        if let Some(mut child) = self.foreground.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        found.iter().for_each(|pid| pid.wait_gone(seconds(5)));
        found
    }

    /// Waits for the end of `vitald run`; gives its exit status, or minus the signal that ended it.
    #[track_caller]
    pub fn exit(&mut self, within: Duration) -> i32 {
        let mut child = self.foreground.take().expect("vitald run was started");
        let seen = self.path("said");
        let status = eventually(
            "the end of vitald run",
            within,
            || child.try_wait().expect("a child's status"),
            || fs::read_to_string(seen).unwrap_or_default(),
        );
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
    }

    /// Ends `vitald run` as Ctrl-C does, and gives its exit status.
    #[track_caller]
    pub fn ctrl_c(&mut self, within: Duration) -> i32 {
        self.pid().signal(Signal::SIGINT);
        self.exit(within)
    }

    /// Asks the supervisor to end, twice if once is not enough.
    fn end(&mut self) {
        let pid = match &self.foreground {
            Some(_) => self.pid(),
            None => match self.supervisors().first() {
                Some(pid) => *pid,
                None => return,
            },
        };
        for _ in 0..2 {
            pid.signal(Signal::SIGTERM);
            for _ in 0..150 {
                let gone = match &mut self.foreground {
                    Some(child) => child.try_wait().ok().flatten().is_some(),
                    None => !pid.exists(),
                };
                if gone {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?
        } else {
            fs::copy(entry.path(), to).map(drop)?
        }
    }
    Ok(())
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- vitald said\n{}", self.said());
        } else {
            self.end();
        }
        let left = self.processes();
        let names: Vec<_> = left.iter().map(|pid| format!("{} {}", pid.0, pid.command())).collect();
        let cgroups: Vec<_> = left.iter().filter_map(|pid| pid.cgroup_of_a_component()).collect();
        left.iter().for_each(|pid| pid.kill());
        if let Some(mut child) = self.foreground.take() {
            let _ = child.wait();
        }
        for _ in 0..50 {
            // What nobody is left to remove; as soon as the killed have gone.
            if cgroups.iter().all(|dir| fs::remove_dir(dir).is_ok() || !dir.exists()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if !std::thread::panicking() && !left.is_empty() {
            panic!("vitald has ended and left these running:\n  {}", names.join("\n  "));
        }
    }
}
