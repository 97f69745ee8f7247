//! `vitald logs` and `describe` over rotations, restarts and deaths of the supervisor.

use std::fs;

use vitald_tests::{Supervisor, eventually, seconds};

/// How many older files a component's log has.
fn archives(s: &Supervisor, name: &str) -> usize {
    let prefix = format!("{name}.log.");
    let files = fs::read_dir(s.state_dir().join("logs")).unwrap().flatten();
    files.filter_map(|file| file.file_name().to_str()?.strip_prefix(&prefix)?.parse::<u32>().ok()).count()
}

fn wait_archives(s: &Supervisor, name: &str, at_least: usize) {
    eventually(
        &format!("{at_least} older files of {name}"),
        seconds(15),
        || (archives(s, name) >= at_least).then_some(()),
        || format!("{} of them", archives(s, name)),
    );
}

#[test]
fn previous_and_describe_are_right_after_rotation_and_under_the_next_supervisor() {
    let mut s = Supervisor::run(
        "
        metadata: {name: web}
        spec:
          command: [sh, -c, '[ $VITALD_RUN != 1 ] || seq 1 20000; echo up, run $VITALD_RUN; exec sleep 1000']
          logs: {maxSize: 16Ki, maxFiles: 2}
          restart: {backoff: {initialSeconds: 0.1}}
        ",
    );
    let pid = s.wait_ready("web").pid();
    s.wait_log("web", "up, run 1");
    wait_archives(&s, "web", 1);
    pid.kill();
    s.wait_log("web", "up, run 2");
    for adopted in [false, true] {
        if adopted {
            s.kill9();
            s.start();
            s.wait_ready("web");
        }
        let previous = s.cli(&["logs", "web", "--previous"]).expect(0);
        assert!(previous.stdout.ends_with("\n20000\nup, run 1\n"), "{}", previous.stdout);
        assert!(previous.stdout.len() < 40_000, "{} bytes", previous.stdout.len());
        assert!(previous.stderr.contains("before this have been rotated away"), "{}", previous.stderr);
        let tail = s.cli(&["logs", "web", "-p", "--tail", "2"]).expect(0);
        assert_eq!((tail.stdout.as_str(), tail.stderr.as_str()), ("20000\nup, run 1\n", ""));
        let described = s.cli(&["describe", "web"]).expect(0).stdout;
        assert!(
            described.contains("  20000\n  up, run 1\n") && !described.contains("run 2\n"),
            "{described}"
        );
    }
}

#[test]
fn several_come_in_the_order_of_time_and_since_a_time() {
    let s = Supervisor::run(
        "
        metadata: {name: a}
        spec: {command: [sh, -c, 'echo first; sleep 3.2; echo third; exec sleep 1000']}
        ---
        metadata: {name: b}
        spec: {command: [sh, -c, 'sleep 1.6; echo second; exec sleep 1000']}
        ",
    );
    s.wait_log("a", "third");
    let recent = s.cli(&["logs", "--since", "2s"]).expect(0).stdout;
    assert!(recent.contains("third") && !recent.contains("first"), "{recent}");
    let all = s.cli(&["logs", "--all"]).expect(0).stdout;
    assert_eq!(all, "a | first\nb | second\na | third\n");
    let since = s.cli(&["logs", "a", "--since", "1h"]).expect(0).stdout;
    assert_eq!(since, "first\nthird\n");
    assert!(s.cli(&["logs", "--since", "soon"]).expect(2).stderr.contains("such as 90s"));
}
