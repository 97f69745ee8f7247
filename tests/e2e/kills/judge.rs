//! What they say about it.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use vitald_tests::{Component, Mark, Pid, Place, eventually, seconds};

use super::cast::{BUSY, CALM, ENDLESS, SCHEDULED};
use super::storm::{Commanded, Said, Storm};

/// Milliseconds that a spawn may take until it is written down, on a machine that has other things to do, and
/// that a process may take to be there after its maker was killed.
const RECORDED_AFTER: u64 = 500;
const BORN_AFTER: u64 = 200;

/// Asks whichever supervisor answers, all the time: what is well does not look otherwise for a moment, and
/// no counter goes back.
pub(crate) fn watch(storm: &Storm, s: &Place) {
    let first: BTreeMap<&str, Pid> =
        CALM.iter().map(|name| (*name, s.traces().all(name, "start")[0].pid)).collect();
    let mut counts = BTreeMap::new();
    while storm.goes_on() {
        sleep(Duration::from_millis(20));
        let Ok(status) = s.try_status() else { continue };
        storm.with(|said| said.polls += 1);
        for c in &status.components {
            if let Some(pid) = first.get(c.name.as_str())
                && !(c.state == "Running" && c.ready && c.pid == Some(pid.0))
            {
                storm.fault(format!("{} was well as {}: {c:?}", c.name, pid.0));
            }
            if !BUSY.contains(&c.name.as_str()) {
                let before = counts.insert(c.name.clone(), c.restart_count).unwrap_or(0);
                if before > c.restart_count {
                    storm.fault(format!("{} had {before} restarts: {c:?}", c.name));
                }
            }
        }
        if status.components.iter().filter(|c| CALM.contains(&c.name.as_str())).count() < CALM.len() {
            storm.fault(format!("a status without some of them: {status:?}"));
        }
    }
}

/// Waits until all has come to rest.
pub(crate) fn settle(s: &Place) {
    for name in CALM.iter().chain(&["victim", "sick", "changing"]) {
        s.wait_for(name, "ready at the end", seconds(30), |c| c.ready);
    }
    for (name, times) in SCHEDULED {
        eventually(
            &format!("all the runs of {name}"),
            seconds(30),
            || (s.traces().starts(name) >= *times).then_some(()),
            || s.traces().told(name),
        );
    }
    s.wait_state("gives-up", "Failed", seconds(10));
    for (name, reason) in
        [("once", "Completed"), ("fails", "Error"), ("retry", "Completed"), ("halted", "StoppedByUser")]
    {
        s.wait_for(name, reason, seconds(10), |c| c.is("Stopped", reason));
    }
    // What never comes to rest by itself.
    s.cli(&[&["stop"], ENDLESS, BUSY].concat()).expect(0);
}

pub(crate) fn judge(storm: &Storm, s: &Place) {
    let status = s.status();
    let component = |name: &str| status.components.iter().find(|c| c.name == name).unwrap();
    let traces = s.traces();
    storm.with(|said| {
        assert!(said.polls > 20, "only {} answers in all this time", said.polls);
        let mut faults = Vec::new();
        for (name, marks) in traces.everything() {
            let of = Account { c: component(&name), marks: &marks, said };
            faults.extend(of.faults().into_iter().map(|fault| (name.clone(), fault)));
        }
        if faults.is_empty() && said.faults.is_empty() {
            let harms = said.killed + said.sickened;
            let (answers, commands) = (said.polls, said.commands.len());
            eprintln!("{answers} answers, {commands} commands, {harms} harms, {} changes", said.changes);
            return;
        }
        let mut told: Vec<String> = said.faults.clone();
        for (name, fault) in faults {
            let about = |line: &&String| line.contains(&name) || line.contains(" kill ");
            let story: Vec<_> = said.story.iter().filter(about).cloned().collect();
            let (c, trace, log) = (component(&name), traces.told(&name), lines_about(s, &name));
            told.push(format!("{name}: {fault}\n{c:?}\n--- its own account\n{trace}"));
            told.push(format!("--- what was done\n{}\n--- what vitald said\n{log}", story.join("\n")));
        }
        panic!("{}", told.join("\n\n"));
    });
}

fn lines_about(s: &Place, name: &str) -> String {
    let log = std::fs::read_to_string(s.state_dir().join("vitald.log")).unwrap_or_default() + &s.said();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains(name) || line.contains("supervising")).collect();
    lines.join("\n")
}

/// One component's account beside what was done to it and what is said of it.
struct Account<'a> {
    c: &'a Component,
    marks: &'a [Mark],
    said: &'a Said,
}

