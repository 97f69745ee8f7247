//! `vitald describe NAME`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

use jiff::Timestamp;
use vitald_core::spec::OnDiskFull;
use vitald_core::status::{ComponentDetail, EventType, Limits, LogDetail, State};
use vitald_supervisor::clock::SystemClock;
use vitald_supervisor::recall;

use crate::cli::{Describe, Format};
use crate::exit::{Exit, Failure, Outcome};
use crate::format::{ago, command, count, last_exit, latency, local_time, plain, size, span};
use crate::places::Places;
use crate::table::or_dash;
use crate::{log_file, output, reach, table};

/// How many lines of log before the last exit are shown.
const LOG_LINES: usize = 20;

/// Shows all about one component.
pub(crate) async fn run(args: &Describe, places: &Places) -> Outcome {
    let client = match reach::supervisor(places, &args.selector.filename).await {
        Err(failure) if failure.exit == Exit::NoSupervisor => return Err(recalled(args, places, failure)),
        client => client?,
    };
    reach::check_names(&client.status().await?.components, std::slice::from_ref(&args.name))?;
    let detail = client.describe(&args.name).await?;
    match args.output {
        Format::Json => output::json(&detail)?,
        Format::Yaml => output::yaml(&detail)?,
        Format::Table | Format::Wide => {
            let log = log_before_exit(&detail);
            output::bytes(text(&detail, &log, Timestamp::now(), output::colour()).as_bytes())?;
        }
    }
    Ok(Exit::Done)
}

/// Shows people what was written down last of a component that nobody looks after; programs are told only that no
/// supervisor runs. That it is no news is the exit status' business.
fn recalled(args: &Describe, places: &Places, failure: Failure) -> Failure {
    let named = &args.selector.filename;
    let Some(state_dir) = places.own(named).into_iter().find(|dir| dir.logs().is_dir()) else {
        return failure;
    };
    // It would be taken for ended.
    if let Err(why) = vitald_process::procfs::check_own() {
        return Failure::new(
            failure.exit,
            format!("{}\nwhether it still runs cannot be told: {why}", failure.text),
        );
    }
    let what = match recall::describe(&state_dir, &SystemClock, &args.name, vitald_process::is_same) {
        Ok(detail) if matches!(args.output, Format::Table | Format::Wide) => {
            let mut text = text(&detail, &[], Timestamp::now(), output::colour());
            section(&mut text, "The last of its log", last_lines(&detail).join("\n"));
            if let Err(unwritten) = output::bytes(text.as_bytes()) {
                return unwritten;
            }
            "this is what it wrote down last, without events".to_owned()
        }
        Ok(_) => return failure,
        Err(why) => format!("{}: {why}", args.name),
    };
    Failure::new(failure.exit, format!("{}\n{what}", failure.text))
}

/// The end of what the latest run wrote.
fn last_lines(detail: &ComponentDetail) -> Vec<String> {
    let (Some(log), Some(latest)) = (&detail.status.log_file, detail.runs.last()) else { return Vec::new() };
    log_file::excerpt(Path::new(log), latest.log_offset..u64::MAX, LOG_LINES).unwrap_or_default()
}

/// The end of what the run that ended last wrote.
fn log_before_exit(detail: &ComponentDetail) -> Vec<String> {
    let (Some(log), Some(_)) = (&detail.status.log_file, &detail.status.last_exit) else { return Vec::new() };
    let range = exited_run(detail).unwrap_or_default();
    log_file::excerpt(Path::new(log), range, LOG_LINES).unwrap_or_default()
}

/// Where in the log the run stands that ended last: the latest if nothing runs, nor is being started, else the one
/// before.
fn exited_run(detail: &ComponentDetail) -> Option<Range<u64>> {
    // A run is listed as soon as it is to be started.
    let has_begun = detail.status.pid.is_some() || detail.status.state == State::Starting;
    match (detail.runs.as_slice(), has_begun) {
        ([.., latest], false) => Some(latest.log_offset..u64::MAX),
        ([.., previous, latest], true) => Some(previous.log_offset..latest.log_offset),
        _ => None,
    }
}

