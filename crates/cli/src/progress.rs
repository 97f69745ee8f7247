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
    /// What they say.
    shown: String,
    /// The last word on each component.
    told: BTreeMap<String, String>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let live = output::is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { live, colour: output::colour(), drawn: 0, shown: String::new(), told: BTreeMap::new() }
    }

    /// Shows how it is now.
    pub(crate) fn show(&mut self, status: &Status) -> Result<(), Failure> {
        // With the headings, and the line that the cursor stands on.
        let fits = screen_rows().is_none_or(|rows| status.components.len() + 2 <= rows);
        if self.live && fits && status.components.len() <= MOST_LIVE {
            let rows = table::status(&status.components, false, self.colour);
            if rows == self.shown {
                return Ok(());
            }
            let screen = redraw(self.drawn, &rows);
            self.drawn = rows.lines().count();
            self.shown = rows;
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

/// How many lines the terminal has, if it tells.
fn screen_rows() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
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

/// Whether waiting is pointless: nothing that is not settled will change by itself. `missing`: for each
/// component that waits, what it waits for.
pub(crate) fn is_hopeless(status: &Status, missing: &BTreeMap<String, Vec<String>>) -> bool {
    let waits_in_vain = |component: &ComponentStatus| {
        let of = missing.get(&component.name).map(Vec::as_slice).unwrap_or_default();
        // What is at rest, or waits itself, moves no more once nothing else does.
        let rests = |name: &String| status.components.iter().any(|c| c.name == *name && is_at_rest(c));
        is_waiting(component) && of.iter().any(rests)
    };
    !status.components.iter().all(ComponentStatus::is_settled)
        && status.components.iter().all(|c| c.is_settled() || has_failed(c) || waits_in_vain(c))
}

/// Those that wait for another, if that is all that is left.
pub(crate) fn waiting(status: &Status) -> Vec<&str> {
    let still = |c: &ComponentStatus| c.is_settled() || has_failed(c) || is_waiting(c);
    match status.components.iter().all(still) {
        true => status.components.iter().filter(|c| is_waiting(c)).map(|c| c.name.as_str()).collect(),
        false => Vec::new(),
    }
}

fn has_failed(component: &ComponentStatus) -> bool {
    component.state == State::Failed
        || (component.state == State::Stopped && component.reason == Reason::Error)
}

fn is_waiting(component: &ComponentStatus) -> bool {
    component.state == State::Stopped && component.reason == Reason::WaitingForDependency
}

fn is_at_rest(component: &ComponentStatus) -> bool {
    matches!(component.state, State::Stopped | State::Failed)
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
        let supervisor = SupervisorStatus {
            pid: 1,
            version: "0".into(),
            uptime_seconds: 1.0,
            state_dir: "/s".into(),
            manifests: vec![],
        };
        Status { supervisor, components }
    }

    fn failed() -> ComponentStatus {
        ComponentStatus { state: State::Failed, reason: Reason::RestartLimitExceeded, ..crashing("bad") }
    }

    #[test]
    fn waiting_is_pointless_once_only_failed_ones_are_left() {
        let none = BTreeMap::new();
        assert!(is_hopeless(&status(vec![running("web"), failed()]), &none));
        assert!(!is_hopeless(&status(vec![crashing("web"), failed()]), &none));
        assert!(!is_hopeless(&status(vec![running("web")]), &none));
    }

    #[test]
    fn waiting_for_what_has_failed_is_pointless_too() {
        let waits = |name: &str| ComponentStatus {
            state: State::Stopped,
            reason: Reason::WaitingForDependency,
            ..crashing(name)
        };
        let missing = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, of)| ((*name).to_owned(), vec![(*of).to_owned()])).collect()
        };
        let chain = status(vec![failed(), waits("api"), waits("web")]);
        assert_eq!(waiting(&chain), ["api", "web"]);
        assert!(is_hopeless(&chain, &missing(&[("api", "bad"), ("web", "api")])));
        // It has just become ready, or is to complete.
        assert!(!is_hopeless(&status(vec![running("db"), waits("api")]), &missing(&[("api", "db")])));
        assert!(!is_hopeless(&status(vec![running("db"), waits("api")]), &BTreeMap::new()));
        let moving = status(vec![failed(), crashing("db"), waits("api")]);
        assert!(waiting(&moving).is_empty() && !is_hopeless(&moving, &missing(&[("api", "bad")])));
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
