//! Whatever a probe does in a process of its library: its answer is Unknown with the reason, nobody else notices,
//! the supervisor goes on, and the probe is asked again as soon as it behaves.

use std::fs;

use vitald_tests::{Pid, Supervisor, eventually, seconds};

use crate::ward::{Host, Ward, answers, hosts, libraries};

#[test]
fn a_panic_is_told_in_its_own_words() {
    Ward::open("Panic").falls_ill_and_recovers(&["panicked", "asked to panic"], Host::Same);
}

#[test]
fn a_panic_of_no_text_is_told() {
    Ward::open("PanicOfNoText").falls_ill_and_recovers(&["panicked"], Host::Same);
}

#[test]
fn a_panic_whose_payload_panics_is_told() {
    Ward::open("PanicWhenPanicIsDropped").falls_ill_and_recovers(&["panicked"], Host::Same);
}

#[test]
fn a_panic_when_a_late_check_is_dropped_is_held() {
    Ward::open("PanicWhenDropped").falls_ill_and_recovers(&["did not come back"], Host::Same);
}

#[test]
fn a_panic_while_it_is_built_is_told() {
    let ward = Ward::open("PanicWhenBuilt");
    // Built for every run: the next one is sick.
    ward.infect();
    ward.cli(&["restart", "patient"]).expect(0);
    ward.wait_unknown(&["panicked", "built to panic"]);
    ward.cure();
    ward.wait_well(Host::Same);
    assert_eq!(ward.component("neighbour").restart_count, 0);
    // A manifest whose probe panics when it is tried is refused, at its line.
    ward.infect();
    let output = ward.cli(&["validate", "-f", "manifests"]).expect(2);
    assert!(output.stderr.contains("built to panic") && output.stderr.contains("test.yaml:7"), "{output:?}");
}

#[test]
fn a_probe_that_is_never_built_is_told_and_its_host_replaced() {
    let ward = Ward::open("BlockWhenBuilt");
    ward.infect();
    ward.cli(&["restart", "patient"]).expect(0);
    ward.wait_unknown(&["did not come back"]);
    let output = ward.cli(&["validate", "-f", "manifests"]).expect(2);
    assert!(output.stderr.contains("test.yaml:7"), "{output:?}");
    ward.cure();
    ward.wait_well(Host::Another);
}

#[test]
fn of_many_probes_that_are_never_built_one_is_waited_for() {
    let component = |n: usize| {
        format!(
            "
        metadata: {{name: patient{n}}}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe: {{misbehave: {{how: BlockWhenBuilt, while: sick}}}}"
        )
    };
    let s = Supervisor::prepare(&(0..20).map(component).collect::<Vec<_>>().join("\n        ---"));
    s.install(&libraries().library("misbehaving"));
    s.write("manifests/sick", "");
    let told = s.cli(&["validate", "-f", "manifests"]).expect(2);
    // Each is shown at its line, with the reason.
    let shown = told.stderr.matches("building a probe misbehave did not end within 5 s").count();
    assert!(shown >= 20 && told.stdout.contains("20 errors"), "{told:?}");
    assert!(told.stderr.matches("this one was not tried").count() >= 19, "{told:?}");
    let ended = told.stderr.lines().filter(|line| line.starts_with("misbehaving: the host of")).count();
    assert_eq!(ended, 1, "more than one was waited for: {told:?}");
    // Well again, it is asked as ever.
    std::fs::remove_file(s.path("manifests/sick")).unwrap();
    s.cli(&["validate", "-f", "manifests"]).expect(0);
}

#[test]
fn a_segfault_is_told_by_its_signal() {
    let ward = Ward::open("Segfault");
    let message = ward.falls_ill_and_recovers(&["SIGSEGV"], Host::Another);
    assert!(message.contains("misbehaving"), "which library? {message}");
}

#[test]
fn a_stack_overflow_is_told_by_its_signal() {
    Ward::open("StackOverflow").falls_ill_and_recovers(&["SIGSEGV"], Host::Another);
}

#[test]
fn an_abort_is_told_by_its_signal() {
    Ward::open("Abort").falls_ill_and_recovers(&["SIGABRT"], Host::Another);
}

#[test]
fn an_exit_is_told_by_its_status() {
    Ward::open("Exit").falls_ill_and_recovers(&["status 0"], Host::Another);
}

