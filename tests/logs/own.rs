//! The log of a supervisor in the background.

use std::fs;
use std::path::PathBuf;

use vitald_tests::{Supervisor, eventually, seconds};

const MIB: usize = 1 << 20;
const COMPONENT: &str = "
    metadata: {name: sleeper}
    spec: {command: [vitald-fixture, sleep], restart: {maxRestarts: 1000}}
";

#[test]
fn log_of_the_supervisor_is_rotated_as_text() {
    log_of_the_supervisor_is_rotated(&[]);
}

#[test]
fn log_of_the_supervisor_is_rotated_as_json() {
    log_of_the_supervisor_is_rotated(&["--log-format", "json"]);
}

/// Another has nearly filled it, before and behind four older files.
fn log_of_the_supervisor_is_rotated(args: &[&str]) {
    let mut s = Supervisor::prepare(COMPONENT);
    let log = |number: u32| -> PathBuf {
        let name = if number == 0 { "vitald.log".to_owned() } else { format!("vitald.log.{number}") };
        s.state_dir().join(name)
    };
    let logs: Vec<PathBuf> = (0..=5).map(log).collect();
    let before = "{\"message\": \"before\"}\n".repeat((10 * MIB - 1500) / 22);
    fs::create_dir_all(s.state_dir()).unwrap();
    fs::write(&logs[0], &before).unwrap();
    let older = |number: usize| format!("{{\"message\": \"older {number}\"}}\n");
    (1..=4).for_each(|number| fs::write(&logs[number], older(number)).unwrap());
    let up = [&["up", "-f", "manifests"], args].concat();
    s.cli(&up).expect(0);
    let mut restarts = 0;
    while !fs::read_to_string(&logs[1]).unwrap().contains("before") {
        s.cli(&["restart", "sleeper"]).expect(0);
        restarts += 1;
        assert!(restarts < 100, "{} bytes", fs::metadata(&logs[0]).unwrap().len());
        if restarts == 3 {
            s.kill_supervisors();
            s.cli(&up).expect(0);
        }
    }
    s.cli(&["restart", "sleeper"]).expect(0);
    restarts += 1;
    let starts = || {
        let text = |path: &PathBuf| fs::read_to_string(path).unwrap();
        let account = text(&logs[1]) + &text(&logs[0]);
        assert!(account.starts_with(&before), "what was there is there");
        let lines: Vec<String> = account[before.len()..].lines().map(str::to_owned).collect();
        lines.into_iter().filter(|line| line.contains("started")).collect::<Vec<_>>()
    };
    // Each start is one line, on whichever side of the cut it is; the last may come a moment later.
    eventually(
        "all starts",
        seconds(5),
        || (starts().len() > restarts).then_some(()),
        || format!("{restarts} restarts, and {:#?}", starts()),
    );
    assert_eq!(starts().len(), restarts + 1, "{:#?}", starts());
    for number in 1..=3 {
        assert_eq!(fs::read_to_string(&logs[number + 1]).unwrap(), older(number));
    }
    assert!(!logs[5].exists(), "five files are kept");
    for file in &logs[..2] {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.len() <= 10 * MIB && text.ends_with('\n'), "{} bytes", text.len());
        let ours = text.lines().filter(|line| !line.contains("before"));
        for line in ours {
            match args.is_empty() {
                true => assert!(
                    line.starts_with("20") && line.contains(" sleeper ") || line.contains(" vitald "),
                    "{line}"
                ),
                false => drop(
                    serde_json::from_str::<serde_json::Value>(line)
                        .unwrap_or_else(|err| panic!("{err}: {line}")),
                ),
            }
        }
    }
    // What it says by itself goes to the live file, too.
    let stderr = fs::read_link(format!("/proc/{}/fd/2", s.pid().0)).unwrap();
    assert_eq!(stderr, fs::canonicalize(&logs[0]).unwrap());
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}
