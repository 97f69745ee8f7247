//! How `up` shows what it waits for: one live line a component on a terminal, else a line a change.

use std::collections::BTreeMap;

use vitald_core::status::{ComponentStatus, Reason, State, Status};

use crate::exit::Failure;
use crate::{format, output, table};

/// More components than this would not fit on a screen.
const MOST_LIVE: usize = 20;

/// What has been shown.
pub(crate) struct Progress {
    live: bool,
    colour: bool,
    /// Lines drawn last time.
    drawn: usize,
    /// The last word on each component.
    told: BTreeMap<String, String>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let live = output::is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { live, colour: output::colour(), drawn: 0, told: BTreeMap::new() }
    }

    /// Shows how it is now.
    pub(crate) fn show(&mut self, status: &Status) -> Result<(), Failure> {
        if self.live && status.components.len() <= MOST_LIVE {
            let rows = table::status(&status.components, false, self.colour);
            let screen = redraw(self.drawn, &rows);
            self.drawn = rows.lines().count();
            return output::even_unread(output::bytes(screen.as_bytes()));
        }
        for component in &status.components {
            let word = word(component);
            if self.told.get(&component.name) != Some(&word) {
                output::say(format!("{}: {word}", component.name))?;
                self.told.insert(component.name.clone(), word);
            }
        }
        Ok(())
    }
}

/// Draws `rows` over the `drawn` lines drawn last, each on one line of the screen (auto-wrap, DECAWM, off).
fn redraw(drawn: usize, rows: &str) -> String {
    let up = if drawn > 0 { format!("\x1b[{drawn}A\r") } else { String::new() };
    let lines: String = rows.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("{up}\x1b[?7l{lines}\x1b[?7h\x1b[J")
}

/// A component in a few words that change only when something changes.
fn word(component: &ComponentStatus) -> String {
    let ready = match component.state {
        State::Running if component.ready => ", ready",
        State::Running => ", not ready",
        _ => "",
    };
    match component.reason {
        Reason::None => format!("{}{ready}", component.state),
        reason => format!("{}{ready} ({reason})", component.state),
    }
}

/// Whether waiting is pointless: nothing that is not settled will change by itself.
pub(crate) fn is_hopeless(status: &Status) -> bool {
    let stuck = |component: &ComponentStatus| match component.state {
        State::Failed => true,
        State::Stopped => component.reason == Reason::Error,
        State::Starting | State::Running | State::Unhealthy | State::Restarting => false,
    };
    status.components.iter().any(stuck)
        && status.components.iter().all(|component| component.is_settled() || stuck(component))
}

/// What is not ready, and why, as indented lines.
pub(crate) fn not_ready(status: &Status) -> String {
    let open = status.components.iter().filter(|component| !component.is_settled());
    let mut lines = String::new();
    for component in open {
        let mut parts = vec![format::message(component)];
        let mut add = |part: String, said: &str| {
            if !said.is_empty() && !parts.iter().any(|part| part.contains(&format::plain(said))) {
                parts.push(part);
            }
        };
        if let Some(error) = &component.last_error {
            add(format::plain(error), error);
        }
        for probe in &component.probes {
            add(format!("{} probe: {}", probe.role, format::plain(&probe.message)), &probe.message);
        }
        parts.retain(|part| !part.is_empty());
        let why = parts.join("; ");
        let state = match (component.state, component.ready) {
            (State::Running, false) => "Running, not ready".to_owned(),
            (state, _) => state.to_string(),
        };
        lines += &format!("\n  {}: {state}{}{why}", component.name, if why.is_empty() { "" } else { ": " });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{crashing, running};
    use vitald_core::status::SupervisorStatus;

    fn status(components: Vec<ComponentStatus>) -> Status {
        let supervisor =
            SupervisorStatus { pid: 1, version: "0".into(), uptime_seconds: 1.0, state_dir: "/s".into() };
        Status { supervisor, components }
    }

    fn failed() -> ComponentStatus {
        ComponentStatus { state: State::Failed, reason: Reason::RestartLimitExceeded, ..crashing("bad") }
    }

    #[test]
    fn waiting_is_pointless_once_only_failed_ones_are_left() {
        assert!(is_hopeless(&status(vec![running("web"), failed()])));
        assert!(!is_hopeless(&status(vec![crashing("web"), failed()])));
        assert!(!is_hopeless(&status(vec![running("web")])));
    }

    #[test]
    fn what_is_not_ready_is_told_with_its_reasons() {
        let unready = ComponentStatus { ready: false, ..running("web") };
        insta::assert_snapshot!(not_ready(&status(vec![running("db"), crashing("api"), unready])));
    }

    #[test]
    fn the_live_lines_are_drawn_over_the_last_ones() {
        assert_eq!(redraw(0, "a"), "\x1b[?7la\x1b[K\n\x1b[?7h\x1b[J");
        assert_eq!(redraw(2, "a\nb"), "\x1b[2A\r\x1b[?7la\x1b[K\nb\x1b[K\n\x1b[?7h\x1b[J");
    }
}
