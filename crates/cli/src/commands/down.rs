//! `vitald down`.

use std::time::Duration;

use tokio::time::sleep;
use vitald_client::ShutdownMode;
use vitald_supervisor::StateDir;

use crate::cli::Selector;
use crate::exit::{Exit, Failure, Outcome};
use crate::format::count;
use crate::places::Places;
use crate::{output, reach};

/// Ends a supervisor and all its components, and waits until it is gone.
pub(crate) async fn run(args: &Selector, places: &Places) -> Outcome {
    let Some(state_dir) = places.find_running(&args.filename)? else {
        output::say("no supervisor is running; nothing to stop")?;
        return Ok(Exit::Done);
    };
    match stop(&state_dir).await {
        Ok(running) => output::say(format!("stopping {} …", count(running, "component")))?,
        // It went away by itself while it was being asked.
        Err(_) if state_dir.holder().is_none() => {}
        Err(failure) => return Err(failure),
    }
    while state_dir.holder().is_some() {
        sleep(Duration::from_millis(50)).await;
    }
    output::say("stopped; the supervisor is gone")?;
    Ok(Exit::Done)
}

async fn stop(state_dir: &StateDir) -> Result<usize, Failure> {
    let client = reach::connect(state_dir).await?;
    let running = client.status().await?.components.iter().filter(|c| c.pid.is_some()).count();
    client.shutdown(ShutdownMode::Graceful).await?;
    Ok(running)
}
