//! The `postgres` probe, and a real PostgreSQL server.

use vitald_tests::{Stranger, Supervisor, seconds};

use crate::postgres_server::{PASSWORD, Server, user};

/// A folder with the probe's library and the password, and a manifest about the server.
fn prepare(server: &Server, manifests: &str) -> Supervisor {
    let s = Supervisor::prepare(&manifests.replace("PORT", &server.port.to_string()));
    s.install(&Stranger::build("examples/custom-probes").library("postgres-query"));
    s.write("manifests/password", &format!("{PASSWORD}\n"));
    s
}

const READINESS: &str = "
    metadata: {name: app}
    spec:
      command: [vitald-fixture, sleep]
      readinessProbe:
        postgres: {port: PORT, passwordFile: password, query: 'SELECT count(*) FROM jobs', max: 3}
        periodSeconds: 0.2
        timeoutSeconds: 3
        failureThreshold: 2
";

#[test]
fn readiness_follows_a_server_that_is_stopped_and_started() {
    let mut server = Server::new();
    server.psql("CREATE TABLE jobs (id int)").unwrap();
    let mut s = prepare(&server, READINESS);
    s.start();
    s.wait_ready("app");

    server.stop();
    let said = format!("connection refused by localhost:{}: nothing listens there", server.port);
    s.wait_for("app", &said, seconds(10), |app| !app.ready && app.probe("readiness").message == said);

    server.start();
    let app = s.wait_ready("app");
    assert_eq!(app.restart_count, 0, "readiness restarts nothing: {app:?}");
}

#[test]
fn readiness_follows_a_server_that_freezes_with_its_port_open() {
    let server = Server::new();
    server.psql("CREATE TABLE jobs (id int)").unwrap();
    let mut s = prepare(&server, READINESS);
    s.start();
    s.wait_ready("app");

    server.freeze();
    // The probe says so itself; one that does not come back would be Unknown.
    let said = format!("no answer from localhost:{} within", server.port);
    s.wait_for("app", &said, seconds(40), |app| {
        let probe = app.probe("readiness");
        !app.ready && probe.state.as_deref() == Some("Failure") && probe.message.contains(&said)
    });

    server.thaw();
    s.wait_ready("app");
}

#[test]
fn the_answer_is_judged() {
    let server = Server::new();
    server.psql("CREATE TABLE jobs (id int)").unwrap();
    let mut s = prepare(&server, READINESS);
    s.start();
    s.wait_ready("app");
    server.psql("INSERT INTO jobs SELECT generate_series(1, 4)").unwrap();
    let said = "the query gives 4, more than 3";
    s.wait_for("app", said, seconds(10), |app| !app.ready && app.probe("readiness").message == said);
    server.psql("DELETE FROM jobs").unwrap();
    s.wait_ready("app");
    assert!(!server.log().contains("unexpected EOF"), "each check says goodbye:\n{}", server.log());
}

#[test]
fn a_frozen_server_under_vitald_is_restarted() {
    let server = Server::prepare();
    let words = server.words().iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ");
    let who = user().map_or(String::new(), |user| format!("securityContext: {{runAsUser: {}}}", user.name));
    let mut s = prepare(
        &server,
        &format!(
            "
            metadata: {{name: database}}
            spec:
              command: [{words}]
              {who}
              ports: [{{name: sql, containerPort: PORT}}]
              startupProbe: {{postgres: &sql {{port: sql, passwordFile: password}}, periodSeconds: 0.2, timeoutSeconds: 10}}
              livenessProbe: {{postgres: *sql, periodSeconds: 0.5, timeoutSeconds: 3, failureThreshold: 2}}
              restart: {{backoff: {{initialSeconds: 0.2}}}}
              terminationGracePeriodSeconds: 1
            "
        ),
    );
    s.start();
    let first = s.wait_ready("database").pid();
    server.psql("CREATE TABLE kept AS SELECT 42 AS answer").unwrap();

    first.descendants().into_iter().chain([first]).for_each(|pid| {
        pid.signal(nix::sys::signal::Signal::SIGSTOP);
    });
    let again = s.wait_for("database", "a second run that is ready", seconds(60), |database| {
        database.restart_count == 1 && database.ready
    });
    assert_ne!(again.pid(), first);
    assert_eq!(server.psql("SELECT answer FROM kept").as_deref(), Ok("42"));
    let unhealthy = s.events_of("database").into_iter().find(|event| event.starts_with("Unhealthy"));
    let said = format!("no answer from localhost:{} within", server.port);
    assert!(unhealthy.as_ref().is_some_and(|event| event.contains(&said)), "{unhealthy:?}");
}

/// Where the question is wrong, nothing is known of the server.
#[test]
fn questions_that_cannot_be_asked_are_unknown_and_hide_the_password() {
    let server = Server::new();
    server.psql("CREATE SEQUENCE numbers").unwrap();
    let s = prepare(&server, "metadata: {name: none}\nspec: {command: [sleep, '1']}");
    s.write("wrong", "hunter2-is-not-it\n");
    let check = |settings: &[&str]| {
        let port = format!("port={}", server.port);
        let is_patient = !settings.iter().any(|word| word.starts_with("--timeout"));
        let patience = is_patient.then_some("--timeout=20");
        let words = ["check", "postgres", &port].into_iter().chain(settings.iter().copied()).chain(patience);
        let output = s.cli(&words.collect::<Vec<_>>());
        for secret in [PASSWORD, "hunter2-is-not-it"] {
            assert!(!output.all().contains(secret), "{output:?}");
        }
        (output.code, output.stdout)
    };
    let password = "passwordFile=manifests/password";
    for (settings, code, said) in [
        (vec![password], 0, "Success"),
        (vec![password, "query=SELECT false"], 1, "the query gives false"),
        (vec![password, "query=SELECT 1 WHERE false"], 1, "the query gives no row"),
        (vec![password, "query=SELECT NULL"], 1, "the query gives NULL"),
        (vec![password, "query=SELECT 1/0"], 1, "division by zero"),
        (vec![password, "query=SELECT pg_sleep(60)", "--timeout=4"], 1, "no answer"),
        (vec!["passwordFile=wrong"], 4, "password authentication failed for user \"postgres\""),
        (vec![], 4, "password missing"),
        (vec!["passwordFile=nowhere"], 4, "nowhere cannot be read: no such file or directory"),
        (vec![password, "user=nobody-here"], 4, "password authentication failed"),
        (vec![password, "database=nowhere"], 4, "database \"nowhere\" does not exist"),
        (vec![password, "query=SELEC true"], 4, "syntax error at or near \"SELEC\""),
        (vec![password, "query=SELECT true; DROP TABLE a"], 4, "multiple commands"),
        (vec![password, "query=CREATE TABLE a (id int)"], 4, "gives no value"),
        (vec![password, "query=SELECT nextval('numbers')"], 4, "read-only transaction"),
        (vec![password, "query=SELECT 'much'", "max=3"], 4, "`min` and `max` are for numbers"),
    ] {
        let (found, stdout) = check(&settings);
        assert!(found == code && stdout.contains(said), "{settings:?}: {found} {stdout}, not {code} {said}");
    }
}
