//! What is known of a component whose supervisor is gone: what that one wrote down last.

use thiserror::Error;
use vitald_core::lifecycle::Lifecycle;
use vitald_core::restarter::ProcessIdentity;
use vitald_core::status::{ComponentDetail, Reason, RunLog, State};

use crate::clock::Clock;
use crate::member::is_own;
use crate::report;
use crate::state_dir::StateDir;
use crate::store::{self, Record};

/// Why nothing is known of a component.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Forgotten {
    /// It never ran, or the manifests do not have it any more.
    #[error("its supervisor has left no record of it: it never ran there, or was taken out of the manifests")]
    NoRecord,
    /// Something is wrong with the record.
    #[error("the record of it cannot be read: {0}")]
    Unreadable(String),
    /// The record speaks of another state dir.
    #[error("the record of it is a copy, and speaks of another state dir")]
    Copied,
}

/// Where the recent runs of a component begin in its log, oldest first.
///
/// # Errors
/// Nobody knows.
pub fn runs(state_dir: &StateDir, clock: &dyn Clock, name: &str) -> Result<Vec<RunLog>, Forgotten> {
    Ok(record(state_dir, clock, name)?.runs.to_vec())
}

/// All of a component, as far as it was written down: no events, no dependencies. `is_alive` says whether the
/// process is, and nothing else.
///
/// # Errors
/// Nobody knows.
pub fn describe(
    state_dir: &StateDir,
    clock: &dyn Clock,
    name: &str,
    is_alive: impl Fn(&ProcessIdentity) -> bool,
) -> Result<ComponentDetail, Forgotten> {
    let record = record(state_dir, clock, name)?;
    let process = record.process.filter(|process| process.boot_id == clock.boot_id() && is_alive(process));
    let same_boot = record.boot_id == clock.boot_id();
    let lifecycle = Lifecycle::restore(record.spec, record.lifecycle, same_boot);
    let began = lifecycle.snapshot(clock.now()).started_at;
    let began = began.map_or_else(|| clock.wall(), |at| clock.wall_at(at));
    let mut status = report::status(&lifecycle, process.as_ref(), began, state_dir, clock);
    status.ready = false;
    match (&process, lifecycle.awaits_adoption()) {
        (Some(_), _) => status.message = "goes on, and no supervisor looks after it".into(),
        (None, true) => {
            (status.state, status.reason) = (State::Stopped, Reason::None);
            (status.started_at, status.uptime_seconds) = (None, None);
            status.message = "has ended since, or was never begun: no supervisor looks after it".into();
        }
        (None, false) => {}
    }
    Ok(report::detail(lifecycle.spec(), status, lifecycle.run().0, &record.runs, state_dir))
}

fn record(state_dir: &StateDir, clock: &dyn Clock, name: &str) -> Result<Record, Forgotten> {
    let record = store::record(&state_dir.record(name)).map_err(Forgotten::Unreadable)?;
    let record = record.ok_or(Forgotten::NoRecord)?;
    // After a reboot nothing tells a copy: the device may have another number.
    match record.boot_id == clock.boot_id() && !is_own(state_dir, clock, &record) {
        true => Err(Forgotten::Copied),
        false => Ok(record),
    }
}
