//! `vitald status`.

use crate::cli::{Format, Status};
use crate::exit::{Exit, Outcome};
use crate::places::Places;
use crate::{output, reach, table};

/// Shows how the components are.
pub(crate) async fn run(args: &Status, places: &Places) -> Outcome {
    let client = reach::supervisor(places, &args.selector.filename).await?;
    let status = reach::select(client.status().await?, &args.name)?;
    match args.output {
        Format::Table | Format::Wide => {
            let wide = args.output == Format::Wide;
            output::line(table::status(&status.components, wide, output::colour()))?;
        }
        Format::Json => output::json(&status)?,
        Format::Yaml => output::yaml(&status)?,
    }
    Ok(Exit::Done)
}
