//! `vitald down`.

use std::time::Duration;

use tokio::time::sleep;
use vitald_client::ShutdownMode;
use vitald_supervisor::StateDir;

use crate::cli::Down;
use crate::exit::{Exit, Failure, Outcome};
use crate::format::count;
use crate::places::Places;
use crate::{known, output, reach, survivors};

/// Ends a supervisor and all its components, and waits until it is gone; or what is left of a dead one.
pub(crate) async fn run(args: &Down, places: &Places) -> Outcome {
    let named = &args.selector.filename;
    loop {
        if let Some(found) = places.find_running(named)? {
            return end(&found.into_changed(), args.keep).await;
        }
        let own = places.own(named);
        let mut own = own.iter().filter(|dir| dir.path().join("locks").is_dir());
        if args.keep {
            let left: usize = own.map(known::left_running).sum();
            output::say(match left {
                0 => "no supervisor is running; nothing to keep".to_owned(),
                _ => format!("no supervisor is running; {}", keeps_on(left)),
            })?;
            return Ok(Exit::Done);
        }
        let mut ended = 0;
        let begun_meanwhile = loop {
            let Some(state_dir) = own.next() else { break false };
            match survivors::end(state_dir).await? {
                Some(number) => ended += number,
                None => break true,
            }
            places.forget(state_dir);
        };
        if !begun_meanwhile {
            output::say(match ended {
                0 => "no supervisor is running; nothing to stop",
                _ => "stopped what a supervisor that has died left running",
            })?;
            return Ok(Exit::Done);
        }
    }
}

/// Ends a supervisor that runs.
async fn end(state_dir: &StateDir, keep: bool) -> Outcome {
    let holder = state_dir.holder();
    let running = match ask(state_dir, keep).await {
        Ok(running) => running,
        // It went away by itself while it was being asked.
        Err(_) if state_dir.holder().is_none() => 0,
        Err(failure) => return Err(failure),
    };
    if !keep && running > 0 {
        output::say(format!("stopping {} …", count(running, "component")))?;
    }
    // Not one that somebody starts meanwhile.
    while holder.is_some() && state_dir.holder() == holder {
        sleep(Duration::from_millis(50)).await;
    }
    if !keep {
        output::say("stopped; the supervisor is gone")?;
        return Ok(Exit::Done);
    }
    // It may have been stopping everything already, as somebody else wanted.
    output::say(match known::left_running(state_dir) {
        0 => "the supervisor is gone; nothing of its components runs".to_owned(),
        left => format!("the supervisor is gone; {}", keeps_on(left)),
    })?;
    Ok(Exit::Done)
}

/// Asks for the end; gives how many components run.
async fn ask(state_dir: &StateDir, keep: bool) -> Result<usize, Failure> {
    let client = reach::connect(state_dir).await?;
    let running = client.status().await?.components.iter().filter(|c| c.pid.is_some()).count();
    client.shutdown(if keep { ShutdownMode::Keep } else { ShutdownMode::Graceful }).await?;
    Ok(running)
}

fn keeps_on(number: usize) -> String {
    let verb = if number == 1 { "goes" } else { "go" };
    let components = count(number, "component");
    format!("{components} {verb} on: `vitald up` takes over, `vitald down` ends what is left")
}
