//! `vitald events`.

use futures_util::StreamExt;
use vitald_core::status::EventRecord;

use crate::account::Look;
use crate::cli::{Events, Format, LogFormat};
use crate::exit::{Exit, Failure, Outcome};
use crate::places::Places;
use crate::{output, reach, table};

/// Shows what happened, and what happens.
pub(crate) async fn run(args: &Events, places: &Places) -> Outcome {
    let client = reach::supervisor(places, &args.selector.filename).await?;
    let components = client.status().await?.components;
    let name = args.name.as_deref();
    reach::check_names(&components, args.name.as_slice())?;
    if !args.follow {
        show(&client.events(name).await?, args.output)?;
        return Ok(Exit::Done);
    }

    let names = components.into_iter().map(|component| component.name).collect();
    let look = Look::new(names, output::colour(), true, LogFormat::Text);
    let mut events = client.events_follow(name).await?;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = output::unread() => None,
        };
        let Some(event) = event else { return Ok(Exit::Done) };
        let event = match event {
            Ok(event) => event,
            // That it has died says more than that the stream broke off.
            Err(err) => return Err(client.status().await.err().unwrap_or(err).into()),
        };
        match args.output {
            Format::Table | Format::Wide => output::line(look.event(&event))?,
            Format::Json => output::json_line(&event)?,
            Format::Yaml => {
                output::line("---")?;
                output::yaml(&event)?;
            }
        }
    }
}

fn show(events: &[EventRecord], format: Format) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Wide => output::line(table::events(events, output::colour())),
        Format::Json => events.iter().try_for_each(output::json_line),
        Format::Yaml => output::yaml(&events),
    }
}
