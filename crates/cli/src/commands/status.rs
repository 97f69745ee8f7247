//! `vitald status`.

use std::time::Duration;

use tokio::time::sleep;
use vitald_client::Client;
use vitald_core::status::{ComponentStatus, Status as Seen};

use crate::cli::{Format, Status};
use crate::exit::{Exit, Failure, Outcome};
use crate::places::Places;
use crate::{output, reach, table};

/// How often to look.
const PERIOD: Duration = Duration::from_secs(1);

/// Back to the first line, and nothing below: what a terminal shows of ECMA-48.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Shows how the components are.
pub(crate) async fn run(args: &Status, places: &Places) -> Outcome {
    let client = reach::supervisor(places, &args.selector.filename).await?;
    if args.watch {
        return watch(args, &client).await;
    }
    show(args, &ask(args, &client).await?)?;
    Ok(Exit::Done)
}

async fn ask(args: &Status, client: &Client) -> Result<Seen, Failure> {
    reach::select(client.status().await?, &args.name)
}

fn show(args: &Status, status: &Seen) -> Result<(), Failure> {
    match args.output {
        Format::Table | Format::Wide => {
            let wide = args.output == Format::Wide;
            output::line(table::status(&status.components, wide, output::colour()))
        }
        Format::Json if args.watch => output::json_line(status),
        Format::Json => output::json(status),
        Format::Yaml => output::yaml(status),
    }
}

/// Until the supervisor has gone, or nobody reads it any more. On a terminal the uptimes go on, too.
async fn watch(args: &Status, client: &Client) -> Outcome {
    let redraw = output::is_terminal() && matches!(args.output, Format::Table | Format::Wide);
    let mut shown: Option<Vec<ComponentStatus>> = None;
    loop {
        let status = ask(args, client).await?;
        let now: Vec<_> = status.components.iter().map(lasting).collect();
        if redraw {
            output::bytes(CLEAR.as_bytes())?;
            show(args, &status)?;
        } else if shown.as_ref() != Some(&now) {
            show(args, &status)?;
        }
        shown = Some(now);
        tokio::select! {
            () = sleep(PERIOD) => {}
            () = output::unread() => return Ok(Exit::Done),
        }
    }
}

/// What does not change by itself: neither times nor what a probe measured.
fn lasting(component: &ComponentStatus) -> ComponentStatus {
    let mut lasting = component.clone();
    (lasting.uptime_seconds, lasting.next_restart_seconds) = (None, None);
    for probe in &mut lasting.probes {
        (probe.last_probe_at, probe.latency_ms) = (None, None);
    }
    lasting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::running;

    #[test]
    fn time_alone_is_no_change() {
        let now = running("web");
        let later = ComponentStatus { uptime_seconds: Some(1e6), ..now.clone() };
        assert_eq!(lasting(&now), lasting(&later));
        assert_ne!(lasting(&now), lasting(&ComponentStatus { ready: !now.ready, ..now.clone() }));
    }
}
