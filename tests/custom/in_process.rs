//! Probes in the supervisor's own process, by choice: panics stay where they are, and time limits hold.

use vitald_tests::{Stranger, Supervisor, eventually, seconds};

use crate::ward::{Host, Ward, answers, hosts};

#[test]
fn a_probe_in_process_has_no_host() {
    let ward = Ward::in_process("Panic");
    // The one that said what the library has, and tried the configuration, is not kept for nothing.
    eventually(
        "the end of the host that nobody asks",
        seconds(30),
        || hosts(&ward.sick).is_empty().then_some(()),
        || format!("{:?}", hosts(&ward.sick)),
    );
    assert!(answers(&ward.component("patient"), "Success"));
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", ward.supervisor().0)).unwrap();
    assert!(maps.contains("memfd:"), "nothing was loaded");
}

#[test]
fn panics_stay_on_their_side_of_the_border() {
    for (how, words) in [
        ("Panic", &["panicked", "asked to panic"][..]),
        ("PanicOfNoText", &["panicked"]),
        ("PanicWhenPanicIsDropped", &["panicked"]),
        ("PanicWhenDropped", &["did not come back within 1 s"]),
    ] {
        Ward::in_process(how).falls_ill_and_recovers(words, Host::Same);
    }
}

#[test]
fn a_panic_while_it_is_built_in_process_is_told() {
    let ward = Ward::in_process("PanicWhenBuilt");
    ward.infect();
    ward.cli(&["restart", "patient"]).expect(0);
    ward.wait_unknown(&["panicked", "built to panic"]);
    ward.cure();
    ward.wait_well(Host::Same);
}

#[test]
fn a_check_that_never_returns_is_dropped() {
    Ward::in_process("Pending").falls_ill_and_recovers(&["did not come back within 1 s"], Host::Same);
}

#[test]
fn answers_of_any_size_and_look_are_cut() {
    for how in ["HugeMessage", "OddMessage"] {
        let ward = Ward::in_process(how);
        ward.infect();
        ward.wait_unknown(&[]);
        let told = ward.cli(&["status", "-o", "json"]).expect(0).stdout.len();
        assert!(told < 200_000, "{told} bytes");
        ward.cure();
        ward.wait_well(Host::Same);
        ward.assert_nobody_noticed();
    }
}

#[test]
fn a_check_that_blocks_its_thread_is_left_behind_and_its_library_moves_to_a_host() {
    for how in ["Block", "Spin"] {
        let ward = Ward::in_process(how);
        ward.infect();
        ward.wait_unknown(&["did not come back within 1 s"]);
        // After three of them, it is asked in a process of its own, and that is told once.
        eventually(
            "a host",
            seconds(30),
            || hosts(&ward.sick).first().copied(),
            || format!("{:?}", ward.events()),
        );
        ward.cure();
        ward.wait_for("patient", "well again", seconds(30), |c| answers(c, "Success") && c.is("Running", ""));
        ward.assert_nobody_noticed();
        let told = ward.events().into_iter().filter(|event| event.message.contains("misbehaving")).count();
        assert!(told > 0, "{:?}", ward.events());
        // What turns in circles within the supervisor does not keep it from ending.
        ward.cli(&["down"]).expect(0);
        ward.assert_nothing_left();
    }
}

#[test]
fn a_library_whose_panics_abort_runs_in_a_host_only() {
    let aborting = Stranger::build_as("tests/plugins", "aborting").library("misbehaving");
    let manifest = |isolation: &str| {
        format!(
            "
            metadata: {{name: patient}}
            spec:
              command: [vitald-fixture, sleep]
              livenessProbe:
                misbehave: {{how: Panic, while: sick}}
                isolation: {isolation}
                periodSeconds: 0.1
                failureThreshold: 2
            "
        )
    };
    let s = Supervisor::prepare(&manifest("InProcess"));
    let file = s.install(&aborting);
    let output = s.cli(&["validate", "-f", "manifests"]).expect(2);
    assert!(output.stderr.contains("panic") && output.stderr.contains("InProcess"), "{output:?}");
    s.cli(&["up", "-f", "manifests"]).expect(2);

    s.write_manifests(&manifest("Process"));
    s.up().expect(0);
    s.wait_for("patient", "an answer", seconds(15), |c| answers(c, "Success"));
    let supervisor = s.pid();
    s.write("manifests/sick", "");
    s.wait_for("patient", "unknown", seconds(15), |c| {
        answers(c, "Unknown") && c.probe("liveness").message.contains("SIGABRT")
    });
    std::fs::remove_file(s.path("manifests/sick")).unwrap();
    s.wait_for("patient", "well again", seconds(30), |c| answers(c, "Success"));
    assert_eq!((s.pid(), s.component("patient").restart_count), (supervisor, 0));
    let _ = crate::ward::host(&file);
}

#[test]
fn isolation_is_nothing_that_a_built_in_has() {
    let s = Supervisor::prepare(
        "
        metadata: {name: sleeper}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe: {pid: {}, isolation: InProcess}
        ",
    );
    let output = s.cli(&["validate", "-f", "manifests"]).expect(2);
    assert!(output.stderr.contains("isolation") && output.stderr.contains("test.yaml:6"), "{output:?}");
}
