//! The processes that libraries run in, as others find them: killed and stopped from outside, limited, left behind by
//! a killed supervisor, and gone with one that ends.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use vitald_tests::{Pid, Supervisor, eventually, seconds};

use crate::ward::{Host, Ward, answers, host, hosts, libraries};

#[test]
fn a_host_that_is_killed_from_outside_is_replaced() {
    for signal in [Signal::SIGSEGV, Signal::SIGKILL, Signal::SIGTERM] {
        let ward = Ward::open("Panic");
        let first = ward.first_host();
        first.signal(signal);
        first.wait_gone(seconds(5));
        ward.wait_well(Host::Another);
        ward.wait_beats(5);
        ward.assert_nobody_noticed();
    }
}

#[test]
fn a_host_that_is_stopped_from_outside_is_replaced() {
    let ward = Ward::open("Panic");
    let first = ward.first_host();
    first.signal(Signal::SIGSTOP);
    first.wait_gone(seconds(15));
    ward.wait_well(Host::Another);
    ward.assert_nobody_noticed();
    let told = ward.events_of("patient").into_iter().find(|told| told.starts_with("ProbeUnknown"));
    assert!(told.as_ref().is_some_and(|told| told.contains("stopped by a signal")), "{told:?}");
}

#[test]
fn of_a_killed_supervisor_no_host_is_left_and_the_next_one_asks_again() {
    let mut ward = Ward::open("Spin");
    let hosts_then = [ward.first_host(), host(&ward.steady)];
    // One that would not end by itself.
    ward.infect();
    ward.wait_beats(5);
    let (patient, neighbour) = (ward.component("patient").pid, ward.component("neighbour").pid);
    ward.s.kill9();
    hosts_then.iter().for_each(|host| host.wait_gone(seconds(10)));
    for library in [&ward.sick, &ward.steady] {
        eventually(
            "no host",
            seconds(10),
            || hosts(library).is_empty().then_some(()),
            || format!("{:?}", hosts(library)),
        );
    }
    ward.cure();
    ward.up().expect(0);
    for (name, before) in [("patient", patient), ("neighbour", neighbour)] {
        let adopted = ward.wait_for(name, "an answer", seconds(15), |c| answers(c, "Success"));
        assert_eq!((adopted.pid, adopted.restart_count), (before, 0), "{name} was restarted");
    }
    ward.wait_beats(3);
    ward.cli(&["down"]).expect(0);
    ward.assert_nothing_left();
}

#[test]
fn of_a_killed_supervisor_a_stopped_host_is_not_left_either() {
    let mut ward = Ward::open("Panic");
    let first = ward.first_host();
    first.signal(Signal::SIGSTOP);
    ward.s.kill9();
    first.wait_gone(seconds(10));
    ward.up().expect(0);
    ward.cli(&["down"]).expect(0);
    ward.assert_nothing_left();
}

#[test]
fn of_a_killed_supervisor_no_child_of_a_check_is_left_for_long() {
    for how in ["Fork", "ForkDaemon"] {
        let mut ward = Ward::open(how);
        ward.infect();
        let children = || hosts(&ward.sick);
        let seen = || format!("{:?}", children());
        eventually("children of the check", seconds(10), || (children().len() >= 4).then_some(()), seen);
        ward.cure();
        ward.s.kill9();
        // What its host could not end any more, the next supervisor does.
        ward.up().expect(0);
        ward.wait_for("patient", "an answer", seconds(15), |c| answers(c, "Success"));
        let one = || (hosts(&ward.sick).len() == 1).then_some(());
        eventually("one host", seconds(10), one, || format!("{how}: {:?}", hosts(&ward.sick)));
    }
}

#[test]
fn hosts_end_with_their_supervisor_however_it_is_told() {
    // The probe turns in circles, and its host hears no signal but SIGKILL.
    for (how, end) in [("Spin", &["down"][..]), ("Spin", &["down", "--keep"]), ("Surroundings", &["down"])] {
        let ward = Ward::open(how);
        ward.infect();
        ward.wait_beats(8);
        let supervisor = ward.supervisor();
        ward.cli(end).expect(0);
        supervisor.wait_gone(seconds(5));
        for library in [&ward.sick, &ward.steady] {
            let left = || hosts(library);
            eventually(
                &format!("{end:?}"),
                seconds(5),
                || left().is_empty().then_some(()),
                || format!("{:?}", left()),
            );
        }
        if end.len() > 1 {
            ward.cure();
            ward.up().expect(0);
            ward.wait_for("patient", "adopted", seconds(15), |c| answers(c, "Success"));
            ward.cli(&["down"]).expect(0);
        }
        ward.assert_nothing_left();
    }
}