#[test]
fn an_exit_at_once_is_told_by_its_status() {
    Ward::open("ExitAtOnce").falls_ill_and_recovers(&["status 0"], Host::Another);
}

#[test]
fn who_kills_its_group_kills_its_host_alone() {
    Ward::open("KillGroup").falls_ill_and_recovers(&["SIGKILL"], Host::Another);
}

#[test]
fn an_endless_loop_is_ended() {
    let ward = Ward::open("Spin");
    let first = ward.first_host();
    ward.falls_ill_and_recovers(&["did not come back within 1 s"], Host::Another);
    assert!(!first.exists(), "the one that turned in circles still does");
}

#[test]
fn a_check_that_blocks_its_thread_is_ended() {
    Ward::open("Block").falls_ill_and_recovers(&["did not come back within 1 s"], Host::Another);
}

#[test]
fn a_check_that_never_returns_is_dropped() {
    Ward::open("Pending").falls_ill_and_recovers(&["did not come back within 1 s"], Host::Same);
}

#[test]
fn a_check_that_is_slow_to_let_go_is_late_and_no_more() {
    Ward::open("SlowToLetGo").falls_ill_and_recovers(&["did not come back within 1 s"], Host::Either);
}

#[test]
fn a_host_that_stops_itself_is_replaced() {
    let ward = Ward::open("Stop");
    let first = ward.first_host();
    ward.falls_ill_and_recovers(&["did not come back within 1 s"], Host::Another);
    assert!(!first.exists(), "{} is left, state {}", first.0, first.state());
}

#[test]
fn a_leak_ends_where_the_limit_is() {
    let ward = Ward::open("Leak");
    ward.infect();
    let mut most = 0;
    let leaking = ward.first_host();
    eventually(
        "the leaking host's end",
        seconds(60),
        || {
            most = most.max(resident_mebibytes(leaking));
            (!leaking.exists()).then_some(())
        },
        || format!("{} MiB so far", resident_mebibytes(leaking)),
    );
    assert!((100..700).contains(&most), "it had grown to {most} MiB");
    ward.wait_unknown(&["memory allocation"]);
    ward.cure();
    ward.wait_well(Host::Another);
    ward.assert_nobody_noticed();
    assert!(resident_mebibytes(ward.supervisor()) < 200, "the supervisor has grown with it");
}

#[test]
fn descriptors_end_where_the_limit_is() {
    let ward = Ward::open("OpenFiles");
    ward.falls_ill_and_recovers(&["Too many open files"], Host::Same);
    let open = |pid: Pid| fs::read_dir(format!("/proc/{}/fd", pid.0)).unwrap().count();
    let taken = open(ward.first_host());
    assert!(taken <= 256, "{taken} files are open");
    assert!(open(ward.supervisor()) < 100, "the supervisor has opened them, too");
}

#[test]
fn children_of_a_check_end_with_their_host() {
    children_end("Fork");
}

#[test]
fn daemons_of_a_check_end_with_their_host() {
    children_end("ForkDaemon");
}

#[track_caller]
fn children_end(how: &str) {
    let ward = Ward::open(how);
    ward.infect();
    let first = ward.first_host();
    eventually(
        "children of the check",
        seconds(10),
        || (hosts(&ward.sick).len() >= 4).then_some(()),
        || format!("{:?}", hosts(&ward.sick)),
    );
    ward.cure();
    first.kill();
    eventually(
        "the children's end",
        seconds(15),
        || (hosts(&ward.sick).len() == 1).then_some(()),
        || format!("{:?}", hosts(&ward.sick).iter().map(|pid| (pid.0, pid.parent())).collect::<Vec<_>>()),
    );
    ward.wait_well(Host::Another);
    ward.assert_nobody_noticed();
    ward.infect();
    eventually(
        "children of the check",
        seconds(10),
        || (hosts(&ward.sick).len() >= 4).then_some(()),
        String::new,
    );
    ward.cli(&["down"]).expect(0);
    ward.assert_nothing_left();
}

#[test]
fn threads_that_turn_in_circles_keep_no_neighbour_from_answering() {
    let ward = Ward::open("SpinBeside");
    ward.infect();
    ward.wait_beats(40);
    assert!(ward.first_host().cpu_seconds() > 1.0, "they did not turn");
    ward.wait_well(Host::Same);
    ward.assert_nobody_noticed();
    // Whoever looks at the machine finds it, and may end it.
    ward.cure();
    ward.first_host().kill();
    ward.wait_well(Host::Another);
}

