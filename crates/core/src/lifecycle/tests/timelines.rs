//! Scripts of events in, traces out.

mod adoption;
mod closing;
mod ends;
mod external;
mod hooks;
mod notify;
mod pauses;
mod probes;
mod restarts;
mod restore;
mod stops;
mod texts;

use std::time::Duration;

use insta::assert_snapshot;

use super::world::{Behaviour, World, exec, probe, spec};
use crate::lifecycle::{Action, Command, Event, EventReason, Lifecycle, Observed, Report, Snapshot};
use crate::probe::ProbeResult;
use crate::restarter::{Exit, RunId, StartStep};
use crate::spec::{ComponentSpec, ProbeRole, ProbeSpec, RestartPolicy};
use crate::status::Reason;
use crate::time::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

fn begin(spec: ComponentSpec, behaviour: Behaviour) -> World {
    let mut world = World::new(spec);
    world.behaviour = behaviour;
    world.command(Command::Begin);
    world
}

fn crashing() -> Behaviour {
    Behaviour { exits: Some((Duration::ZERO, Exit::Code(1))), ..Behaviour::default() }
}

fn failing(role: ProbeRole) -> Behaviour {
    answering(role, ProbeResult::failure("refused"))
}

fn answering(role: ProbeRole, result: ProbeResult) -> Behaviour {
    let mut behaviour = Behaviour::default();
    behaviour.answers.insert(role, Some((Duration::ZERO, result)));
    behaviour
}
