//! Logs are rotated underneath the components that write to them.

use std::fs;

use vitald_tests::{Supervisor, seconds};

#[test]
fn other_logs_restart_nothing() {
    let manifest = |logs: &str| {
        format!(
            "
            metadata: {{name: flood}}
            spec: {{command: [vitald-fixture, flood, '3145728']{logs}}}
            "
        )
    };
    let s = Supervisor::run(&manifest(""));
    s.wait_log("flood", "up, run 1");
    let pid = s.wait_pid("flood");
    assert_eq!(s.log_files("flood").len(), 1);
    s.write_manifests(&manifest(", logs: {maxSize: 64Ki, maxFiles: 3}"));
    let diff = s.cli(&["diff", "-f", "manifests"]).expect(1).stdout;
    assert!(diff.contains("maxSize: 64Ki") && diff.contains("would go on"), "{diff}");
    let applied = s.cli(&["apply", "-f", "manifests"]).expect(0).stdout;
    assert!(applied.contains("changed in place"), "{applied}");
    s.wait_rotated("flood", 65536, seconds(60));
    assert_eq!(s.log_files("flood").len(), 3, "{}", s.log_listing());
    let now = s.component("flood");
    assert_eq!((now.pid().0, now.restart_count), (pid.0, 0));
    s.cli(&["restart", "flood"]).expect(0);
    s.wait_log("flood", "up, run 2");
}

#[test]
fn account_in_the_background_is_for_programs_if_asked_for() {
    let s = Supervisor::prepare(
        "
        metadata: {name: sleeper}
        spec: {command: [vitald-fixture, sleep]}
        ",
    );
    s.cli(&["up", "-f", "manifests", "--log-format", "json", "--logs-max-total", "1Gi"]).expect(0);
    s.cli(&["down"]).expect(0);
    let log = fs::read_to_string(s.state_dir().join("vitald.log")).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {log}")))
        .collect();
    let started = lines.iter().find(|line| line["reason"] == "Started").unwrap();
    assert_eq!((&started["component"], &started["level"]), (&"sleeper".into(), &"info".into()));
    let refused = s.cli(&["up", "-f", "manifests", "--logs-max-total", "10"]).expect(2).stderr;
    assert!(refused.contains("at least 1Mi"), "{refused}");
}
