//! A probe that asks for all that a probe may ask for, wherever it runs.

use vitald_tests::{Supervisor, free_port, seconds};

use crate::ward::{host, libraries};

#[test]
fn all_that_a_built_in_may_ask_for_is_there_for_a_custom_probe() {
    for isolation in ["Process", "InProcess"] {
        let port = free_port();
        let greeter = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        std::thread::spawn(move || {
            for mut stream in greeter.incoming().flatten() {
                use std::io::Write;
                let _ = stream.write_all(b"good day\n");
            }
        });
        let s = Supervisor::prepare(&format!(
            "
            metadata: {{name: known}}
            spec:
              command: [sh, -c, 'echo a line; vitald-fixture notify-say STATUS=fine & exec vitald-fixture sleep']
              env: [{{name: COLOUR, value: green}}]
              ports: [{{name: greeting, containerPort: {port}}}]
              livenessProbe:
                everything: {{port: greeting, command: [sh, -c, 'echo $COLOUR; exit 3']}}
                isolation: {isolation}
                periodSeconds: 0.2
                timeoutSeconds: 5
            "
        ));
        let library = s.install(&libraries().library("everything"));
        s.up().expect(0);
        let known = s.wait_for("known", "all of it", seconds(15), |c| {
            ["greeted", "`fine`"].iter().all(|word| c.probe("liveness").message.contains(word))
        });
        let told = &known.probe("liveness").message;
        let dir = s.path("manifests").canonicalize().unwrap();
        for words in [
            &format!("known in {}", dir.display()),
            "greeted by `good day`",
            &format!("pid {} of [", known.pid().0),
            "uses memory: true",
            "log `a line",
            "` from 0, ",
            "status `fine`",
            "command exited with status 3: `green`",
        ] {
            assert!(told.contains(words), "no `{words}` in `{told}`");
        }
        // What the probe needs was given to the run.
        let environment = std::fs::read(format!("/proc/{}/environ", known.pid().0)).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        assert!(environment.contains("WATCHDOG_USEC=7000000"), "{environment}");
        assert!(environment.contains("NOTIFY_SOCKET="), "{environment}");
        if isolation == "Process" {
            host(&library);
        }
    }
}
