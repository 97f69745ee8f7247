//! `vitald check HANDLER`.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use anstyle::AnsiColor;
use vitald_core::check::Check as Question;
use vitald_core::probe::{CheckContext, ComponentContext, ProbeResult};
use vitald_process::LocalExecutor;
use vitald_supervisor::check_once;
use vitald_supervisor::clock::{Clock, SystemClock};

use crate::cli::Check;
use crate::exit::{Exit, Failure, Outcome};
use crate::places::Places;
use crate::{format, output, plugins};

/// Runs one probe once, outside any supervisor.
pub(crate) async fn run(args: &Check, places: &Places) -> Outcome {
    let probes = plugins::of_folder(places).await?;
    let registry = &probes.registry;
    let config =
        vitald_manifest::handler_config(registry, &args.handler, &args.settings).map_err(Failure::usage)?;
    let question = Question::handler(&args.handler, config);
    let gone = |err| Failure::not(format!("the current folder is gone: {err}"));
    let context =
        ComponentContext { working_dir: env::current_dir().map_err(gone)?, ..ComponentContext::default() };
    let cx = CheckContext {
        timeout: Duration::from_secs_f64(args.timeout),
        run: None,
        executor: Arc::new(LocalExecutor::here().map_err(gone)?),
    };
    // Fields are named as they were given.
    let own = format!("{}.", args.handler);
    let refuse = |said: String| Failure::usage(said.strip_prefix(&own).unwrap_or(&said).to_owned());
    // What a library does not take is a mistake, and no answer of its probe.
    question.validate(registry, &context).map_err(|err| refuse(err.to_string()))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let check = check_once(&question, registry, &context, &cx, &clock);
    let (result, latency) = tokio::select! {
        answer = check => answer.map_err(|err| refuse(err.to_string()))?,
        // Dropping the check ends what it has started, such as a command.
        _ = tokio::signal::ctrl_c() => return Err(Failure::new(Exit::Unknown, "interrupted")),
    };

    let (word, colour, exit) = match &result {
        ProbeResult::Success | ProbeResult::Warning(_) => ("Success", AnsiColor::Green, Exit::Done),
        ProbeResult::Failure(_) => ("Failure", AnsiColor::Red, Exit::Not),
        ProbeResult::Unknown(_) => ("Unknown", AnsiColor::Yellow, Exit::Unknown),
    };
    let style = output::paint(colour.on_default().bold(), output::colour());
    let message = format::plain(result.message());
    let message = if message.is_empty() { message } else { format!(": {message}") };
    let latency = format::latency(latency.as_secs_f64() * 1e3);
    output::say(format!("{style}{word}{style:#} in {latency}{message}"))?;
    Ok(exit)
}