/// The description, in the manner of `kubectl describe`.
fn text(detail: &ComponentDetail, log: &[String], now: Timestamp, colour: bool) -> String {
    let status = &detail.status;
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{:17}{value}", format!("{key}:"));
        }
    };
    line("Name", &status.name);
    line("Kind", &status.kind);
    line("Labels", &pairs(&detail.labels));
    line("Annotations", &pairs(&detail.annotations));
    line("State", &status.state.to_string());
    line("Reason", status.reason.as_str());
    line("Message", &plain(&status.message));
    line("Ready", if status.ready { "yes" } else { "no" });
    line("PID", &or_dash(status.pid));
    if let (Some(at), Some(uptime)) = (&status.started_at, status.uptime_seconds) {
        line("Started", &format!("{} ({} ago)", local_time(at, FULL), span(uptime)));
    }
    line("Run", &detail.run.to_string());
    line(
        "Restarts",
        &format!(
            "{} of {} in the window, {} ever; policy {:?}",
            status.restarts_in_window, status.max_restarts, status.restart_count, detail.restart_policy
        ),
    );
    if let Some(seconds) = status.next_restart_seconds {
        line("Next restart", &format!("in {}", span(seconds)));
    }
    if let Some(exit) = &status.last_exit {
        line("Last exit", &format!("{} ({})", last_exit(exit), ago(&exit.at, now)));
    }
    line("Last error", &plain(status.last_error.as_deref().unwrap_or_default()));
    line("Image", detail.image.as_deref().unwrap_or_default());
    line("Found by", detail.found_by.as_deref().unwrap_or_default());
    line("Command", &command(&detail.command));
    line("Working dir", &detail.working_dir);
    line("Grace period", &span(detail.termination_grace_period_seconds));
    line("Limits", &limits(&detail.limits));
    line("Log", status.log_file.as_deref().unwrap_or_default());
    line("Log kept", &kept(&detail.logs));

    section(&mut text, "Depends on", dependencies(detail, colour));
    section(&mut text, "Probes", probes(detail, now, colour));
    section(&mut text, "Log before the last exit", log.join("\n"));
    section(&mut text, "Events", events(detail, now, colour));
    text
}

