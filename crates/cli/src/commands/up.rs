//! `vitald up`.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vitald_client::{Client, Error};
use vitald_core::status::{ComponentStatus, Status};
use vitald_supervisor::StateDir;

use crate::cli::Up;
use crate::detach::{self, Detached};
use crate::exit::{Exit, Failure, Outcome};
use crate::format::count;
use crate::places::Places;
use crate::progress::{self, Progress};
use crate::{builtin, manifests, output};

/// How often to look.
const PERIOD: Duration = Duration::from_millis(100);

/// Starts a supervisor in the background, if there is none, and waits until all is ready.
pub(crate) async fn run(args: &Up, places: &Places) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs_f64(args.timeout);
    let paths = places.manifests(&args.manifests.filename)?;
    manifests::load(&paths, &builtin::registry())?;
    let state_dir = places.of_manifests(&paths);

    let mut detached = None;
    if let Some(pid) = state_dir.holder() {
        output::line(already_up(pid))?;
    } else {
        let absolute: Vec<PathBuf> = paths.iter().map(|path| places.absolute(path)).collect();
        detached = Some(detach::start(&absolute, &state_dir)?);
    }
    let client = connect(&state_dir, &mut detached, deadline).await?;
    wait_until_ready(&client, &mut detached, deadline, args.timeout).await
}

fn already_up(pid: u32) -> String {
    format!("already up (pid {pid}); changed manifests take effect after `vitald down` and `vitald up`")
}

/// Waits until the supervisor listens.
async fn connect(
    state_dir: &StateDir,
    detached: &mut Option<Detached>,
    deadline: Instant,
) -> Result<Client, Failure> {
    loop {
        match Client::connect(state_dir.path()).await {
            Ok(client) => return Ok(client),
            Err(Error::NoSupervisor { .. }) => {}
            Err(err) => return Err(err.into()),
        }
        if let Some(child) = detached
            && let Some(code) = child.exit_code()
        {
            // Somebody else's `up` was faster: theirs is as good as ours.
            match state_dir.holder() {
                Some(pid) if code == 3 => {
                    output::line(already_up(pid))?;
                    *detached = None;
                }
                _ => return Err(died(child, code)),
            }
        }
        if Instant::now() >= deadline {
            return Err(Failure::not("the supervisor does not answer yet; the time is up"));
        }
        sleep(PERIOD).await;
    }
}

/// Waits until nothing is left to wait for.
async fn wait_until_ready(
    client: &Client,
    detached: &mut Option<Detached>,
    deadline: Instant,
    timeout: f64,
) -> Outcome {
    let mut progress = Progress::new();
    loop {
        let status = match (client.status().await, detached.as_mut()) {
            (Ok(status), _) => status,
            (Err(err), Some(child)) => {
                sleep(PERIOD).await;
                return Err(child.exit_code().map_or_else(|| err.into(), |code| died(child, code)));
            }
            (Err(err), None) => return Err(err.into()),
        };
        progress.show(&status)?;
        if status.components.iter().all(ComponentStatus::is_settled) {
            output::line(all_ready(&status))?;
            return Ok(Exit::Done);
        }
        let why = if progress::is_hopeless(&status) {
            "some components have failed for good".to_owned()
        } else if Instant::now() >= deadline {
            format!("not everything is ready after {timeout} s")
        } else {
            sleep(PERIOD).await;
            continue;
        };
        return Err(Failure::not(format!(
            "{why}; the supervisor (pid {}) goes on:{}",
            status.supervisor.pid,
            progress::not_ready(&status)
        )));
    }
}

fn all_ready(status: &Status) -> String {
    let ready = status.components.iter().filter(|component| component.ready).count();
    let rest = status.components.len() - ready;
    let rest = if rest > 0 { format!(", {rest} completed or stopped") } else { String::new() };
    format!("{} ready{rest}; supervisor pid {}", count(ready, "component"), status.supervisor.pid)
}

fn died(child: &Detached, code: i32) -> Failure {
    let exit = match code {
        2 => Exit::Usage,
        3 => Exit::NoSupervisor,
        _ => Exit::Not,
    };
    let how = if code < 0 { "was killed".into() } else { format!("ended with exit status {code}") };
    Failure::new(
        exit,
        format!("the supervisor {how}; the end of {}:{}", child.log().display(), child.last_words()),
    )
}
