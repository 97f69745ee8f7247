//! A folder with manifests and state, and all that can be asked and told there.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::program::{Output, Running, program};
use crate::status::{Component, Event, Status};
use crate::{Pid, Traces, eventually, seconds};

/// Where a test works. Clones are the same place, for the threads of a test.
#[derive(Debug, Clone)]
pub struct Place {
    dir: Arc<TempDir>,
    pub(crate) state_dir: PathBuf,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) prefix: Vec<String>,
    /// Where copies of the programs are, if those that were built are not to be used.
    pub(crate) programs: Option<PathBuf>,
}

impl Place {
    /// A folder of its own, and nothing in it yet.
    pub(crate) fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// The same below a folder that is chosen.
    pub(crate) fn new_in(above: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("v").tempdir_in(above).expect("a temporary folder");
        fs::create_dir(dir.path().join("tmp")).expect("a folder for the test's own temporary files");
        let state_dir = dir.path().join("state");
        Self { state_dir, dir: Arc::new(dir), env: Vec::new(), prefix: Vec::new(), programs: None }
    }

    /// Writes other manifests over the first ones. `TRACES` in them is the folder of [`Self::traces`].
    pub fn write_manifests(&self, manifests: &str) {
        let traces = self.traces().dir().display().to_string();
        self.write("manifests/test.yaml", &complete(manifests).replace("TRACES", &traces));
    }

