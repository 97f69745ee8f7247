//! What happens to them.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;

use vitald_tests::{Dice, Pid, Place, Supervisor, eventually, seconds, since_boot};

use super::cast;

/// What the threads share.
pub(crate) struct Storm {
    pub(crate) over: AtomicBool,
    pub(crate) said: Mutex<Said>,
    pub(crate) dir: PathBuf,
}

/// What was done, and what was seen to be wrong.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) story: Vec<String>,
    pub(crate) faults: Vec<String>,
    pub(crate) commands: Vec<Commanded>,
    /// Pids of `victim` that the test has killed.
    pub(crate) killed: usize,
    /// How often `sick` was made so.
    pub(crate) sickened: usize,
    /// Different specs of `changing`.
    pub(crate) changes: usize,
    /// When these were written.
    pub(crate) edits: Vec<u64>,
    pub(crate) polls: usize,
    /// When supervisors were killed: from the look for them to their end.
    pub(crate) kills: Vec<(u64, u64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Commanded {
    pub(crate) verb: &'static str,
    pub(crate) name: String,
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) code: i32,
}

impl Storm {
    pub(crate) fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Said) -> T) -> T {
        change(&mut self.said.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(crate) fn say(&self, what: String) {
        self.with(|said| said.story.push(format!("{} {what}", since_boot())));
    }

    pub(crate) fn fault(&self, what: String) {
        self.with(|said| {
            if said.faults.len() < 30 {
                said.faults.push(format!("{} {what}", since_boot()));
            }
        });
    }
}

/// Kills supervisors, each a while after it was started: in the middle of taking over, or when all is well.
pub(crate) fn kill(storm: &Storm, s: &mut Supervisor, dice: &mut Dice, times: usize) {
    let mut killed = 0;
    while killed < times {
        let wait = match dice.below(3) {
            0 => dice.ms(0, 150),
            1 => dice.ms(150, 1500),
            _ => {
                // When it has taken over, and commands reach it.
                let answers = || (s.cli(&["status"]).code == 0).then_some(());
                eventually("a supervisor to answer", seconds(30), answers, || s.said());
                dice.ms(0, 2000)
            }
        };
        sleep(wait);
        let from = since_boot();
        let found = eventually(
            "a supervisor to kill",
            seconds(20),
            || Some(s.kill_supervisors()).filter(|found| !found.is_empty()),
            || "there is none".to_owned(),
        );
        killed += 1;
        storm.with(|said| said.kills.push((from, since_boot())));
        storm.say(format!("kill {killed} of {found:?} after {wait:?}"));
        if dice.below(3) == 0 {
            sleep(dice.ms(0, 700));
        }
        if dice.below(5) == 0 {
            s.spawn_run();
        } else {
            // It notices the death of the one that it started, and ends; nobody waits for it here.
            let mut up = s.command(&["up", "-f", "manifests", "--timeout", "20"]);
            storm.detached(&mut up);
        }
    }
}

impl Storm {
    /// Starts a command and forgets it; its mark tells when it is left behind.
    fn detached(&self, command: &mut std::process::Command) {
        let said = std::fs::File::options().create(true).append(true).open(self.dir.join("ups")).unwrap();
        let mut child = command
            .stdin(std::process::Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        std::thread::spawn(move || child.wait());
    }
}

/// Commands to these components, one after the other, and questions in between.
pub(crate) fn command(storm: &Storm, s: &Place, names: &[&str], mut dice: Dice) {
    const VERBS: &[&str] = &["stop", "start", "restart", "reset", "stop", "start"];
    const QUESTIONS: &[&[&str]] =
        &[&["status"], &["describe", "web"], &["events"], &["logs", "writer", "--tail", "5"], &["diff"]];
    while storm.goes_on() {
        let name = *dice.one_of(names);
        let verb = *dice.one_of(VERBS);
        let from = since_boot();
        let output = s.background(&[verb, name]).end(seconds(60));
        let until = since_boot();
        storm.with(|said| {
            said.commands.push(Commanded { verb, name: name.to_owned(), from, until, code: output.code });
            said.story.push(format!("{from} {verb} {name}: {} at {until}", output.code));
        });
        if !matches!(output.code, 0 | 1 | 3) {
            storm.fault(format!("{verb} {name}: {output:?}"));
        }
        let asked = *dice.one_of(QUESTIONS);
        let output = s.background(asked).end(seconds(60));
        if !matches!(output.code, 0 | 1 | 3) {
            storm.fault(format!("{asked:?}: {output:?}"));
        }
        sleep(dice.ms(0, 300));
    }
}

/// Writes another version of the manifest that is edited; as an editor does, never half a file.
pub(crate) fn edit(storm: &Storm, s: &Place) {
    let version = storm.with(|said| {
        said.edits.push(since_boot());
        said.changes += 1;
        said.changes
    });
    storm.say(format!("changing: v{version}"));
    let text = cast::changing(version).replace("TRACES", &s.traces().dir().display().to_string());
    std::fs::rename(s.write("changing.draft", &text), s.path("manifests/changing.yaml")).unwrap();
}

/// Edits a manifest and applies it.
pub(crate) fn change(storm: &Storm, s: &Place, mut dice: Dice) {
    while storm.goes_on() {
        sleep(dice.ms(500, 3000));
        if dice.below(2) == 0 {
            edit(storm, s);
        }
        let from = since_boot();
        let output = s.background(&["apply", "-f", "manifests"]).end(seconds(90));
        storm.say(format!("apply of changing since {from}: {} {}", output.code, output.all()));
        if !matches!(output.code, 0 | 1 | 3) {
            storm.fault(format!("apply: {output:?}"));
        }
    }
}

/// Kills one, makes another sick, waits until it has been noticed, and begins again.
pub(crate) fn harm(storm: &Storm, s: &Place, mut dice: Dice) {
    let newest = |name: &str| s.traces().all(name, "start").pop().map(|mark| mark.pid);
    let next = |name: &str, than: Pid| {
        let another = || newest(name).filter(|pid| *pid != than);
        eventually(&format!("{name} after {}", than.0), seconds(60), another, || s.traces().told(name));
    };
    while storm.goes_on() {
        sleep(dice.ms(200, 2500));
        if let Some(victim) = newest("victim") {
            storm.say(format!("kill victim {}", victim.0));
            victim.kill();
            storm.with(|said| said.killed += 1);
            next("victim", victim);
        }
        if let Some(sick) = newest("sick")
            && storm.goes_on()
        {
            storm.say(format!("sick {}", sick.0));
            s.write("manifests/sick", "");
            storm.with(|said| said.sickened += 1);
            sick.wait_gone(seconds(60));
            std::fs::remove_file(s.path("manifests/sick")).unwrap();
            next("sick", sick);
        }
    }
}