#[test]
fn ctrl_c_ends_the_hosts_of_a_supervisor_in_the_foreground() {
    let mut s = Supervisor::prepare(
        "
        metadata: {name: patient}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe: {misbehave: {how: Block, while: sick}, periodSeconds: 0.1, timeoutSeconds: 30}
        ",
    );
    let library = s.install(&libraries().library("misbehaving"));
    s.start();
    s.wait_for("patient", "an answer", seconds(15), |c| answers(c, "Success"));
    let host = host(&library);
    // In a group of its own: a terminal's Ctrl-C does not reach it.
    let group = |pid: Pid| nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(pid.0))).unwrap();
    assert_ne!(group(host), group(s.pid()));
    s.write("manifests/sick", "");
    // A check is under way that holds its thread for an hour.
    std::thread::sleep(seconds(0.5));
    assert_eq!(s.ctrl_c(seconds(15)), 0);
    host.wait_gone(seconds(5));
    s.assert_nothing_left();
}

#[test]
fn commands_that_only_look_leave_no_host() {
    let s = Supervisor::prepare(
        "
        metadata: {name: patient}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe: {steady: {trace: beats}}
        ",
    );
    s.install(&libraries().library("steady"));
    for args in [&["validate", "-f", "manifests"][..], &["plugin", "list"], &["probe", "list"], &["schema"]] {
        s.cli(args).expect(0);
        s.assert_nothing_left();
    }
    s.cli(&["check", "steady", "trace=beats"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn a_command_tells_what_a_sick_probe_did_and_leaves_no_host() {
    let s = Supervisor::prepare("metadata: {name: sleeper}\nspec: {command: [vitald-fixture, sleep]}");
    s.install(&libraries().library("misbehaving"));
    s.write("sick", "");
    for (how, words) in [("Segfault", "SIGSEGV"), ("Spin", "did not come back"), ("Panic", "asked to panic")]
    {
        let how = format!("how={how}");
        let told = s.cli(&["check", "misbehave", &how, "while=sick", "--timeout", "1"]).expect(4);
        assert!(told.stdout.contains("Unknown") && told.stdout.contains(words), "{told:?}");
        s.assert_nothing_left();
    }
}

/// `steady` under other names: as many libraries as one likes.
fn steady_as(s: &Supervisor, name: &str) -> PathBuf {
    assert_eq!(name.len(), "steady".len());
    let mut bytes = fs::read(libraries().library("steady")).unwrap();
    let found: Vec<usize> =
        bytes.windows(name.len()).enumerate().filter(|(_, w)| w == b"steady").map(|(at, _)| at).collect();
    assert!(!found.is_empty());
    for at in found {
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
    }
    let file = s.write(&format!("tmp/lib{name}.so"), "");
    fs::write(&file, bytes).unwrap();
    s.install(&file)
}

#[test]
fn after_twenty_deaths_of_hosts_there_is_no_zombie() {
    const LIBRARIES: usize = 10;
    let names: Vec<String> = (0..LIBRARIES).map(|n| format!("stead{n}")).collect();
    let manifests: Vec<String> = names
        .iter()
        .map(|name| {
            format!(
                "
        metadata: {{name: {name}}}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe: {{{name}: {{trace: {name}.beats}}, periodSeconds: 0.2, timeoutSeconds: 5}}"
            )
        })
        .collect();
    let s = Supervisor::prepare(&manifests.join("\n        ---"));
    let files: Vec<PathBuf> = names.iter().map(|name| steady_as(&s, name)).collect();
    s.up().expect(0);
    let supervisor = s.pid();
    let wait_all = || {
        for name in &names {
            s.wait_for(name, "an answer", seconds(30), |c| answers(c, "Success"));
        }
    };
    wait_all();
    for _death in 0..2 {
        let first: Vec<Pid> = files.iter().map(|file| host(file)).collect();
        first.iter().for_each(|host| host.signal(Signal::SIGSEGV));
        first.iter().for_each(|host| host.wait_gone(seconds(5)));
        for (file, first) in files.iter().zip(&first) {
            eventually(
                "another host",
                seconds(30),
                || hosts(file).first().filter(|host| *host != first).copied(),
                || format!("{:?}", s.status()),
            );
        }
        wait_all();
    }
    let zombies = || zombies_of(supervisor);
    eventually(
        "no zombies",
        seconds(5),
        || zombies().is_empty().then_some(()),
        || format!("{:?}", zombies()),
    );
    assert_eq!(s.pid(), supervisor);
    for name in &names {
        assert_eq!(s.component(name).restart_count, 0);
    }
}

fn zombies_of(parent: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid));
    pids.filter(|pid| pid.state() == 'Z' && pid.parent() == Some(parent)).collect()
}

#[test]
fn a_host_has_limits_and_nothing_of_the_supervisors() {
    let ward = Ward::open("Panic");
    let host = ward.first_host();
    wait_limit(host, "Max open files", "256");
    wait_limit(host, "Max data size", "536870912");
    wait_limit(host, "Max core file size", "0");
    // Neither the lock of the state dir, nor the control socket, nor a log.
    let open: Vec<_> = fs::read_dir(format!("/proc/{}/fd", host.0))
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    let of_state_dir = ward.state_dir().display().to_string();
    assert!(!open.iter().any(|target| target.starts_with(&of_state_dir)), "{open:?}");
    // It does not keep a terminal, nor the folder that it was started in.
    assert!(open.len() < 20, "{open:?}");
}

/// A process sets its limits itself, soon after it was begun.
fn wait_limit(host: Pid, name: &str, is: &str) {
    let limits = || fs::read_to_string(format!("/proc/{}/limits", host.0)).unwrap_or_default();
    let has = |line: &str| line.strip_prefix(name).is_some_and(|of| of.split_whitespace().next() == Some(is));
    let is_set = || limits().lines().any(has).then_some(());
    eventually(&format!("{name} of {is}"), seconds(10), is_set, limits);
}

#[test]
fn a_host_has_the_limits_that_its_supervisor_was_started_with() {
    let s = Supervisor::prepare(
        "
        metadata: {name: asked}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe: {steady: {trace: beats}, periodSeconds: 0.1}
        ",
    );
    let library = s.install(&libraries().library("steady"));
    let flags = ["--plugin-memory", "1Gi", "--plugin-open-files", "1500"];
    let by_variable = s.clone_with_env("VITALD_PLUGIN_MEMORY", "256Mi");
    let by_variable = by_variable.clone_with_env("VITALD_PLUGIN_OPEN_FILES", "100");
    for (place, flags, memory, files) in [
        (&*s, &flags[..], "1073741824", "1500"),
        (&by_variable, &[], "268435456", "100"),
        (&*s, &[], "536870912", "256"),
    ] {
        place.cli(&[&["up", "-f", "manifests"], flags].concat()).expect(0);
        s.wait_for("asked", "an answer", seconds(15), |c| answers(c, "Success"));
        let first = host(&library);
        wait_limit(first, "Max data size", memory);
        wait_limit(first, "Max open files", files);
        // The one that takes its place, too.
        first.kill();
        first.wait_gone(seconds(5));
        wait_limit(host(&library), "Max open files", files);
        s.cli(&["down"]).expect(0);
    }
}

#[test]
fn limits_that_make_no_sense_are_refused_by_their_names() {
    let s = Supervisor::prepare("metadata: {name: sleeper}\nspec: {command: [vitald-fixture, sleep]}");
    for (flag, value, words) in [
        ("--plugin-memory", "lots", "must be a quantity, such as 512Mi"),
        ("--plugin-memory", "1Ki", "must be at least 64Mi"),
        ("--plugin-open-files", "many", "must be a number of files, 64 or more"),
        ("--plugin-open-files", "0", "must be a number of files, 64 or more"),
    ] {
        for command in ["up", "run", "check"] {
            let told = s.cli(&[command, flag, value]).expect(2).stderr;
            assert!(told.contains(flag) && told.contains(value) && told.contains(words), "{command}: {told}");
        }
    }
    let told = s.clone_with_env("VITALD_PLUGIN_MEMORY", "lots").cli(&["plugin", "list"]).expect(2).stderr;
    assert!(told.contains("must be a quantity"), "{told}");
}

#[test]
fn a_death_is_an_event_and_waits_grow() {
    let ward = Ward::open("Segfault");
    ward.infect();
    // Three deaths, at once, after 1 s, after 2 s: then it is said when it is tried again.
    ward.wait_for("patient", "said when it is tried again", seconds(30), |c| {
        let message = &c.probe("liveness").message;
        message.contains("SIGSEGV") && message.contains("again in")
    });
    let deaths = ward.events().into_iter().filter(|event| event.message.contains("SIGSEGV")).count();
    assert!((1..20).contains(&deaths), "{deaths} events tell of it: {:?}", ward.events());
    ward.cure();
    ward.wait_well(Host::Another);
    ward.assert_nobody_noticed();
}
