//! `vitald start`, `stop`, `restart` and `reset`.

use vitald_core::status::{ComponentStatus, Reason, State};

use crate::cli::Names;
use crate::exit::{Exit, Outcome};
use crate::places::Places;
use crate::{format, output, reach};

/// What to do to components.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    Start,
    Stop,
    Restart,
    Reset,
}

/// Does it, and says how each component is then.
pub(crate) async fn run(verb: Verb, args: &Names, places: &Places) -> Outcome {
    let client = reach::supervisor_to_change(places, &args.selector.filename).await?;
    // With the nearest names, should one be wrong; the supervisor itself has the last word.
    reach::check_names(&client.status().await?.components, &args.name)?;
    let components = match verb {
        Verb::Start => client.start(&args.name).await?,
        Verb::Stop => client.stop(&args.name).await?,
        Verb::Restart => client.restart(&args.name).await?,
        Verb::Reset => client.reset(&args.name).await?,
    };
    for component in &components {
        output::say(line(component))?;
    }
    Ok(verdict(verb, &components))
}

/// How it is then.
pub(crate) fn line(component: &ComponentStatus) -> String {
    let pid = component.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let message = format::message(component);
    let message = if message.is_empty() { message } else { format!(": {message}") };
    format!("{}: {}{pid}{message}", component.name, component.state)
}

/// Done is what was asked for.
fn verdict(verb: Verb, components: &[ComponentStatus]) -> Exit {
    let done = |component: &ComponentStatus| match verb {
        Verb::Stop => component.pid.is_none(),
        Verb::Start | Verb::Restart | Verb::Reset => has_begun(component),
    };
    if components.iter().all(done) { Exit::Done } else { Exit::Not }
}

/// Whether a run has begun, or begins as soon as what it waits for is there. A start on request waits for no
/// delay: whoever is in one after it could not be started, or has ended badly at once.
pub(crate) fn has_begun(component: &ComponentStatus) -> bool {
    match component.state {
        State::Failed => false,
        State::Stopped => !matches!(component.reason, Reason::Error | Reason::StoppedByUser),
        State::Restarting | State::Unhealthy => {
            !matches!(component.reason, Reason::CrashLoopBackOff | Reason::StartError)
        }
        State::Starting | State::Running => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{crashing, running};

    #[test]
    fn a_start_is_done_once_a_run_has_begun_or_is_waited_for() {
        let table = [
            (State::Running, Reason::None, true),
            (State::Starting, Reason::StartupProbe, true),
            (State::Restarting, Reason::RestartRequested, true),
            (State::Stopped, Reason::WaitingForDependency, true),
            (State::Stopped, Reason::Completed, true),
            (State::Restarting, Reason::CrashLoopBackOff, false),
            (State::Unhealthy, Reason::StartError, false),
            (State::Stopped, Reason::Error, false),
            (State::Stopped, Reason::StoppedByUser, false),
            (State::Failed, Reason::RestartLimitExceeded, false),
        ];
        for (state, reason, done) in table {
            let component = ComponentStatus { state, reason, ..running("web") };
            let exit = if done { Exit::Done } else { Exit::Not };
            assert_eq!(verdict(Verb::Start, &[running("db"), component]), exit, "{state} {reason}");
        }
    }

    #[test]
    fn a_stop_is_done_once_nothing_runs() {
        assert_eq!(verdict(Verb::Stop, &[crashing("web")]), Exit::Done);
        assert_eq!(verdict(Verb::Stop, &[crashing("web"), running("db")]), Exit::Not);
    }
}
