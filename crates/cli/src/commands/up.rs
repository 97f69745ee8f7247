//! `vitald up`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use vitald_client::{Client, Error};
use vitald_core::spec::ComponentSpec;
use vitald_core::status::{ComponentStatus, Status};
use vitald_supervisor::StateDir;

use crate::cli::{SupervisorLogs, Up};
use crate::commands::apply;
use crate::detach::{self, Detached, PluginArgs};
use crate::exit::{Exit, Failure, NEVER, Outcome};
use crate::format::count;
use crate::kept::Wanted;
use crate::places::{ANOTHER_PLACE, Places, STDIN};
use crate::progress::{self, Progress};
use crate::{known, manifests, output, plugins, wiring};

/// How often to look.
const PERIOD: Duration = Duration::from_millis(100);

/// Starts a supervisor in the background, or applies the manifests to the one that there is, and waits until all
/// is ready.
pub(crate) async fn run(args: &Up, places: &Places) -> Outcome {
    let paths = places.manifests(&args.manifests.filename)?;
    if paths.iter().any(|path| path.as_os_str() == STDIN) {
        return Err(Failure::usage(
            "a supervisor in the background has no standard input to read; name a file or a folder, or use \
             `vitald run -f -`",
        ));
    }
    let kept = Wanted::of(places)?;
    // A supervisor that is started here gets the variables; what is wrong with one is told at once.
    args.logs.max_total()?;
    let components = manifests::load(&paths, &plugins::of_manifests(places, &paths).await?.registry)?;
    let state_dir = places.of_manifests(&paths);
    if let Some(err) = state_dir.hidden() {
        let path = state_dir.path().display();
        return Err(Failure::not(format!("cannot see what is in {path}: {err}; {ANOTHER_PLACE}")));
    }
    let mut up = Attempt {
        manifests: places.all_absolute(&paths),
        components,
        deadline: Instant::now() + Duration::from_secs_f64(args.timeout),
        timeout: args.timeout,
        child: None,
        applied_to: None,
        logs: args.logs.clone(),
        plugins: PluginArgs::of(places),
        kept,
        state_dir,
    };
    loop {
        let client = up.connect().await?;
        if let Some(outcome) = up.wait_until_ready(&client).await? {
            return Ok(outcome);
        }
    }
}

/// One `vitald up`.
struct Attempt {
    /// Absolute.
    manifests: Vec<PathBuf>,
    components: Vec<ComponentSpec>,
    state_dir: StateDir,
    logs: SupervisorLogs,
    plugins: PluginArgs,
    /// What a supervisor that runs already may not have.
    kept: Wanted,
    deadline: Instant,
    timeout: f64,
    /// The supervisor that we have started; `None` while there is somebody else's.
    child: Option<Detached>,
    /// Whose supervisor, by pid, has got the manifests from us.
    applied_to: Option<u32>,
}

impl Attempt {
    /// Waits until a supervisor listens; starts one when nobody holds the state dir.
    async fn connect(&mut self) -> Result<Client, Failure> {
        loop {
            match Client::connect(self.state_dir.path()).await {
                // Ours is still trying to take the place, and would get it when somebody ends theirs.
                Ok(_) if self.is_beaten() && Instant::now() < self.deadline => {}
                Ok(client) => {
                    if self.child.is_some() || self.apply(&client).await? {
                        return Ok(client);
                    }
                }
                Err(Error::NoSupervisor { .. }) => {}
                Err(err) => return Err(err.into()),
            }
            match &mut self.child {
                // Whoever holds it is just beginning, or ending: we are here for the next then.
                None if self.state_dir.holder().is_some() => {}
                None => self.child = Some(self.start()?),
                Some(child) => match child.exit_code() {
                    None => {}
                    // Somebody else was faster: theirs is as good as ours.
                    Some(3) => self.child = None,
                    Some(code) => return Err(died(child, code, &self.state_dir)),
                },
            }
            if Instant::now() >= self.deadline {
                let timeout = self.timeout;
                return Err(Failure::not(format!("the supervisor does not answer after {timeout} s")));
            }
            sleep(PERIOD).await;
        }
    }

