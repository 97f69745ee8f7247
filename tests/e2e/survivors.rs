//! What runs without a supervisor: listed, kept, stopped.

use std::time::Instant;

use serde_json::Value;
use vitald_tests::{Output, Place, Supervisor, eventually, seconds};

const TWO: &str = "
    metadata: {name: base}
    spec: {command: [vitald-fixture, traced, TRACES, sleep]}
    ---
    metadata: {name: top}
    spec:
      command: [vitald-fixture, traced, TRACES, stubborn]
      terminationGracePeriodSeconds: 1
      dependsOn: [{name: base}]
      lifecycle: {preStop: {exec: {command: [touch, asked]}}}
";

fn listed(output: Output) -> Vec<Value> {
    let list: Value = serde_json::from_str(&output.expect(0).stdout).unwrap();
    list["supervisors"].as_array().unwrap().clone()
}

#[test]
fn ls_tells_who_runs_and_who_has_died() {
    // Below HOME, where all of a user's supervisors are.
    let mut s = Supervisor::prepare(TWO).with_env("VITALD_STATE_DIR", "");
    assert_eq!(listed(s.cli(&["ls", "-o", "json"])), Vec::<Value>::new());
    s.up().expect(0);
    let all = listed(s.cli(&["ls", "-o", "json"]));
    assert_eq!(all.len(), 1, "{all:?}");
    let it = &all[0];
    assert_eq!((&it["state"], &it["components"], &it["ready"]), (&"Running".into(), &2.into(), &2.into()));
    assert_eq!(it["pid"], s.status().supervisor.pid);
    assert_eq!(it["stateDir"], s.status().supervisor.state_dir);
    assert!(it["manifests"][0].as_str().unwrap().ends_with("/manifests"), "{it}");
    let table = s.cli(&["ls"]).expect(0).stdout;
    assert!(table.contains("2/2") && table.contains(&s.pid().0.to_string()), "{table}");

    s.kill9();
    let it = &listed(s.cli(&["ls", "-o", "json"]))[0];
    assert_eq!((&it["state"], &it["pid"], &it["leftRunning"]), (&"Dead".into(), &Value::Null, &2.into()));
    let table = s.cli(&["ls"]).expect(0).stdout;
    assert!(table.contains("dead") && table.contains("2 components"), "{table}");

    s.cli(&["down"]).expect(0);
    assert_eq!(listed(s.cli(&["ls", "-o", "json"])), Vec::<Value>::new());
    s.assert_nothing_left();
}

#[test]
fn down_of_survivors_is_as_orderly_as_any_other() {
    let mut s = Supervisor::run(TWO);
    s.wait_ready("base");
    s.wait_log("top", "up, run 1");
    s.kill9();
    // Not even the manifests are needed.
    std::fs::rename(s.path("manifests/test.yaml"), s.path("away")).unwrap();
    let begun = Instant::now();
    s.cli(&["down"]).expect(0);
    assert!(begun.elapsed() >= seconds(1), "its own grace: {:?}", begun.elapsed());
    s.assert_nothing_left();
    assert!(s.path("manifests/asked").exists(), "the preStop hook");
    let (base, top) = (s.traces().all("base", "term"), s.traces().all("top", "term"));
    assert_eq!((base.len(), top.len()), (1, 1));
    assert!(base[0].at >= top[0].at + 900, "in reverse order: {base:?} {top:?}");
    assert!(s.cli(&["down"]).expect(0).stdout.contains("nothing to stop"));

    // It was a `down`, no `stop`.
    std::fs::rename(s.path("away"), s.path("manifests/test.yaml")).unwrap();
    s.up().expect(0);
    assert_eq!((s.traces().starts("base"), s.traces().starts("top")), (2, 2));
    s.cli(&["down"]).expect(0);
}

#[test]
fn down_spares_what_was_stopped_and_forgets_no_stop() {
    let mut s = Supervisor::run(TWO);
    s.wait_ready("top");
    s.cli(&["stop", "base"]).expect(0);
    s.kill9();
    s.cli(&["down"]).expect(0);
    s.up();
    assert!(s.component("base").is("Stopped", "StoppedByUser"));
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
    assert_eq!(s.traces().starts("base"), 1);
}

