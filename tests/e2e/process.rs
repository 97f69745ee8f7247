//! What a component is started with.

use vitald_tests::{Supervisor, seconds};

/// The value of a line `KEY VALUE` that the fixture told.
fn told<'a>(log: &'a str, key: &str) -> &'a str {
    let line = log.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix([' ', '=']));
    line.unwrap_or_else(|| panic!("no {key} in\n{log}"))
}

#[test]
fn starts_clean() {
    let s = Supervisor::run(
        "
        metadata: {name: tell}
        spec: {command: [vitald-fixture, tell]}
        ---
        metadata: {name: cat}
        spec: {command: [cat, /proc/self/status], restartPolicy: Never}
        ",
    );
    // A Rust program changes its own signals before its first line; this one does not.
    let log = s.wait_log("cat", "SigCgt").replace('\t', " ");
    assert_eq!(told(&log, "SigBlk:"), "0000000000000000");
    assert_eq!(told(&log, "SigIgn:"), "0000000000000000");
    let log = s.wait_log("tell", "up, run 1");
    assert_eq!((told(&log, "session"), told(&log, "group")), ("true", "true"));
    assert_eq!(told(&log, "NoNewPrivs:"), "0");
    assert_eq!(told(&log, "dir"), s.path("manifests").canonicalize().unwrap().display().to_string());
    assert_eq!(told(&log, "fd 0"), "/dev/null");
    let file = s.state_dir().join("logs/tell.log").canonicalize().unwrap().display().to_string();
    assert_eq!((told(&log, "fd 1"), told(&log, "fd 2")), (file.as_str(), file.as_str()));
    for line in log.lines().filter(|line| line.starts_with("fd ")) {
        let number: u32 = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(number <= 2 || line.ends_with("/locks/tell.lock"), "a descriptor leaked: {line}");
    }
}

#[test]
fn environment_is_what_the_manifest_says_and_the_usual_few() {
    let s = Supervisor::prepare(
        "
        metadata: {name: tell}
        spec:
          command: [vitald-fixture]
          args: [tell]
          env:
            - {name: FIRST, value: one}
            - {name: SECOND, value: '$(FIRST) and two'}
            - {name: PLAIN, value: '$$(FIRST) $(NOWHERE)'}
            - {name: KEY, valueFrom: {fileKeyRef: {path: secrets.env, key: API_KEY}}}
            - {name: OVER, value: manifest}
          envFrom: [{file: common.env}]
        ---
        metadata: {name: all}
        spec: {command: [vitald-fixture, tell], inheritEnv: true}
        ",
    );
    s.write("manifests/secrets.env", "API_KEY=hush-hush\nOTHER=x\n");
    s.write("manifests/common.env", "# shared\nCOMMON=yes\nOVER=file\n");
    let mut s = s.with_env("STRANGER", "here").with_env("LC_ALL", "C").with_env("TZ", "UTC");
    s.start();
    let log = s.wait_log("tell", "up, run 1");
    for (name, value) in [
        ("FIRST", "one"),
        ("SECOND", "one and two"),
        ("PLAIN", "$(FIRST) $(NOWHERE)"),
        ("KEY", "hush-hush"),
        ("OVER", "manifest"),
        ("COMMON", "yes"),
        ("VITALD_COMPONENT", "tell"),
        ("VITALD_RUN", "1"),
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
    ] {
        assert_eq!(told(&log, &format!("env {name}")), value);
    }
    assert!(told(&log, "env PATH").contains("/bin") && log.contains("env HOME="));
    assert!(!log.contains("STRANGER") && !log.contains("env OTHER") && !log.contains("VITALD_STATE_DIR"));
    assert_eq!(told(&s.wait_log("all", "up, run 1"), "env STRANGER"), "here");

    // A secret shows nowhere but in the component's own environment.
    for args in [&["status", "-o", "json"][..], &["status", "-o", "yaml"], &["describe", "tell"], &["events"]]
    {
        let output = s.cli(args).expect(0).all();
        let output = output.replace("env KEY=hush-hush", "");
        assert!(!output.contains("hush-hush"), "{args:?}:\n{output}");
    }
    assert!(!s.said().contains("hush-hush"));
}

