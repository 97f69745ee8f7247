//! Simulates days of a supervisor's life: modelled processes, probes, people and disasters around the real
//! lifecycles of `vitald-core`, on a virtual clock.
//!
//! **Invariant:** a seed is a day. Everything random hangs on the seed and on what it is for.
//! **Invariant:** what must hold is worked out by the world from what it did itself, and by a second telling
//! of the contract (`model`); the lifecycle is never asked what it ought to have done.
//!
//! A day that breaks a rule is shrunk: happenings, components and wildness are left out as long as the same
//! rule is still broken.

mod dice;
mod model;
mod plan;
mod runner;
mod shrink;
mod tally;
mod world;

pub use plan::Plan;
pub use runner::{Report, run};
pub use shrink::shrunk;
pub use tally::Tally;
pub use world::Fault;

use world::World;

/// A day that broke a rule.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The day's seed.
    pub seed: u64,
    /// What was broken.
    pub fault: Fault,
    /// How it came to that, in a day made as short as possible.
    pub timeline: Vec<String>,
}

/// Simulates the day of a seed.
///
/// # Errors
/// A rule was broken; the timeline is that of the shrunk day.
pub fn simulate(seed: u64) -> Result<Tally, Box<Failure>> {
    let plan = Plan::new(seed);
    let (fault, tally) = live(&plan);
    match fault {
        None => Ok(tally),
        Some(fault) => Err(Box::new(explain(&plan, &fault))),
    }
}

/// Simulates a day; what broke, and what happened.
pub fn live(plan: &Plan) -> (Option<Fault>, Tally) {
    let mut world = World::new(plan, false);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    let fault = match done {
        Ok(()) => world.fault,
        Err(panic) => Some(panicked(panic.as_ref())),
    };
    (fault, world.tally)
}

/// All that happens on a day, one line each.
pub fn timeline(plan: &Plan) -> Vec<String> {
    let mut world = World::new(plan, true);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    let mut lines = world.trace_lines();
    lines.extend(done.err().map(|panic| panicked(panic.as_ref()).what));
    lines
}

fn explain(plan: &Plan, fault: &Fault) -> Failure {
    let plan = shrunk(plan, |shorter| live(shorter).0.is_some_and(|found| found.rule == fault.rule));
    let fault = live(&plan).0.unwrap_or_else(|| fault.clone());
    let mut timeline = plan.describe();
    timeline.extend(timeline_end(&plan));
    Failure { seed: plan.seed(), fault, timeline }
}

/// The last lines: what matters happened shortly before the end.
fn timeline_end(plan: &Plan) -> Vec<String> {
    const LINES: usize = 80;
    let lines = timeline(plan);
    let left_out = lines.len().saturating_sub(LINES);
    let note = (left_out > 0).then(|| format!("… {left_out} lines before"));
    note.into_iter().chain(lines.into_iter().skip(left_out)).collect()
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Fault {
    let what = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    Fault { rule: "never panics", what: what.unwrap_or_default() }
}
