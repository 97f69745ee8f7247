//! What can be read of logs and components when no supervisor runs, and what `describe` tells of a log.

use std::fs;
use std::process::Command;

use serde_json::Value;
use vitald_tests::{Output, Supervisor, eventually, seconds, skip};

/// Run 1 writes what does not fit into two files, run 2 three lines, and run 3 goes on.
const WEB: &str = "
    metadata: {name: web}
    spec:
      command: [sh, -c, '[ $VITALD_RUN != 1 ] || seq 1 20000; seq 1 3; echo up, run $VITALD_RUN; exec sleep 1000']
      logs: {maxSize: 16Ki, maxFiles: 2, onDiskFull: DropOldest}
      restart: {backoff: {initialSeconds: 0.1}}
";

fn end_run(s: &Supervisor, name: &str, run: u64) {
    s.wait_log(name, &format!("up, run {run}"));
    s.wait_for(name, "the run", seconds(10), |c| c.restart_count == run - 1 && c.pid.is_some()).pid().kill();
    s.wait_log(name, &format!("up, run {}", run + 1));
    s.wait_for(name, "the next run", seconds(10), |c| c.restart_count == run && c.pid.is_some());
}

#[test]
fn a_dead_supervisor_takes_nothing_along() {
    let mut s = Supervisor::run(WEB);
    end_run(&s, "web", 1);
    let previous = |s: &Supervisor| {
        let all = s.cli(&["logs", "web", "--previous"]).expect(0);
        let tail = s.cli(&["logs", "web", "-p", "--tail", "2", "--since", "1h"]).expect(0);
        (all.stdout, all.stderr, tail.stdout, tail.stderr)
    };
    let before = previous(&s);
    assert!(before.0.ends_with("\n20000\n1\n2\n3\nup, run 1\n"), "{}", before.0);
    assert!(before.1.contains("before this have been rotated away"), "{}", before.1);
    end_run(&s, "web", 2);
    let pid = s.wait_pid("web");
    s.kill9();

    assert_eq!(
        previous(&s),
        ("1\n2\n3\nup, run 2\n".into(), String::new(), "3\nup, run 2\n".into(), String::new())
    );
    assert_eq!(s.cli(&["logs", "web", "--tail", "1"]).expect(0).stdout, "up, run 3\n");
    let described = s.cli(&["describe", "web"]).expect(3);
    for text in [
        &format!("PID:             {}\n", pid.0),
        "goes on, and no supervisor looks after it",
        "2 of at most 2 files, ",
        "rotated at 16 KiB; the oldest go when the disk is full",
        "\nThe last of its log:\n  1\n  2\n  3\n  up, run 3\n",
    ] {
        assert!(described.stdout.contains(text), "`{text}` is not in\n{}", described.stdout);
    }
    assert!(described.stderr.contains("has died and left 1 component running"), "{}", described.stderr);
    assert!(described.stderr.contains("wrote down last"), "{}", described.stderr);
    let json = s.cli(&["describe", "web", "-o", "json"]).expect(3);
    assert_eq!(json.stdout, "", "programs are told nothing that may not be so");

    pid.kill();
    pid.wait_gone(seconds(5));
    let described = s.cli(&["describe", "web"]).expect(3).stdout;
    assert!(described.contains("State:           Stopped\n"), "{described}");
    assert!(
        described.contains("has ended since") && described.contains("PID:             -\n"),
        "{described}"
    );
    assert!(s.cli(&["describe", "wob"]).expect(3).stderr.contains("wob: its supervisor has left no record"));

    s.start();
    s.wait_log("web", "up, run 4");
    assert_eq!(s.cli(&["logs", "web", "-p"]).expect(0).stdout, "1\n2\n3\nup, run 3\n");
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    assert_eq!(s.cli(&["logs", "web", "-p"]).expect(0).stdout, "1\n2\n3\nup, run 3\n");
    assert!(s.cli(&["describe", "web"]).expect(3).stdout.contains("3\n  up, run 4\n"));
}

