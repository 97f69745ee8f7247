//! The stack of `manifests/stigmer` in a network of its own.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use vitald_tests::{Component, Engine, Output, Supervisor, seconds, skip};

use crate::table::Row;

/// All four parts.
pub(crate) const ALL: [&str; 4] = ["temporal", "stigmer-server", "workflow-runner", "agent-runner"];
/// Those that need no engine.
pub(crate) const WITHOUT_CONTAINER: [&str; 3] = ["temporal", "stigmer-server", "workflow-runner"];

/// Longer than any fault takes to be found: a poll of a minute, 90 s without another, three looks.
const FOUND_WITHIN: Duration = Duration::from_secs(260);
/// Longer than any part takes to start on a machine with other things to do.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running stack.
pub(crate) struct Stack {
    supervisor: Supervisor,
    engine: Option<Engine>,
    _network: Network,
}

impl Deref for Stack {
    type Target = Supervisor;

    fn deref(&self) -> &Supervisor {
        &self.supervisor
    }
}

impl Stack {
    /// `vitald up` with these parts; none where the machine gives no network of one's own, which has been told.
    pub(crate) fn up(parts: &[&str]) -> Option<Self> {
        let network = Network::new()?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/stigmer");
        let mut supervisor = Supervisor::prepare_folder(&folder).with_prefix(network.prefix());
        let left_out = ALL.iter().filter(|part| !parts.contains(part));
        for part in left_out {
            std::fs::remove_file(supervisor.path(format!("manifests/{part}.yaml"))).unwrap();
        }
        let engine = parts.contains(&"agent-runner").then(|| {
            let engine = Engine::within(network.prefix());
            engine.import_program("stigmer/agent-runner:latest", &program("stigmer"), &["agent-runner"]);
            engine
        });
        if let Some(engine) = &engine {
            supervisor = supervisor.with_env("DOCKER_HOST", &engine.address());
        }
        let stack = Self { supervisor, engine, _network: network };
        stack.cli(&["up", "-f", "manifests", "--timeout", "120"]).expect(0);
        Some(stack)
    }

    /// Each part began after what it depends on was ready.
    pub(crate) fn assert_came_up_in_order(&self) {
        let status = self.status();
        let began = |name: &str| {
            let part = status.components.iter().find(|part| part.name == name).unwrap();
            assert!(part.state == "Running" && part.ready && part.restart_count == 0, "{part:?}");
            part.began()
        };
        for (first, then) in [("temporal", "stigmer-server"), ("stigmer-server", "workflow-runner")] {
            assert!(began(first) < began(then), "{first} before {then}: {status:?}");
        }
        // The server was told not to supervise its own runner: one process of vitald's, and no other, polls.
        let server = self.component("stigmer-server").pid();
        assert_eq!(server.descendants(), [], "the server started nothing of its own");
    }

    /// Makes one part ill and follows what becomes of it. `told` is the reason or the signal of its last exit.
    #[track_caller]
    pub(crate) fn fault(&self, name: &str, what: &str, told: &str, make: impl FnOnce(&Component)) -> Row {
        let before = self.runs();
        let ill = self.component(name);
        let begun = Instant::now();
        make(&ill);
        let noticed = self.wait_slowly(name, &format!("{what}: found"), FOUND_WITHIN, |part| {
            part.state != "Running" || part.restart_count > ill.restart_count
        });
        let found = begun.elapsed();
        assert!(!noticed.ready && !noticed.message.is_empty(), "{name} {what}: says why: {noticed:?}");
        let mended = self.wait_slowly(name, &format!("{what}: ready again"), READY_WITHIN, |part| {
            part.state == "Running" && part.ready && part.restart_count > ill.restart_count
        });
        let ready = begun.elapsed();
        let exit = mended.last_exit();
        let said = [Some(exit.reason.as_str()), exit.signal.as_deref()];
        assert!(said.contains(&Some(told)), "{name} {what}: {exit:?}");
        assert_eq!(mended.restart_count, ill.restart_count + 1, "{name} {what}: one restart was enough");
        // Whoever lost it for a while comes back by itself.
        self.wait_all_ready(READY_WITHIN);
        let after = self.runs();
        for (other, run) in before.iter().filter(|(other, _)| *other != name) {
            assert_eq!(&after[other], run, "{name} {what}: {other} was well, and is left alone");
        }
        println!("{name} {what}: found after {:.1} s", found.as_secs_f64());
        Row { part: name.into(), fault: what.into(), told: told.into(), found, ready }
    }

    /// Of each part its process and how often it was restarted.
    pub(crate) fn runs(&self) -> BTreeMap<String, (Option<i32>, u64)> {
        let parts = self.status().components;
        parts.into_iter().map(|part| (part.name, (part.pid, part.restart_count))).collect()
    }

    /// As `wait_for`, four times a second: these take minutes, and other tests want the machine.
    #[track_caller]
    pub(crate) fn wait_slowly(
        &self,
        name: &str,
        what: &str,
        within: Duration,
        mut condition: impl FnMut(&Component) -> bool,
    ) -> Component {
        let begun = Instant::now();
        while begun.elapsed() < within {
            let part = self.component(name);
            if condition(&part) {
                return part;
            }
            thread::sleep(seconds(0.25));
        }
        self.wait_for(name, what, seconds(1), condition)
    }

    /// Every part is ready.
    #[track_caller]
    pub(crate) fn wait_all_ready(&self, within: Duration) {
        for part in self.status().components {
            self.wait_slowly(&part.name, "ready", within, |part| part.state == "Running" && part.ready);
        }
    }

    /// The engine's own command, on the container of `agent-runner`.
    pub(crate) fn docker(&self, words: &[&str]) {
        let engine = self.engine.as_ref().unwrap();
        let container = engine.docker(&["ps", "--quiet", "--no-trunc"]).expect(0).stdout;
        let words: Vec<_> =
            words.iter().map(|word| if *word == "CONTAINER" { container.trim() } else { word }).collect();
        engine.docker(&words).expect(0);
    }

    /// `vitald down`, and nothing is left.
    pub(crate) fn down(self) {
        self.cli(&["down"]).expect(0);
        self.assert_nothing_left();
        if let Some(engine) = &self.engine {
            assert_eq!(engine.docker(&["ps", "--all", "--quiet"]).expect(0).stdout, "");
        }
    }
}

/// A program on PATH.
fn program(name: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("no `{name}` on PATH: run this by `cargo xtask test story`"))
}

/// A network namespace with nothing but loopback, for as long as this lives.
pub(crate) struct Network(Child);

impl Network {
    /// None where the machine gives none, which has been told.
    pub(crate) fn new() -> Option<Self> {
        let allowed = Output::of(Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]));
        if allowed.code != 0 {
            skip(&format!("no network of one's own can be had: {}", allowed.stderr.trim()));
            return None;
        }
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = std::io::BufReader::new(holder.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut lines, &mut said).unwrap();
        assert_eq!(said, "up\n");
        Some(Self(holder))
    }

    /// What to put before a command so that it runs in here.
    pub(crate) fn prefix(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--net=/proc/{}/ns/net", self.0.id())]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