#[test]
fn a_flood_of_words_fills_nobodys_log() {
    let ward = Ward::open("Flood");
    ward.infect();
    ward.wait_beats(30);
    ward.cure();
    // Its words are not taken as fast as it has them, so that its check may come too late.
    ward.wait_well(Host::Either);
    ward.assert_nobody_noticed();
    let log = fs::metadata(ward.state_dir().join("vitald.log")).map_or(0, |meta| meta.len());
    assert!(log < 1 << 20, "vitald's own log has {log} bytes");
    let told = ward.events().len();
    assert!(told < 100, "{told} events");
}

#[test]
fn rubbish_on_the_wire_ends_the_host() {
    Ward::open("Rubbish").falls_ill_and_recovers(&["misbehaving"], Host::Another);
}

#[test]
fn a_host_that_closes_all_it_has_is_replaced() {
    Ward::open("CloseAll").falls_ill_and_recovers(&["misbehaving"], Host::Another);
}

#[test]
fn an_answer_of_a_hundred_mebibytes_is_not_taken() {
    let ward = Ward::open("HugeMessage");
    ward.infect();
    ward.wait_unknown(&[]);
    ward.wait_beats(10);
    for args in [&["status", "-o", "json"][..], &["events", "-o", "json"], &["describe", "patient"]] {
        let told = ward.cli(args).expect(0).stdout.len();
        assert!(told < 200_000, "{args:?} tells {told} bytes");
    }
    let record = fs::metadata(ward.state_dir().join("components/patient.json")).unwrap().len();
    assert!(record < 200_000, "the record has {record} bytes");
    ward.cure();
    ward.wait_well(Host::Either);
    ward.assert_nobody_noticed();
    let resident = resident_mebibytes(ward.supervisor());
    assert!(resident < 200, "the supervisor has grown to {resident} MiB");
}

#[test]
fn an_answer_with_control_characters_is_a_plain_line() {
    let ward = Ward::open("OddMessage");
    ward.infect();
    ward.wait_unknown(&["first line"]);
    for args in [&["status"][..], &["describe", "patient"], &["events"], &["probe", "run", "patient"]] {
        let told = ward.cli(args).all();
        let odd = told.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert!(odd.is_none(), "{args:?}: {odd:?} in {told:?}");
        assert!(!told.contains("\nsecond"), "{args:?} goes to another line: {told}");
    }
    ward.cure();
    ward.wait_well(Host::Same);
    ward.assert_nobody_noticed();
}

#[test]
fn what_it_changes_around_itself_is_its_hosts_alone() {
    let ward = Ward::open("Surroundings");
    let folder = fs::read_link(format!("/proc/{}/cwd", ward.supervisor().0)).unwrap();
    ward.infect();
    ward.wait_beats(10);
    let patient = ward.component("patient");
    assert!(answers(&patient, "Success"), "{patient:?}");
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", ward.supervisor().0)).unwrap(), folder);
    ward.assert_nobody_noticed();
    // It hears no SIGTERM any more, and ends nevertheless.
    ward.cli(&["down"]).expect(0);
    ward.assert_nothing_left();
}

#[test]
fn a_library_that_answers_no_utf_8_is_not_believed() {
    lies("InvalidUtf8", &["liar"]);
}

#[test]
fn a_library_that_answers_no_json_is_not_believed() {
    lies("NoJson", &["liar"]);
}

#[test]
fn a_library_that_answers_with_an_outcome_of_its_own_is_not_believed() {
    lies("NoOutcome", &["liar"]);
}

#[test]
fn a_library_that_answers_nothing_at_all_is_not_believed() {
    lies("NullAnswer", &["liar"]);
}

#[test]
fn a_library_that_never_says_that_it_is_done_is_ended() {
    lies("Never", &["did not come back"]);
}

#[test]
fn a_library_that_answers_twice_is_heard_once() {
    let ward = Ward::with("lie: {how: Twice, while: sick}", "liar", "Process");
    ward.infect();
    ward.wait_beats(20);
    ward.wait_well(Host::Same);
    ward.assert_nobody_noticed();
}

#[track_caller]
fn lies(how: &str, words: &[&str]) {
    let ward = Ward::with(&format!("lie: {{how: {how}, while: sick}}"), "liar", "Process");
    ward.falls_ill_and_recovers(words, Host::Either);
}

fn resident_mebibytes(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.0)).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