impl Account<'_> {
    fn count(&self, what: &str) -> usize {
        self.marks.iter().filter(|mark| mark.what == what).count()
    }

    fn commands(&self, verbs: &[&str]) -> Vec<&Commanded> {
        let of_it = |command: &&Commanded| command.name == self.c.name && verbs.contains(&command.verb);
        self.said.commands.iter().filter(of_it).collect()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let name = self.c.name.as_str();
        let starts = self.count("start");
        let told: BTreeSet<Pid> = self.marks.iter().filter(|m| m.what == "term").map(|m| m.pid).collect();
        // Ends that nobody asked for: crashes, but those of one-shots that were a success.
        let crashes =
            self.marks.iter().filter(|m| m.what == "end" && m.more != "0" || m.what == "port").count();
        let restarts = usize::try_from(self.c.restart_count).unwrap();
        let mut expect = |what: &str, seen: usize, expected: usize| {
            if seen != expected {
                faults.push(format!("{seen} {what}, where there should be {expected}"));
            }
        };
        expect(
            "instances beside another or its leftovers",
            self.count("doubled") + self.count("leftover"),
            0,
        );
        let first = starts - 1;
        match name {
            "victim" => {
                expect("starts", first, self.said.killed);
                expect("restarts counted", restarts, self.knowable(first, restarts));
            }
            "sick" => {
                expect("starts", first, self.said.sickened);
                expect("runs told to end", told.len(), self.said.sickened);
                expect("restarts counted", restarts, self.knowable(first, restarts));
            }
            "changing" => expect("restarts counted", restarts, 0),
            _ if CALM.contains(&name) || name == "halted" => {
                expect("starts", starts, 1);
                expect("restarts counted", restarts, 0);
            }
            _ if ENDLESS.contains(&name) => {
                expect("restarts counted", restarts, self.knowable(first, restarts))
            }
            _ if BUSY.contains(&name) && name != "busy-crasher" => expect("restarts counted", restarts, 0),
            _ => {}
        }
        if let Some((_, times)) = SCHEDULED.iter().find(|(scheduled, _)| *scheduled == name) {
            // Who gives up does so by what was counted; the others have their own plan.
            let more = if name == "gives-up" { self.unknowable() } else { 0 };
            expect("starts", starts, starts.clamp(*times, times + more));
            expect("restarts counted", restarts, self.knowable(first, restarts));
        }
        let begun = self.commands(&["start", "restart", "reset"]).len();
        if BUSY.contains(&name) && starts > 1 + begun + crashes {
            faults.push(format!("{starts} starts after {begun} commands and {crashes} crashes"));
        }
        if name == "changing"
            && let Some(pair) = self.started_unchanged()
        {
            faults.push(format!("started again though nothing had changed: {pair:?}"));
        }
        if name == "changing" && !latest(self.c, self.said.changes) {
            faults.push("it does not run what its manifest says".to_owned());
        }
        faults.extend(self.runs_in_order());
        faults.extend(self.stopped_stays_stopped());
        faults
    }

    /// So many restarts, but for those that nobody can have known of, and those that came to nothing.
    fn knowable(&self, restarts: usize, counted: usize) -> usize {
        counted.clamp(restarts.saturating_sub(self.unknowable()), restarts + self.unbegun())
    }

    /// Runs that were on record when a supervisor died, and whose program had not come to its first line: their
    /// numbers are missing from its own account.
    fn unbegun(&self) -> usize {
        let runs = self.marks.iter().filter(|mark| mark.what == "start").map(|mark| mark.run);
        let numbers: BTreeSet<_> = runs.collect();
        let between = numbers.last().zip(numbers.first()).map_or(0, |(last, first)| last - first + 1);
        usize::try_from(between).unwrap().saturating_sub(numbers.len())
    }

    /// Starts of which the next supervisor may not hear: one that dies between a spawn and its record leaves
    /// a process that tells of itself, but only while it lives.
    fn unknowable(&self) -> usize {
        let starts = self.marks.iter().enumerate().filter(|(_, mark)| mark.what == "start");
        let lost = starts.filter(|(_, mark)| {
            let dies = |(from, until): &(u64, u64)| {
                *from <= mark.at + RECORDED_AFTER && mark.at <= *until + BORN_AFTER
            };
            self.said.kills.iter().any(dies)
        });
        lost.count()
    }

    /// Two runs with the same spec, and no edit between them.
    fn started_unchanged(&self) -> Option<[&Mark; 2]> {
        let starts: Vec<&Mark> = self.marks.iter().filter(|mark| mark.what == "start").collect();
        let edited = |from, until| self.said.edits.iter().any(|edit| (from..until).contains(edit));
        let same = |pair: &&[&Mark]| pair[0].more == pair[1].more && !edited(pair[0].at, pair[1].at);
        starts.windows(2).find(same).map(|pair| [pair[0], pair[1]])
    }

    fn runs_in_order(&self) -> Option<String> {
        let starts: Vec<&Mark> = self.marks.iter().filter(|mark| mark.what == "start").collect();
        let wrong = starts.windows(2).find(|pair| pair[0].run >= pair[1].run)?;
        Some(format!("runs out of order: {wrong:?}"))
    }

    /// After a stop that was done, nothing begins before somebody says so.
    fn stopped_stays_stopped(&self) -> Option<String> {
        let begins = self.commands(&["start", "restart", "reset"]);
        let starts = || self.marks.iter().filter(|mark| mark.what == "start");
        self.commands(&["stop"]).into_iter().filter(|stop| stop.code == 0).find_map(|stop| {
            let allowed = begins.iter().map(|begin| begin.from).filter(|from| *from >= stop.until).min();
            let wrong = starts()
                .find(|start| start.at > stop.until + 10 && allowed.is_none_or(|from| start.at < from))?;
            Some(format!("started at {} though stopped: {stop:?}", wrong.at))
        })
    }
}

fn latest(c: &Component, version: usize) -> bool {
    let environ = std::fs::read(format!("/proc/{}/environ", c.pid.unwrap_or(0))).unwrap_or_default();
    version == 0
        || String::from_utf8_lossy(&environ).split('\0').any(|entry| entry == format!("VERSION=v{version}"))
}