#[test]
fn down_keep_leaves_all_running_for_the_next_up() {
    let s = Supervisor::prepare(TWO);
    s.up().expect(0);
    let pids = ["base", "top"].map(|name| s.wait_ready(name).pid());
    let supervisor = s.pid();
    s.cli(&["down", "--keep"]).expect(0);
    assert!(!supervisor.exists() && pids.iter().all(|pid| pid.exists()));
    s.cli(&["status"]).expect(3);
    s.up().expect(0);
    for (name, pid) in ["base", "top"].into_iter().zip(pids) {
        let c = s.component(name);
        assert_eq!((c.pid(), c.ready, c.restart_count, c.reason.as_str()), (pid, true, 0, "Adopted"));
    }
    s.cli(&["down", "--keep"]).expect(0);
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
    let traces = s.traces();
    assert_eq!(
        ["base", "top"].map(|name| (traces.starts(name), traces.all(name, "term").len())),
        [(1, 1); 2]
    );
}

#[test]
fn copy_of_a_state_dir_gives_no_second_instance() {
    let mut s = Supervisor::prepare(TWO);
    s.up().expect(0);
    let pids = ["base", "top"].map(|name| s.wait_ready(name).pid());
    let copy = s.path("copy").display().to_string();
    let copied = std::process::Command::new("cp").arg("-a").arg(s.state_dir()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let place = Place::clone(&s);
    let other = |args: &[&str]| place.cli(&[args, &["--state-dir", &copy]].concat());
    let refused = |command: &str| {
        let told = other(&[command, "-f", "manifests"]).expect(3).stderr;
        let pid = pids.iter().any(|pid| told.contains(&pid.0.to_string()));
        assert!(pid && told.contains(".lock"), "{command}: {told}");
    };
    let is_well = |s: &Supervisor| {
        assert!(pids.iter().all(|pid| pid.exists()));
        assert_eq!(["base", "top"].map(|name| s.traces().starts(name)), [1, 1]);
        assert_eq!(["base", "top"].map(|name| s.traces().all(name, "term").len()), [0, 0]);
    };
    refused("run");
    refused("up");
    is_well(&s);
    // Nor does a copy stop what is not its own.
    let _ = other(&["down"]);
    is_well(&s);
    assert_eq!(["base", "top"].map(|name| s.component(name).pid()), pids);

    s.kill9();
    refused("up");
    is_well(&s);
    s.up().expect(0);
    assert_eq!(["base", "top"].map(|name| s.component(name).pid()), pids);

    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
    other(&["up", "-f", "manifests"]).expect(0);
    eventually(
        "both again",
        seconds(10),
        || (s.traces().starts("top") == 2).then_some(()),
        || s.traces().told("top"),
    );
    other(&["down"]).expect(0);
    s.assert_nothing_left();
    s.traces().assert_never_doubled();
}

#[test]
fn doctor_tells_what_there_is_and_what_lacks() {
    let s = Supervisor::prepare(TWO);
    let told = s.cli(&["doctor"]).expect(0).stdout;
    let list: Value = serde_json::from_str(&s.cli(&["doctor", "-o", "json"]).expect(0).stdout).unwrap();
    let findings = list["findings"].as_array().unwrap();
    for name in ["pidfd", "cgroup v2", "memory limits", "cpu limits", "subreaper"] {
        let found = findings.iter().find(|found| found["name"] == name);
        let found = found.unwrap_or_else(|| panic!("nothing about {name}: {told}"));
        assert!(
            found["available"].is_boolean() && found["withoutIt"].as_str().is_some_and(|s| !s.is_empty()),
            "{found}"
        );
        assert!(told.contains(name), "{told}");
    }
    let off = s.clone_with_env("VITALD_CGROUPS", "off");
    let list: Value = serde_json::from_str(&off.cli(&["doctor", "-o", "json"]).expect(0).stdout).unwrap();
    let of =
        |name: &str| list["findings"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap().clone();
    for name in ["cgroup v2", "memory limits", "cpu limits"] {
        let found = of(name);
        assert!(
            found["available"] == false && found["found"].as_str().unwrap().contains("VITALD_CGROUPS"),
            "{found}"
        );
    }
}