#[test]
fn what_cannot_be_known_is_said() {
    let sleeper = |name: &str| {
        format!(
            "
            metadata: {{name: {name}}}
            spec: {{command: [vitald-fixture, sleep], restart: {{backoff: {{initialSeconds: 0.1}}}}}}
            "
        )
    };
    let mut s = Supervisor::run(&[sleeper("kept"), sleeper("once"), sleeper("gone")].join("---"));
    end_run(&s, "kept", 1);
    end_run(&s, "gone", 1);
    s.wait_log("once", "up, run 1");
    s.write_manifests(&[sleeper("kept"), sleeper("once")].join("---"));
    s.cli(&["apply", "-f", "manifests"]).expect(0);
    s.kill9();

    let gone = s.cli(&["logs", "gone", "--previous"]).expect(1);
    assert!(gone.stderr.contains("gone: where its runs begin in its log is not known"), "{}", gone.stderr);
    assert!(gone.stderr.contains("taken out of the manifests") && gone.stdout.is_empty(), "{}", gone.stderr);
    assert!(s.cli(&["logs", "gone"]).expect(0).stdout.contains("up, run 2"));
    let once = s.cli(&["logs", "once", "--previous"]).expect(1);
    assert!(once.stderr.contains("once had no run before the latest"), "{}", once.stderr);
    let all = s.cli(&["logs", "--previous"]).expect(0);
    assert!(all.stdout.contains("kept | ") && all.stdout.contains("up, run 1"), "{}", all.stdout);
    assert!(!all.stdout.contains("gone") && all.stderr.contains("gone: where its runs begin"), "{all:?}");

    fs::write(s.state_dir().join("components/kept.json"), "{").unwrap();
    let torn = s.cli(&["logs", "kept", "--previous"]).expect(1);
    assert!(torn.stderr.contains("the record of it cannot be read"), "{}", torn.stderr);
    s.cli(&["down"]).expect(0);
}

#[test]
fn describe_tells_how_a_log_is_kept_and_how_much_there_is() {
    let s = Supervisor::run(WEB);
    s.wait_log("web", "up, run 1");
    let logs = || {
        let text = s.cli(&["describe", "web", "-o", "json"]).expect(0).stdout;
        serde_json::from_str::<Value>(&text).unwrap()["logs"].clone()
    };
    let settled = || {
        let logs = logs();
        (logs["files"] == 2 && logs["bytesOnDisk"].as_u64().unwrap() <= 40 * 1024).then_some(logs)
    };
    let logs = eventually("two files", seconds(10), settled, || logs().to_string());
    assert!(logs["bytesOnDisk"].as_u64().unwrap() >= 16 * 1024, "{logs}");
    assert_eq!((&logs["maxSize"], &logs["maxFiles"]), (&16384.into(), &2.into()));
    assert_eq!(logs["onDiskFull"], "DropOldest");
    s.write_manifests(&WEB.replace("maxSize: 16Ki, maxFiles: 2, onDiskFull: DropOldest", "maxFiles: 3"));
    s.cli(&["apply", "-f", "manifests"]).expect(0);
    let described = s.cli(&["describe", "web"]).expect(0).stdout;
    let line = described.lines().find(|line| line.starts_with("Log kept:")).unwrap();
    assert!(line.contains("2 of at most 3 files, ") && line.ends_with("rotated at 50 MiB"), "{line}");
}

#[test]
fn what_was_left_half_done_of_a_component_without_a_manifest_is_finished() {
    let old = WEB.replace("name: web", "name: old");
    let mut s = Supervisor::run(&old);
    s.wait_log("old", "up, run 1");
    s.wait_ready("old");
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    let before = s.cli(&["logs", "old"]).expect(0).stdout;
    // As a supervisor leaves it that dies while it copies.
    let draft = s.state_dir().join("logs/old.log.draft");
    fs::write(&draft, "half of an archive").unwrap();
    s.write_manifests(WEB);
    s.start();
    let gone = || (!draft.exists()).then_some(());
    eventually("the draft to be gone", seconds(10), gone, || s.said());
    assert_eq!(s.cli(&["logs", "web", "--tail", "0"]).code, 0);
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    assert_eq!(s.cli(&["logs", "old"]).expect(0).stdout, before);
}

/// Words that run a command in a user namespace without a single inotify instance. `None` where none can be had.
fn without_inotify() -> Option<Vec<String>> {
    let script = "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$@\"";
    let prefix =
        ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    let tried = Output::of(Command::new(&prefix[0]).args(&prefix[1..]).arg("true"));
    if tried.code == 0 {
        return Some(prefix);
    }
    skip(&format!("no user namespace can be had: {}", tried.stderr.trim()));
    None
}

#[test]
fn logs_that_cannot_be_kept_at_first_are_later() {
    let Some(prefix) = without_inotify() else { return };
    let mut s = Supervisor::prepare(WEB).with_prefix(prefix);
    s.start();
    s.wait_log("web", "up, run 1");
    let told = |text: &str| {
        let events = || s.cli(&["events"]).all();
        eventually(text, seconds(10), || events().contains(text).then_some(()), events);
    };
    told("logs cannot be kept, and only grow; it is tried again");
    assert!(!s.state_dir().join("logs/web.log.1").exists());
    let target = s.pid().0.to_string();
    let raise = "echo 100 >/proc/sys/user/max_inotify_instances";
    let inside = ["--preserve-credentials", "--user", "--target", &target];
    Output::of(Command::new("nsenter").args(inside).args(["sh", "-c", raise])).expect(0);
    told("logs are kept from now on");
    let rotated = || s.state_dir().join("logs/web.log.1").exists().then_some(());
    eventually("rotation", seconds(10), rotated, || s.cli(&["events"]).all());
    assert_eq!(s.cli(&["events"]).all().matches("logs cannot be kept").count(), 1, "once");
}