/// `512 MiB of memory, 1.5 processors, 4096 open files`.
fn limits(limits: &Limits) -> String {
    let parts = [
        limits.memory_bytes.map(|bytes| format!("{} of memory", size(bytes))),
        limits.cpus.map(|cpus| format!("{cpus} processor{}", if cpus == 1.0 { "" } else { "s" })),
        limits.open_files.map(|files| format!("{files} open files")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `3 of 5 files, 120.5 MiB on the disk; rotated at 50 MiB`.
fn kept(logs: &LogDetail) -> String {
    let there = match (logs.files, logs.bytes_on_disk) {
        (Some(files), Some(bytes)) => {
            format!(
                "{files} of at most {}, {} on the disk",
                count(logs.max_files as usize, "file"),
                size(bytes)
            )
        }
        _ => format!("at most {}", count(logs.max_files as usize, "file")),
    };
    let when_full = match logs.on_disk_full {
        OnDiskFull::Keep => "",
        OnDiskFull::DropOldest => "; the oldest go when the disk is full",
    };
    format!("{there}; rotated at {}{when_full}", size(logs.max_size))
}

/// Local time, for people.
const FULL: &str = "%Y-%m-%d %H:%M:%S";

fn section(text: &mut String, title: &str, body: String) {
    if !body.is_empty() {
        let _ = writeln!(text, "\n{title}:");
        for line in body.lines() {
            let _ = writeln!(text, "{}", format!("  {line}").trim_end());
        }
    }
}

fn pairs(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect::<Vec<_>>().join(", ")
}

fn dependencies(detail: &ComponentDetail, colour: bool) -> String {
    if detail.depends_on.is_empty() {
        return String::new();
    }
    let mut rows = table::new(&["NAME", "CONDITION", "MET"], colour);
    for dependency in &detail.depends_on {
        let met = if dependency.met { "yes" } else { "no" };
        rows.add_row([dependency.name.clone(), format!("{:?}", dependency.condition), met.to_owned()]);
    }
    table::text(&rows)
}

fn probes(detail: &ComponentDetail, now: Timestamp, colour: bool) -> String {
    if detail.status.probes.is_empty() {
        return String::new();
    }
    let header = ["PROBE", "HANDLER", "RESULT", "FAILURES", "LATENCY", "ASKED", "MESSAGE"];
    let mut rows = table::new(&header, colour);
    for probe in &detail.status.probes {
        rows.add_row([
            probe.role.to_string(),
            probe.handler.clone(),
            or_dash(probe.state),
            format!("{}/{}", probe.consecutive_failures, probe.failure_threshold),
            or_dash(probe.latency_ms.map(latency)),
            or_dash(probe.last_probe_at.as_ref().map(|at| ago(at, now))),
            plain(&probe.message),
        ]);
    }
    table::text(&rows)
}

fn events(detail: &ComponentDetail, now: Timestamp, colour: bool) -> String {
    if detail.events.is_empty() {
        return String::new();
    }
    let mut rows = table::new(&["AGE", "TYPE", "REASON", "MESSAGE"], colour);
    for event in &detail.events {
        let again = if event.count > 1 { format!(" (x{})", event.count) } else { String::new() };
        let kind = match event.kind {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        };
        rows.add_row([
            format!("{}{again}", ago(&event.time, now)),
            kind.to_owned(),
            event.reason.clone(),
            plain(&event.message),
        ]);
    }
    table::text(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{crashing, running};
    use vitald_core::spec::{Condition, RestartPolicy};
    use vitald_core::status::{ComponentStatus, DependencyStatus, EventRecord, RunLog};

    fn detail(status: ComponentStatus) -> ComponentDetail {
        ComponentDetail {
            labels: BTreeMap::from([("tier".into(), "runner".into())]),
            annotations: BTreeMap::new(),
            image: None,
            found_by: None,
            command: vec!["stigmer".into(), "internal workflow-runner".into()],
            working_dir: "/srv".into(),
            depends_on: vec![DependencyStatus {
                name: "temporal".into(),
                condition: Condition::Ready,
                met: true,
            }],
            restart_policy: RestartPolicy::Always,
            termination_grace_period_seconds: 10.0,
            limits: Limits { memory_bytes: Some(512 << 20), cpus: Some(0.5), open_files: None },
            logs: LogDetail { files: Some(3), bytes_on_disk: Some(120 << 20), ..LogDetail::default() },
            run: 13,
            runs: vec![RunLog { run: 12, log_offset: 100 }, RunLog { run: 13, log_offset: 300 }],
            events: vec![EventRecord {
                time: "2026-01-22T10:00:30.000Z".into(),
                component: status.name.clone(),
                kind: EventType::Warning,
                reason: "BackOff".into(),
                message: "Restarted workflow-runner (attempt 3/10)".into(),
                count: 2,
            }],
            status,
        }
    }

    #[test]
    fn a_description() {
        let now = "2026-01-22T10:01:00Z".parse().unwrap();
        let log = ["listening".to_owned(), "panic: no disk".to_owned()];
        insta::assert_snapshot!(text(&detail(crashing("workflow-runner")), &log, now, false));
    }

    #[test]
    fn the_log_shown_is_that_of_the_run_that_ended() {
        assert_eq!(exited_run(&detail(crashing("a"))), Some(300..u64::MAX));
        assert_eq!(exited_run(&detail(running("a"))), Some(100..300));
        let mut starting = detail(crashing("a"));
        starting.status.state = State::Starting;
        assert_eq!(exited_run(&starting), Some(100..300));
    }
}
