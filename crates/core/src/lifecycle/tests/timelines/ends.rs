//! What is told of a run that has ended.

use super::*;

#[test]
fn a_late_report_about_an_earlier_run_is_ignored() {
    let mut world = begin(spec(), Behaviour::default());
    world.until(5.0);
    world.command(Command::Restart);
    world.until(6.0);
    assert_snapshot!(world.told(), @"0s Start(1); 5s Terminate(1); 5s Start(2)");
    let what = Observed::Exited { exit: Exit::Code(1), leftovers: false };
    world.tell(Event::Report(Report { run: RunId(1), what }));
    assert_snapshot!(world.state(), @"Running ready");
}

#[test]
fn what_went_wrong_is_forgotten_once_a_run_is_stable() {
    let mut spec = spec();
    spec.readiness_probe = Some(probe(ProbeRole::Readiness)); // Something is told all the time.
    let mut world = begin(spec, crashing());
    world.until(0.5);
    world.behaviour = Behaviour::default();
    world.until(10.9);
    assert_eq!(world.lifecycle.record().last_error.as_deref(), Some("exited with status 1 after 0 s"));
    assert_eq!(world.snapshot().last_error.as_deref(), Some("exited with status 1 after 0 s"));
    world.until(11.0);
    assert_eq!(world.lifecycle.record().last_error, None);
    assert_eq!(world.snapshot().last_error, None);

    // Even where nothing happens that would make it look.
    let mut world = begin(super::spec(), crashing());
    world.until(0.5);
    world.behaviour = Behaviour::default();
    world.until(10.9);
    assert!(world.snapshot().last_error.is_some());
    world.until(11.0);
    assert_eq!(world.snapshot().last_error, None);
}

#[test]
fn time_that_goes_back_changes_nothing() {
    let mut spec = spec();
    spec.liveness_probe = Some(probe(ProbeRole::Liveness));
    let mut world = begin(spec, Behaviour::default());
    world.until(12.0);
    world.tell(Event::Deadline);
    let deadline = world.lifecycle.next_deadline();
    let noon = world.now;
    world.now = noon.minus(SECOND * 7);
    assert_eq!(world.lifecycle.on(world.now, Event::Deadline), vec![]);
    assert_eq!((world.lifecycle.next_deadline(), world.asked(ProbeRole::Liveness)), (deadline, 2));
    world.exit(Exit::Code(1));
    let snapshot = world.lifecycle.snapshot(noon);
    assert_eq!(snapshot.next_restart_at, Some(noon + SECOND));
    let end = snapshot.last_end.unwrap();
    assert_eq!((end.at, end.uptime), (noon, SECOND * 12));
}

#[test]
fn the_last_end_is_that_of_the_main_process() {
    let behaviour = Behaviour {
        exits: Some((SECOND * 5, Exit::Code(3))),
        leftovers: true,
        heeds_term: Some(SECOND * 10),
        ..Behaviour::default()
    };
    let mut spec = spec();
    spec.termination_grace_period = SECOND * 60;
    let mut world = begin(spec, behaviour);
    let begun = world.now;
    world.until(4.0);
    assert!(world.snapshot().main_process);
    world.until(10.0);
    assert!(!world.snapshot().main_process, "the others have none");
    world.until(15.5);
    let end = world.snapshot().last_end.unwrap();
    assert_eq!((end.exit, end.at, end.uptime), (Some(Exit::Code(3)), begun + SECOND * 5, SECOND * 5));
    assert_eq!(end.reason, Reason::Error);
}

