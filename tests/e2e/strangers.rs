//! A pid that now belongs to somebody else: never adopted, never signalled.

use std::path::PathBuf;

use vitald_tests::{Namespace, Pid, Running, Supervisor, eventually, program, seconds};

/// A supervisor in a namespace of its own has died, and then its component; a stranger has the pid by now.
struct Reused {
    s: Supervisor,
    _stranger: Running,
    ns: Namespace,
    pid: Pid,
    heard: PathBuf,
}

impl Reused {
    /// None where no namespace can be had.
    fn new() -> Option<Self> {
        let ns = Namespace::new()?;
        let mut s = Supervisor::prepare(
            "
            metadata: {name: victim}
            spec:
              command: [vitald-fixture, traced, TRACES, sleep]
              restart: {backoff: {initialSeconds: 0.1}}
            ---
            metadata: {name: neighbour}
            spec: {command: [vitald-fixture, traced, TRACES, sleep]}
            ",
        )
        .with_prefix(ns.prefix());
        s.up().expect(0);
        let pid = s.component("victim").pid();
        s.kill_supervisors();
        let killed = ns.command(&["kill", "-KILL", &pid.0.to_string()]).status().unwrap();
        assert!(killed.success());
        eventually(
            "the number to be free",
            seconds(5),
            || (!ns.proc(pid).exists()).then_some(()),
            String::new,
        );

        let heard = s.path("heard");
        let fixture = program("vitald-fixture").display().to_string();
        let words = [&fixture, "take-pid", &pid.0.to_string(), heard.to_str().unwrap()];
        let stranger = Running::of(&mut ns.command(&words));
        let told = || std::fs::read_to_string(&heard).unwrap_or_default();
        let (leader, company) = (
            format!("stranger {pid} session {pid} group {pid}", pid = pid.0),
            format!(" session {} group {}", pid.0, pid.0),
        );
        eventually(
            "a stranger with that number, who leads a session with another one in it",
            seconds(60),
            || (told().contains(&leader) && told().matches(&company).count() == 2).then_some(()),
            told,
        );
        Some(Self { s, _stranger: stranger, ns, pid, heard })
    }

    #[track_caller]
    fn assert_stranger_is_well(&self) {
        let told = std::fs::read_to_string(&self.heard).unwrap();
        assert!(self.ns.has(self.pid) && !told.contains("heard"), "{told}");
        for line in told.lines() {
            let pid = line.split(' ').nth(1).unwrap().parse().unwrap();
            assert!(self.ns.has(Pid(pid)), "{line}");
        }
    }
}

#[test]
fn stranger_under_a_recorded_pid_is_neither_adopted_nor_signalled() {
    let Some(reused) = Reused::new() else { return };
    let s = &reused.s;
    s.up().expect(0);
    reused.assert_stranger_is_well();
    let victim = s.wait_for("victim", "a run of its own", seconds(10), |c| c.ready);
    assert_ne!(victim.pid(), reused.pid);
    assert_eq!((victim.restart_count, victim.reason.as_str()), (1, ""));
    // Its parent has reaped it, and so nobody can know.
    let exit = victim.last_exit();
    assert_eq!((exit.code, exit.signal.as_deref()), (None, None));
    let told = s.cli(&["describe", "victim"]).expect(0).stdout;
    assert!(told.to_lowercase().contains("unknown"), "{told}");
    assert_eq!(s.component("neighbour").reason, "Adopted");

    s.cli(&["restart", "victim"]).expect(0);
    s.cli(&["stop", "victim"]).expect(0);
    reused.assert_stranger_is_well();
    s.cli(&["down"]).expect(0);
    reused.assert_stranger_is_well();
    s.assert_nothing_left();
    assert_eq!((s.traces().starts("victim"), s.traces().starts("neighbour")), (3, 1));
    s.traces().assert_never_doubled();
}

#[test]
fn down_of_a_dead_supervisor_spares_the_stranger() {
    let Some(reused) = Reused::new() else { return };
    let s = &reused.s;
    s.cli(&["down"]).expect(0);
    reused.assert_stranger_is_well();
    s.assert_nothing_left();
    s.up().expect(0);
    reused.assert_stranger_is_well();
    s.cli(&["down"]).expect(0);
    reused.assert_stranger_is_well();
}
