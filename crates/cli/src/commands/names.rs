//! `vitald start`, `stop`, `restart` and `reset`.

use vitald_core::status::{ComponentStatus, State};

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
    let client = reach::supervisor(places, &args.selector.filename).await?;
    // With the nearest names, should one be wrong; the supervisor itself has the last word.
    reach::check_names(&client.status().await?.components, &args.name)?;
    let components = match verb {
        Verb::Start => client.start(&args.name).await?,
        Verb::Stop => client.stop(&args.name).await?,
        Verb::Restart => client.restart(&args.name).await?,
        Verb::Reset => client.reset(&args.name).await?,
    };
    for component in &components {
        output::line(line(component))?;
    }
    Ok(verdict(verb, &components))
}

fn line(component: &ComponentStatus) -> String {
    let pid = component.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let message = format::message(component);
    let message = if message.is_empty() { message } else { format!(": {message}") };
    format!("{}: {}{pid}{message}", component.name, component.state)
}

/// Done is what was asked for; a start that ended in Failed is not.
fn verdict(verb: Verb, components: &[ComponentStatus]) -> Exit {
    let done = |component: &ComponentStatus| match verb {
        Verb::Stop => component.pid.is_none(),
        Verb::Start | Verb::Restart | Verb::Reset => component.state != State::Failed,
    };
    if components.iter().all(done) { Exit::Done } else { Exit::Not }
}
