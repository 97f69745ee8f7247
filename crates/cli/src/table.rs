//! Tables in the style of kubectl.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table};
use vitald_core::status::{ComponentStatus, EventRecord, EventType, ProbeState, State};

use crate::format;

/// Of how many characters a line has to be at least, for sentences to be broken into such.
const NARROWEST: u16 = 16;

/// A table without lines, its columns two spaces apart; colour only where it is welcome.
pub(crate) fn new(header: &[&str], colour: bool) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

/// The table's text, without spaces at the ends of lines.
pub(crate) fn text(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Breaks the lines of columns that hold sentences, so that a row that is wider than the window can still be read.
/// Where too little room is left for them, the terminal breaks the rows as it can.
pub(crate) fn fit(table: &mut Table, sentences: &[usize], window: Option<u16>) {
    let widths = table.column_max_content_widths();
    let others = widths.iter().enumerate().filter(|(index, _)| !sentences.contains(index));
    // Two spaces follow each column.
    let taken: u16 = others.map(|(_, width)| width + 2).sum();
    let Some(window) = window.filter(|window| *window >= taken + NARROWEST * sentences.len() as u16) else {
        return;
    };
    // What follows the last one is cut off.
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(window + 2);
    for (index, column) in table.column_iter_mut().enumerate() {
        if !sentences.contains(&index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}

/// One row a component.
pub(crate) fn status(components: &[ComponentStatus], wide: bool, colour: bool) -> String {
    let mut header = vec!["NAME", "STATE", "READY", "UPTIME", "RESTARTS", "PID"];
    if wide {
        header.extend(["KIND", "TOTAL", "LAST EXIT", "NEXT RESTART", "PROBES", "LOG"]);
    }
    header.push("MESSAGE");
    let mut table = new(&header, colour);
    for component in components {
        let mut row = vec![
            Cell::new(&component.name),
            Cell::new(component.state).fg(state_colour(component)),
            Cell::new(if component.ready { "yes" } else { "no" }),
            Cell::new(format::uptime(component)),
            Cell::new(format::restarts(component)),
            Cell::new(or_dash(component.pid)),
        ];
        if wide {
            let next = component.next_restart_seconds.map(|seconds| format!("in {}", format::span(seconds)));
            row.extend([
                Cell::new(&component.kind),
                Cell::new(component.restart_count),
                Cell::new(or_dash(component.last_exit.as_ref().map(format::last_exit))),
                Cell::new(or_dash(next)),
                Cell::new(probes(component)),
                Cell::new(or_dash(component.log_file.as_deref())),
            ]);
        }
        row.push(Cell::new(format::message(component)));
        table.add_row(row);
    }
    text(&table)
}

/// One row an event.
pub(crate) fn events(events: &[EventRecord], colour: bool) -> String {
    let mut table = new(&["TIME", "COMPONENT", "TYPE", "REASON", "COUNT", "MESSAGE"], colour);
    for event in events {
        table.add_row([
            Cell::new(format::local_time(&event.time, "%Y-%m-%d %H:%M:%S")),
            Cell::new(if event.component.is_empty() { "-" } else { &event.component }),
            match event.kind {
                EventType::Normal => Cell::new("Normal"),
                EventType::Warning => Cell::new("Warning").fg(Color::Yellow),
            },
            Cell::new(&event.reason),
            Cell::new(event.count),
            Cell::new(format::plain(&event.message)),
        ]);
    }
    text(&table)
}

/// Green for well, yellow for under way, red for sick.
fn state_colour(component: &ComponentStatus) -> Color {
    match component.state {
        State::Running if component.ready => Color::Green,
        State::Running | State::Starting | State::Restarting => Color::Yellow,
        State::Unhealthy | State::Failed => Color::Red,
        State::Stopped => Color::DarkGrey,
    }
}

/// `startup ok, liveness 2/3 failed`.
fn probes(component: &ComponentStatus) -> String {
    let probe = |probe: &vitald_core::status::ProbeStatus| match probe.state {
        None => format!("{} not asked", probe.role),
        Some(ProbeState::Success) => format!("{} ok", probe.role),
        Some(ProbeState::Unknown) => format!("{} unknown", probe.role),
        Some(ProbeState::Failure) => {
            format!("{} {}/{} failed", probe.role, probe.consecutive_failures, probe.failure_threshold)
        }
    };
    match component.probes.is_empty() {
        true => "-".into(),
        false => component.probes.iter().map(probe).collect::<Vec<_>>().join(", "),
    }
}

/// What there is, or `-`.
pub(crate) fn or_dash(what: Option<impl ToString>) -> String {
    what.map_or_else(|| "-".into(), |what| what.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use vitald_core::spec::ProbeRole;
    use vitald_core::status::{LastExit, ProbeStatus, Reason};

    /// A component that is well.
    pub(crate) fn running(name: &str) -> ComponentStatus {
        ComponentStatus {
            name: name.into(),
            kind: "process".into(),
            state: State::Running,
            reason: Reason::None,
            message: String::new(),
            ready: true,
            pid: Some(4242),
            started_at: Some("2026-01-22T10:00:00.000Z".into()),
            uptime_seconds: Some(184.2),
            restart_count: 0,
            restarts_in_window: 0,
            max_restarts: 10,
            next_restart_seconds: None,
            last_exit: None,
            last_error: None,
            log_file: Some(format!("/state/logs/{name}.log")),
            probes: vec![],
        }
    }

    /// A component that waits for its next try.
    pub(crate) fn crashing(name: &str) -> ComponentStatus {
        ComponentStatus {
            state: State::Restarting,
            reason: Reason::CrashLoopBackOff,
            message: "exited with status 1;\nagain in 4s".into(),
            ready: false,
            pid: None,
            started_at: None,
            uptime_seconds: None,
            restart_count: 12,
            restarts_in_window: 3,
            next_restart_seconds: Some(4.0),
            last_exit: Some(LastExit {
                code: Some(1),
                signal: None,
                reason: "Error".into(),
                at: "2026-01-22T10:00:00.000Z".into(),
                uptime_seconds: 44.0,
            }),
            last_error: Some("exited with status 1".into()),
            probes: vec![ProbeStatus {
                role: ProbeRole::Liveness,
                handler: "pid, grpc".into(),
                state: Some(ProbeState::Failure),
                consecutive_failures: 2,
                failure_threshold: 3,
                last_probe_at: Some("2026-01-22T10:00:00.000Z".into()),
                latency_ms: Some(0.83),
                message: "connection refused by 127.0.0.1:50051: nothing listens there".into(),
            }],
            ..running(name)
        }
    }

    #[test]
    fn narrow() {
        let components = [running("postgres"), crashing("workflow-runner")];
        insta::assert_snapshot!(status(&components, false, false));
    }

    #[test]
    fn wide() {
        let components = [running("postgres"), crashing("workflow-runner")];
        insta::assert_snapshot!(status(&components, true, false));
    }

    #[test]
    fn sentences_are_broken_where_there_is_room_for_their_lines() {
        let shown = |window| {
            let mut table = new(&["KEY", "CHECKS", "FIELDS"], false);
            table.add_row([
                "someProbe",
                "Healthy when a TCP connection opens.",
                "port, host, and whatever else",
            ]);
            table.add_row(["other", "Healthy.", ""]);
            fit(&mut table, &[1, 2], window);
            text(&table)
        };
        let plain = "KEY        CHECKS                                FIELDS\n\
                     someProbe  Healthy when a TCP connection opens.  port, host, and whatever else\n\
                     other      Healthy.";
        for window in [None, Some(79), Some(200), Some(40)] {
            assert_eq!(shown(window), plain, "{window:?}");
        }
        insta::assert_snapshot!(shown(Some(50)), @r"
        KEY        CHECKS              FIELDS
        someProbe  Healthy when a TCP  port, host, and
                   connection opens.   whatever else
        other      Healthy.
        ");
        for window in 43..79 {
            let longest = shown(Some(window)).lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(usize::from(window)), "{window}: {longest:?}");
        }
    }

    #[test]
    fn colour_only_where_it_is_welcome() {
        assert!(status(&[running("web")], false, true).contains("\x1b["));
        assert!(!status(&[running("web")], false, false).contains('\x1b'));
    }
}