#[test]
fn limits_user_and_privileges() {
    let s = Supervisor::run(
        "
        metadata: {name: limited}
        spec:
          command: [vitald-fixture, tell]
          resources: {limits: {openFiles: 256}}
          securityContext: {noNewPrivileges: true}
        ---
        metadata: {name: nobody}
        spec:
          command: [sh, -c, 'id -un; id -gn; id -Gn; exec sleep 1000']
          workingDir: /
          restart: {maxRestarts: 0}
          securityContext: {runAsUser: nobody, runAsGroup: nogroup}
        ---
        metadata: {name: stranger}
        spec:
          command: [vitald-fixture, tell]
          restart: {maxRestarts: 0}
          securityContext: {runAsUser: no-such-user}
        ",
    );
    let log = s.wait_log("limited", "up, run 1");
    assert!(told(&log, "Max open files").starts_with("256 256"), "{log}");
    assert_eq!(told(&log, "NoNewPrivs:"), "1");

    if nix::unistd::geteuid().is_root() {
        s.wait_log("nobody", "nobody\nnogroup\nnogroup\n");
    } else {
        let failed = s.wait_state("nobody", "Failed", seconds(5));
        assert!(failed.last_error.unwrap_or_default().contains("nobody"));
    }
    let failed = s.wait_state("stranger", "Failed", seconds(5));
    assert!(failed.last_error.unwrap_or_default().contains("no-such-user"));
}

#[test]
fn supervisors_own_limit_is_not_passed_on() {
    let soft = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().0;
    let s = Supervisor::run(
        "
        metadata: {name: tell}
        spec: {command: [vitald-fixture, tell]}
        ",
    );
    let log = s.wait_log("tell", "up, run 1");
    let limits = told(&log, "Max open files");
    assert_eq!(limits.split(' ').next().unwrap(), soft.to_string(), "{limits}");
}

#[test]
fn working_dir_is_relative_to_the_manifest() {
    let s = Supervisor::prepare(
        "
        metadata: {name: tell}
        spec: {command: [vitald-fixture, tell], workingDir: sub/dir}
        ",
    );
    s.write("manifests/sub/dir/file", "");
    let mut s = s;
    s.start();
    let log = s.wait_log("tell", "up, run 1");
    let dir = s.path("manifests/sub/dir").canonicalize().unwrap();
    assert_eq!(told(&log, "dir"), dir.display().to_string());
}

#[test]
fn values_of_secrets_are_blotted_out_wherever_a_probe_or_hook_tells_them() {
    let mut s = Supervisor::prepare(
        r#"
        metadata: {name: web}
        spec:
          command: [vitald-fixture, sleep]
          env: [{name: TOKEN, valueFrom: {fileKeyRef: {path: secrets.env, key: TOKEN}}}]
          readinessProbe:
            exec: {command: [sh, -c, 'echo "login with $TOKEN refused"; exit 1']}
            periodSeconds: 0.2
            timeoutSeconds: 0.2
          lifecycle:
            preStop: {exec: {command: [sh, -c, 'echo "goodbye $TOKEN"; exit 5']}}
        "#,
    );
    s.write("manifests/secrets.env", "TOKEN=tok-hush-hush\n");
    s.start();
    let failed = |c: &vitald_tests::Component| c.message.contains("login with *** refused");
    s.wait_for("web", "the failed probe is told", seconds(10), failed);
    assert_eq!(s.cli(&["stop", "web"]).code, 0);
    let told = [
        s.cli(&["events"]).stdout,
        s.cli(&["status", "-o", "json"]).stdout,
        s.cli(&["describe", "web", "-o", "json"]).stdout,
        s.cli(&["probe", "run", "web"]).stderr,
        std::fs::read_to_string(s.state_dir().join("components/web.json")).unwrap(),
        s.said(),
    ]
    .join("\n");
    assert!(told.contains("goodbye ***"), "{told}");
    assert!(!told.contains("tok-hush-hush"), "{told}");
}