#[test]
fn an_end_for_want_of_memory_is_told_as_one() {
    let mut world = begin(spec(), Behaviour::default());
    world.until(1.0);
    world.exit(Exit::OomKilled);
    assert_eq!(world.snapshot().last_end.unwrap().reason, Reason::OOMKilled);

    // In the middle of a stop, and with something that lives on.
    let mut world = begin(spec(), Behaviour { heeds_term: None, leftovers: true, ..Behaviour::default() });
    world.until(1.0);
    world.command(Command::Restart);
    world.exit(Exit::OomKilled);
    world.until(20.0);
    assert_eq!(world.snapshot().last_end.unwrap().reason, Reason::OOMKilled);

    let mut world = begin(spec(), Behaviour { heeds_term: None, leftovers: true, ..Behaviour::default() });
    world.until(1.0);
    world.exit(Exit::OomKilled);
    assert_snapshot!(world.state(), @"Unhealthy/OOMKilled");
}

#[test]
fn the_last_end_says_who_wanted_it() {
    let mut lines = vec![];
    for command in [Command::Stop, Command::Restart, Command::Pause, Command::Shutdown, Command::Kill] {
        let mut world = begin(spec(), Behaviour::default());
        world.until(1.0);
        world.command(command);
        world.until(2.0);
        lines.push(format!("{command:?}: {}", world.snapshot().last_end.unwrap().reason));
    }
    assert_snapshot!(lines.join("\n"), @r"
    Stop: StoppedByUser
    Restart: RestartRequested
    Pause: RestartRequested
    Shutdown: SupervisorStopped
    Kill: SupervisorStopped
    ");
}

#[test]
fn an_end_that_nobody_saw_is_one() {
    let mut world = begin(spec(), Behaviour::default());
    world.until(1.0);
    world.tell(Event::Report(Report { run: RunId(1), what: Observed::Gone }));
    assert_snapshot!(world.state(), @"Restarting/CrashLoopBackOff");
    let end = world.snapshot().last_end.unwrap();
    assert_eq!((end.exit, end.reason), (Some(Exit::Unknown), Reason::Error));
}

#[test]
fn a_start_that_takes_its_time_says_what_it_does() {
    let pulling = |progress: &str| {
        Observed::Starting(StartStep::PullingImage { image: "web:1".into(), progress: progress.into() })
    };
    let mut lifecycle = Lifecycle::new(std::sync::Arc::new(spec()));
    let now = Timestamp::ZERO;
    assert_eq!(lifecycle.on(now, Event::Command(Command::Begin)), [Action::Start(RunId(1))]);
    let mut tell = |run, what| {
        let actions = lifecycle.on(now, Event::Report(Report { run: RunId(run), what }));
        let told: Vec<_> = actions
            .into_iter()
            .filter_map(|action| match action {
                Action::Notify(notice) => Some((notice.reason, notice.message)),
                _ => None,
            })
            .collect();
        let Snapshot { state, reason, message, .. } = lifecycle.snapshot(now);
        (told, format!("{state} {reason} {message}"))
    };
    let told = |reason, message: &str| vec![(reason, message.to_owned())];
    assert_eq!(tell(0, pulling("late")), (vec![], "Starting Spawning ".into()), "of another run");
    let first = (told(EventReason::Pulling, "pulls web:1"), "Starting PullingImage pulls web:1".into());
    assert_eq!(tell(1, pulling("")), first);
    let next = tell(1, pulling("1 of 2 layers, 3 MiB of 9 MiB"));
    assert_eq!(next, (vec![], "Starting PullingImage pulls web:1: 1 of 2 layers, 3 MiB of 9 MiB".into()));
    let pulled = tell(1, Observed::Starting(StartStep::PulledImage { image: "web:1".into() }));
    assert_eq!(pulled, (told(EventReason::Pulled, "has pulled web:1"), "Starting Spawning ".into()));
    assert_eq!(tell(1, Observed::Spawned), (told(EventReason::Started, "started"), "Running  ".into()));
    assert_eq!(tell(1, pulling("late")), (vec![], "Running  ".into()));

    // The next start has nothing to say yet.
    tell(1, Observed::Exited { exit: Exit::Code(1), leftovers: false });
    let again = lifecycle.on(now + SECOND, Event::Deadline);
    assert!(again.contains(&Action::Start(RunId(2))), "{again:?}");
    assert_eq!(lifecycle.snapshot(now + SECOND).reason, Reason::Spawning);
}