    /// Writes a file into the folder, where vitald and the components also work.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for a file");
        fs::write(&path, text).expect("a file to be written");
        path
    }

    /// A place in the folder.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The state dir.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Where the components of this test keep their traces. The path marks whoever has it as an argument.
    pub fn traces(&self) -> Traces {
        Traces::new(self.path("tmp/traces"))
    }

    /// The same place, with a variable in the environment of vitald.
    pub fn clone_with_env(&self, name: &str, value: &str) -> Self {
        let mut place = self.clone();
        place.env.push((name.to_owned(), value.to_owned()));
        place
    }

    /// The same place, with words before every command.
    pub fn within(&self, prefix: &[&str]) -> Self {
        Self { prefix: prefix.iter().map(|word| (*word).to_owned()).collect(), ..self.clone() }
    }

    /// The words before every command.
    pub fn prefix(&self) -> &[String] {
        &self.prefix
    }

    /// What `vitald run` printed.
    pub fn said(&self) -> String {
        fs::read_to_string(self.path("said")).unwrap_or_default()
    }

    /// `vitald up`, to its end.
    pub fn up(&self) -> Output {
        self.cli(&["up", "-f", "manifests", "--timeout", "20"])
    }

    /// Any command, to its end.
    pub fn cli(&self, args: &[&str]) -> Output {
        Output::of(self.command(args).stdin(Stdio::null()))
    }

    /// Any command, going on beside the test.
    pub fn background(&self, args: &[&str]) -> Running {
        Running::of(self.command(args).stdin(Stdio::null()))
    }

    /// Any command, ready to be started.
    pub fn command(&self, args: &[&str]) -> Command {
        let vitald = self.program("vitald");
        let fixtures = self.program("vitald-fixture");
        let path = [fixtures.parent(), vitald.parent()].map(|dir| dir.expect("a folder").to_owned());
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(path.into_iter().chain(std::env::split_paths(&inherited)));
        let mut words: Vec<OsString> = self.prefix.iter().map(OsString::from).collect();
        if !words.is_empty() {
            // What leads elsewhere may lead to another folder.
            words.extend(["env".into(), "-C".into(), self.dir.path().into()]);
        }
        words.push(vitald.into());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", path.expect("a PATH"))
            .env("HOME", self.dir.path())
            // Every component inherits this one: it is the mark by which leftovers are found.
            .env("TMPDIR", self.path("tmp"))
            .env("VITALD_STATE_DIR", &self.state_dir)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn program(&self, name: &str) -> PathBuf {
        self.programs.as_ref().map_or_else(|| program(name), |folder| folder.join(name))
    }

    /// `vitald status -o json`.
    pub fn status(&self) -> Status {
        self.try_status().unwrap_or_else(|output| panic!("no status: {output:?}\n{}", self.said()))
    }

    /// The same; what the command said if it was in vain.
    pub fn try_status(&self) -> Result<Status, Output> {
        let output = self.cli(&["status", "-o", "json"]);
        if output.code != 0 {
            return Err(output);
        }
        Ok(serde_json::from_str(&output.stdout)
            .unwrap_or_else(|err| panic!("status -o json: {err}\n{}", output.stdout)))
    }

    /// One component, now.
    pub fn component(&self, name: &str) -> Component {
        let status = self.status();
        let found = status.components.iter().find(|component| component.name == name).cloned();
        found.unwrap_or_else(|| panic!("no component {name}: {status:?}"))
    }

    /// Polls a component until the condition holds; gives what was seen then.
    #[track_caller]
    pub fn wait_for(
        &self,
        name: &str,
        what: &str,
        within: Duration,
        mut condition: impl FnMut(&Component) -> bool,
    ) -> Component {
        eventually(
            &format!("{name}: {what}"),
            within,
            || {
                let status = self.try_status().ok()?;
                status.components.into_iter().find(|c| c.name == name && condition(c))
            },
            || self.account(name),
        )
    }

    /// Polls until a component has a process. Its log may be ahead of its status by a moment.
    pub fn wait_pid(&self, name: &str) -> Pid {
        self.wait_for(name, "has a process", Duration::from_secs(10), |c| c.pid.is_some()).pid()
    }

    /// Polls until a component is Running and ready.
    #[track_caller]
    pub fn wait_ready(&self, name: &str) -> Component {
        self.wait_for(name, "running and ready", seconds(15), |c| c.state == "Running" && c.ready)
    }

    /// Polls until a component is in a state.
    #[track_caller]
    pub fn wait_state(&self, name: &str, state: &str, within: Duration) -> Component {
        self.wait_for(name, state, within, |c| c.state == state)
    }

    /// All that a person would want to see when something did not happen.
    fn account(&self, name: &str) -> String {
        let tail = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(30)..].join("\n")
        };
        format!(
            "--- status\n{}\n--- events\n{}\n--- log of {name}\n{}\n--- vitald\n{}{}",
            self.cli(&["status", "-o", "json"]).all(),
            tail(self.cli(&["events"]).all()),
            tail(self.log(name)),
            tail(self.said()),
            tail(fs::read_to_string(self.state_dir.join("vitald.log")).unwrap_or_default()),
        )
    }

    /// A component's log, as it stands in its file.
    pub fn log(&self, name: &str) -> String {
        let path = self.state_dir.join("logs").join(format!("{name}.log"));
        fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Polls until a component's log holds a text; gives the log.
    #[track_caller]
    pub fn wait_log(&self, name: &str, text: &str) -> String {
        let log = || Some(self.log(name)).filter(|log| log.contains(text));
        eventually(&format!("`{text}` in the log of {name}"), seconds(10), log, || self.account(name))
    }

    /// What happened, oldest first.
    pub fn events(&self) -> Vec<Event> {
        let output = self.cli(&["events", "-o", "json"]).expect(0);
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|err| panic!("events -o json: {err}\n{line}"))
        };
        output.stdout.lines().filter(|line| !line.is_empty()).map(parse).collect()
    }

    /// What happened to one component, as `Reason: message`.
    pub fn events_of(&self, name: &str) -> Vec<String> {
        let events = self.events().into_iter().filter(|event| event.component == name);
        events.map(|event| format!("{}: {}", event.reason, event.message)).collect()
    }

    /// The processes that supervise, or are about to.
    pub fn supervisors(&self) -> Vec<Pid> {
        let vitald = fs::canonicalize(self.program("vitald")).expect("a program");
        let supervises = |pid: &Pid| {
            let exe = fs::read_link(format!("/proc/{}/exe", pid.0)).unwrap_or_default();
            exe == vitald && pid.command().split(' ').nth(1) == Some("run")
        };
        let found: Vec<Pid> = self.processes().into_iter().filter(supervises).collect();
        // A child that has not become its program yet looks like its parent.
        let is_child = |pid: &Pid| pid.parent().is_some_and(|parent| found.contains(&parent));
        found.iter().copied().filter(|pid| !is_child(pid)).collect()
    }

    /// Every live process that vitald or one of its components has started, and vitald itself.
    pub fn processes(&self) -> Vec<Pid> {
        Pid::marked(&self.path("tmp").display().to_string())
    }

    /// Panics if anything that was started still runs.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let mut left = self.processes();
        // A process that has just been killed may take a moment to go.
        for _ in 0..50 {
            if left.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
            left = self.processes();
        }
        let left: Vec<_> =
            left.iter().map(|pid| format!("{} ({}) {}", pid.0, pid.state(), pid.command())).collect();
        panic!("still running:\n  {}\n{}", left.join("\n  "), self.said());
    }
}

/// Takes the test's indentation off, and adds to each document what all of them have.
fn complete(manifests: &str) -> String {
    let indentation = manifests
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let plain: String =
        manifests.lines().map(|line| format!("{}\n", line.get(indentation..).unwrap_or(""))).collect();
    let documents = plain.split("\n---\n").map(|document| match document.contains("apiVersion:") {
        true => document.to_owned(),
        false => format!("apiVersion: vitald/v1\nkind: Component\n{}", document.trim_start_matches('\n')),
    });
    documents.collect::<Vec<_>>().join("\n---\n")
}
