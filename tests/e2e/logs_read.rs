//! `vitald logs` and `describe` over rotations, restarts and deaths of the supervisor.

use std::fs;
use std::process::Stdio;

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
fn three_followers_see_every_line_once() {
    let mut s = Supervisor::prepare("{metadata: {name: web}, spec: {command: [vitald-fixture, sleep]}}");
    let go = s.path("go");
    s.write_manifests(&format!(
        "
        metadata: {{name: web}}
        spec:
          command: [sh, -c]
          args:
            - |
              for part in 1 2 3; do
                while [ ! -e {}$part ]; do sleep 0.05; done
                seq ${{part}}00000 ${{part}}29999
              done
              exec sleep 1000
          logs: {{maxSize: 32Ki, maxFiles: 100}}
        ",
        go.display()
    ));
    s.start();
    let follow = |number: u32| {
        let seen = fs::File::create(s.path(format!("seen-{number}"))).unwrap();
        s.command(&["logs", "-f", "web"]).stdout(seen).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut followers = vec![follow(0), follow(1)];
    s.write("go1", "");
    wait_archives(&s, "web", 5);
    followers.push(follow(2));
    s.kill9();
    s.write("go2", "");
    s.wait_log("web", "\n229999\n");
    s.start();
    wait_archives(&s, "web", 10);
    s.write("go3", "");
    wait_archives(&s, "web", 15);
    // Each has seen the end before nobody writes any more.
    for number in 0..3 {
        let path = s.path(format!("seen-{number}"));
        let seen = || fs::read_to_string(&path).unwrap_or_default();
        let all = || seen().ends_with("\n329999\n").then_some(());
        eventually("the last line", seconds(15), all, || format!("{} bytes", seen().len()));
    }
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    let parts = [1, 2, 3].map(|part| part * 100_000..part * 100_000 + 30_000);
    let expected: String = parts.into_iter().flatten().map(|line| format!("{line}\n")).collect();
    for (number, follower) in followers.into_iter().enumerate() {
        let output = follower.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let seen = fs::read_to_string(s.path(format!("seen-{number}"))).unwrap();
        assert!(seen == expected, "{number}: {} of {} bytes", seen.len(), expected.len());
    }
    assert!(s.cli(&["logs", "web"]).expect(0).stdout == expected, "without a supervisor, too");
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
    let recent = s.cli(&["logs", "--since", "1s"]).expect(0).stdout;
    assert!(recent.contains("third") && !recent.contains("first"), "{recent}");
    let all = s.cli(&["logs", "--all"]).expect(0).stdout;
    assert_eq!(all, "a | first\nb | second\na | third\n");
    let since = s.cli(&["logs", "a", "--since", "1h"]).expect(0).stdout;
    assert_eq!(since, "first\nthird\n");
    assert!(s.cli(&["logs", "--since", "soon"]).expect(2).stderr.contains("such as 90s"));
}
