//! Days by the thousand, and what the simulator itself must be able to do.

// A test says what it saw.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::panic)]

use vitald_sim::{Plan, live, run, shrunk, simulate, timeline};

/// How many days are simulated, if nobody says otherwise; unoptimized they take too long for more.
const SEEDS: u64 = if cfg!(debug_assertions) { 300 } else { 10_000 };

fn seeds() -> u64 {
    let said = std::env::var("VITALD_SIM_SEEDS").ok();
    said.map_or(SEEDS, |seeds| {
        seeds.parse().unwrap_or_else(|_| panic!("VITALD_SIM_SEEDS is no number: {seeds}"))
    })
}

#[test]
fn no_day_breaks_a_rule() {
    let report = run(0, seeds(), 1, |_, _| ());
    if let Some(failure) = report.failures.first() {
        panic!(
            "seed {} breaks \"{}\": {}\nreplay: cargo xtask simulate --seed {}\n{}",
            failure.seed,
            failure.fault.rule,
            failure.fault.what,
            failure.seed,
            failure.timeline.join("\n")
        );
    }
    println!("{:?}", report.tally);
    if report.tally.days >= 10_000 {
        let never: Vec<_> = report.tally.all().into_iter().filter(|(_, n)| *n == 0).collect();
        assert!(never.is_empty(), "a simulation in which these never happen shows little: {never:?}");
    }
}

#[test]
fn a_seed_is_a_day() {
    for seed in [0, 7, 1_000_003] {
        let plan = Plan::new(seed);
        assert_eq!(timeline(&plan), timeline(&Plan::new(seed)), "seed {seed}");
        assert_eq!(live(&plan).1, simulate(seed).map_err(|failure| failure.fault.what).unwrap_or_default());
        assert!(timeline(&plan).len() > 3, "seed {seed}: nothing happens");
    }
    assert_ne!(timeline(&Plan::new(1)), timeline(&Plan::new(2)));
}

#[test]
fn what_is_left_out_changes_nothing_before_it() {
    for seed in 0..20 {
        let plan = Plan::new(seed);
        let Some((shorter, at)) = plan.without_last() else { continue };
        let before = |plan: &Plan| {
            let lines = timeline(plan);
            lines.into_iter().take_while(|line| *line.as_str() < *at).collect::<Vec<_>>()
        };
        assert_eq!(before(&plan), before(&shorter), "seed {seed}");
    }
}

#[test]
fn a_shrunk_day_still_shows_what_it_is_to_show() {
    let shows = |plan: &Plan| live(plan).1.taken_over_terminating > 0;
    let plan = (0..).map(Plan::new).find(shows).unwrap_or_else(|| panic!("it never happens"));
    let short = shrunk(&plan, shows);
    assert!(shows(&short));
    // Somebody stops it, and the supervisor dies.
    assert!(short.happenings() <= 3 && short.happenings() < plan.happenings(), "{}", short.happenings());
}
