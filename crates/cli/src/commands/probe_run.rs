//! `vitald probe run NAME`.

use vitald_core::spec::ProbeRole;
use vitald_core::status::{ProbeAnswer, ProbeState};

use crate::cli::{Format, ProbeRun};
use crate::exit::{Exit, Failure, Outcome};
use crate::places::Places;
use crate::{format, output, reach, table};

/// Runs the probes of a component now.
pub(crate) async fn run(args: &ProbeRun, places: &Places) -> Outcome {
    let client = reach::supervisor(places, &args.selector.filename).await?;
    let status = reach::select(client.status().await?, std::slice::from_ref(&args.name))?;
    let roles: Vec<ProbeRole> = match args.role {
        Some(role) => vec![role.into()],
        None => status.components.iter().flat_map(|c| &c.probes).map(|probe| probe.role).collect(),
    };
    if roles.is_empty() {
        return Err(Failure::not(format!("component `{}` has no probes", args.name)));
    }
    let mut answers = Vec::new();
    for role in roles {
        answers.push(client.run_probe(&args.name, role).await?);
    }
    match args.output {
        Format::Json => output::even_unread(output::json(&answers))?,
        Format::Yaml => output::even_unread(output::yaml(&answers))?,
        Format::Table | Format::Wide => {
            let mut table = table::new(&["PROBE", "RESULT", "LATENCY", "MESSAGE"], output::colour());
            for answer in &answers {
                table.add_row([
                    answer.role.to_string(),
                    answer.state.to_string(),
                    format::latency(answer.latency_ms),
                    format::plain(&answer.message),
                ]);
            }
            output::say(table::text(&table))?;
        }
    }
    Ok(verdict(&answers))
}

/// A failure outweighs an unknown.
fn verdict(answers: &[ProbeAnswer]) -> Exit {
    let any = |state| answers.iter().any(|answer| answer.state == state);
    if any(ProbeState::Failure) {
        Exit::Not
    } else if any(ProbeState::Unknown) {
        Exit::Unknown
    } else {
        Exit::Done
    }
}
