//! From what the driver publishes to what people read: wall-clock times, seconds, words.

use jiff::Timestamp as WallTime;
use vitald_core::lifecycle::{End, Lifecycle, ProbeView, Snapshot};
use vitald_core::restarter::{Exit, ProcessIdentity};
use vitald_core::spec::{ComponentSpec, Condition};
use vitald_core::status::{
    ComponentDetail, ComponentStatus, LastExit, LogDetail, ProbeStatus, Reason, RunLog, State,
};

use crate::clock::{Clock, rfc3339};
use crate::driver::View;
use crate::state_dir::StateDir;

pub(crate) fn component(view: &View, state_dir: &StateDir, clock: &dyn Clock) -> ComponentStatus {
    // What others start may have replaced itself since the view was made.
    let now = view.run.as_ref().map(|run| run.process());
    status(&view.lifecycle, now.as_ref().or(view.process.as_ref()), view.began, state_dir, clock)
}

/// What people see of a lifecycle whose main process is this, and whose current run `began` then.
pub(crate) fn status(
    lifecycle: &Lifecycle,
    process: Option<&ProcessIdentity>,
    began: WallTime,
    state_dir: &StateDir,
    clock: &dyn Clock,
) -> ComponentStatus {
    let now = clock.now();
    let spec = lifecycle.spec();
    let mut snapshot = lifecycle.snapshot(now);
    if lifecycle.awaits_adoption() {
        // What is on record of it may be long past.
        snapshot.ready = false;
        snapshot.message = "whether it still runs is not known yet".into();
    }
    ComponentStatus {
        name: spec.name.clone(),
        kind: spec.workload.kind().as_str().to_owned(),
        state: snapshot.state,
        reason: snapshot.reason,
        message: snapshot.message,
        ready: snapshot.ready,
        // That of a container on another machine is none of ours.
        pid: process.filter(|process| snapshot.main_process && process.pid > 0).map(|process| process.pid),
        started_at: snapshot.started_at.map(|_| rfc3339(began)),
        uptime_seconds: snapshot.started_at.filter(|_| snapshot.main_process).map(|at| millis(now - at)),
        restart_count: snapshot.restart_count,
        restarts_in_window: snapshot.restarts_in_window,
        max_restarts: spec.restart.max_restarts,
        next_restart_seconds: snapshot.next_restart_at.map(|at| millis(at - now)),
        last_exit: snapshot.last_end.as_ref().map(|end| last_exit(end, clock)),
        last_error: snapshot.last_error,
        log_file: Some(state_dir.log(&spec.name).display().to_string()),
        probes: snapshot.probes.into_iter().map(|probe| probe_status(probe, spec, clock)).collect(),
    }
}

/// All of a component that its spec, its status and its files tell: no dependencies, no events.
pub(crate) fn detail(
    spec: &ComponentSpec,
    status: ComponentStatus,
    run: u64,
    runs: &[RunLog],
    state_dir: &StateDir,
) -> ComponentDetail {
    let found = state_dir.log_files(&spec.name).ok();
    ComponentDetail {
        status,
        labels: spec.labels.clone(),
        annotations: spec.annotations.clone(),
        command: spec.workload.command(),
        image: spec.workload.image().map(str::to_owned),
        found_by: spec.workload.found_by(),
        working_dir: spec.workload.folder().display().to_string(),
        depends_on: Vec::new(),
        restart_policy: spec.restart_policy,
        termination_grace_period_seconds: millis(spec.termination_grace_period),
        limits: spec.workload.limits(),
        logs: LogDetail {
            bytes_on_disk: found.map(|(bytes, _)| bytes),
            files: found.map(|(_, files)| files),
            ..LogDetail::new(&spec.logs)
        },
        run,
        runs: runs.to_vec(),
        events: Vec::new(),
    }
}

fn last_exit(end: &End, clock: &dyn Clock) -> LastExit {
    let (code, signal) = match &end.exit {
        Some(Exit::Code(code)) => (Some(*code), None),
        Some(Exit::Signal(signal)) => (None, Some(signal.clone())),
        Some(Exit::OomKilled) => (None, Some("SIGKILL".to_owned())),
        Some(Exit::Unknown) | None => (None, None),
    };
    LastExit {
        code,
        signal,
        reason: end.reason.to_string(),
        at: rfc3339(clock.wall_at(end.at)),
        uptime_seconds: millis(end.uptime),
    }
}

fn probe_status(probe: ProbeView, spec: &ComponentSpec, clock: &dyn Clock) -> ProbeStatus {
    ProbeStatus {
        role: probe.role,
        handler: spec.probe(probe.role).map(|spec| spec.check.handlers().join(", ")).unwrap_or_default(),
        state: probe.state,
        consecutive_failures: probe.consecutive_failures,
        failure_threshold: probe.failure_threshold,
        last_probe_at: probe.last_at.map(|at| rfc3339(clock.wall_at(at))),
        latency_ms: probe.latency.map(|latency| (latency.as_secs_f64() * 1e6).round() / 1e3),
        message: probe.message,
    }
}

/// Seconds, to the millisecond.
pub(crate) fn millis(span: std::time::Duration) -> f64 {
    (span.as_secs_f64() * 1e3).round() / 1e3
}

/// Whether a dependency's condition holds.
pub(crate) fn meets(snapshot: &Snapshot, condition: Condition) -> bool {
    match condition {
        Condition::Started => snapshot.started,
        Condition::Ready => snapshot.ready,
        Condition::Completed => snapshot.state == State::Stopped && snapshot.reason == Reason::Completed,
    }
}