    /// Waits until nothing is left to wait for; `None` if somebody else's supervisor has gone meanwhile.
    async fn wait_until_ready(&mut self, client: &Client) -> Result<Option<Exit>, Failure> {
        let mut progress = Progress::new();
        loop {
            let status = match (client.status().await, &mut self.child) {
                (Ok(status), _) => status,
                (Err(_), None) => return Ok(None),
                (Err(err), Some(child)) => {
                    sleep(PERIOD).await;
                    return Err(match child.exit_code() {
                        Some(code) => died(child, code, &self.state_dir),
                        None => err.into(),
                    });
                }
            };
            progress.show(&status)?;
            if status.components.iter().all(ComponentStatus::is_settled) {
                output::say(all_ready(&status))?;
                return Ok(Some(Exit::Done));
            }
            let why = if progress::is_hopeless(&status, &missing(client, &status).await) {
                "what is not ready will not be by itself".to_owned()
            } else if Instant::now() >= self.deadline {
                format!("not everything is ready after {} s", self.timeout)
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

    fn start(&self) -> Result<Detached, Failure> {
        wiring::check_processes()?;
        detach::start(&self.manifests, &self.state_dir, &self.logs, &self.plugins)
    }

    /// Whether the supervisor that we have started lives, and the one at work is another.
    fn is_beaten(&mut self) -> bool {
        let holder = self.state_dir.holder();
        self.child.as_mut().is_some_and(|child| holder != Some(child.pid()) && child.exit_code().is_none())
    }

    /// Gives the manifests to a supervisor that is up already; `false` if it is on its way out.
    async fn apply(&mut self, client: &Client) -> Result<bool, Failure> {
        let pid = match client.status().await {
            Ok(status) => status.supervisor.pid,
            Err(Error::NoSupervisor { .. } | Error::Transport(_)) => return Ok(false),
            Err(err) => return Err(err.into()),
        };
        if self.applied_to == Some(pid) {
            return Ok(true);
        }
        let apply = client.apply(&self.components, Some(&self.manifests));
        let plan = match timeout_at(self.deadline, apply).await {
            Ok(Ok(plan)) => plan,
            Ok(Err(
                Error::Refused { status: 503, .. } | Error::NoSupervisor { .. } | Error::Transport(_),
            )) => {
                return Ok(false);
            }
            Ok(Err(err)) => return Err(err.into()),
            // It goes on with that by itself; what is not ready will be told.
            Err(_) => return Ok(true),
        };
        self.applied_to = Some(pid);
        self.kept.compare(client, pid).await;
        if plan.is_empty() {
            output::say(format!("already up (pid {pid}), as the manifests say"))?;
            return Ok(true);
        }
        output::say(format!("already up (pid {pid}); the manifests have been applied:"))?;
        let status = client.status().await.map(|status| status.components).unwrap_or_default();
        for line in apply::lines(&plan, &self.components, &status) {
            output::say(format!("  {line}"))?;
        }
        Ok(true)
    }
}

/// What each component that waits still misses. Asked for only when nothing else moves.
async fn missing(client: &Client, status: &Status) -> BTreeMap<String, Vec<String>> {
    let mut missing = BTreeMap::new();
    for name in progress::waiting(status) {
        // Whoever cannot be asked now is asked again.
        let Ok(detail) = client.describe(name).await else { continue };
        let unmet = detail.depends_on.into_iter().filter(|on| !on.met).map(|on| on.name);
        missing.insert(name.to_owned(), unmet.collect());
    }
    missing
}

fn all_ready(status: &Status) -> String {
    let ready = status.components.iter().filter(|component| component.ready).count();
    let rest = status.components.len() - ready;
    let rest = if rest > 0 { format!(", {rest} completed or stopped") } else { String::new() };
    format!("{} ready{rest}; supervisor pid {}", count(ready, "component"), status.supervisor.pid)
}

fn died(child: &Detached, code: i32, state_dir: &StateDir) -> Failure {
    let exit = match code {
        2 => Exit::Usage,
        3 | NEVER => Exit::NoSupervisor,
        _ => Exit::Not,
    };
    let how = match code {
        NEVER => "was refused".to_owned(),
        _ if code < 0 => "was killed".to_owned(),
        _ => format!("ended with exit status {code}"),
    };
    let (log, words) = (child.log().display(), child.last_words());
    let left = goes_on(known::left_running(state_dir));
    Failure::new(exit, format!("the supervisor {how}; the end of {log}:{words}{left}"))
}

/// What to do about components that go on without it, if any do.
fn goes_on(left: usize) -> String {
    match left {
        0 => String::new(),
        left => {
            let left = count(left, "component");
            format!("\nIt has left {left} running; `vitald up` takes over, `vitald down` ends what is left")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::goes_on;

    #[test]
    fn what_a_dead_supervisor_left_is_told_with_what_to_do() {
        assert_eq!(goes_on(0), "");
        assert!(goes_on(2).starts_with("\nIt has left 2 components running; `vitald up` takes over"));
    }
}
