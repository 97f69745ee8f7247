//! `vitald ls`.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};
use vitald_client::Client;
use vitald_supervisor::StateDir;

use crate::cli::{Format, Listing};
use crate::exit::{Exit, Outcome};
use crate::format::{self, count};
use crate::places::{Places, STDIN};
use crate::table::or_dash;
use crate::{known, output, table};

/// How long a supervisor may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How soon one that holds its lock and does not listen is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Lists this user's supervisors.
pub(crate) async fn run(args: &Listing, places: &Places) -> Outcome {
    let supervisors: Vec<_> =
        join_all(places.all().into_iter().map(look)).await.into_iter().flatten().collect();
    match args.output {
        Format::Json => output::json(&List { supervisors })?,
        Format::Yaml => output::yaml(&List { supervisors })?,
        Format::Table | Format::Wide if supervisors.is_empty() => {
            output::note("no supervisor is running; `vitald up` or `vitald run` starts one");
        }
        Format::Table | Format::Wide => {
            output::line(rows(&supervisors, args.output == Format::Wide, output::colour()))?;
        }
    }
    Ok(Exit::Done)
}

/// What `-o json` gives.
#[derive(Serialize)]
struct List {
    supervisors: Vec<Supervisor>,
}

/// One supervisor, or what is left of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Supervisor {
    state_dir: String,
    state: Life,
    /// Null if it is dead.
    pid: Option<u32>,
    version: Option<String>,
    uptime_seconds: Option<f64>,
    /// How many it has, and how many of them are ready; null if it cannot be asked.
    components: Option<usize>,
    ready: Option<usize>,
    /// Of how many components something runs, if it is dead.
    left_running: Option<usize>,
    /// Where its components are from.
    manifests: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Life {
    Running,
    /// It holds its lock, and does not answer.
    Silent,
    Dead,
}

/// What there is in a state dir: `None` if nothing runs of it.
async fn look(dir: StateDir) -> Option<Supervisor> {
    let mut found = Supervisor {
        state_dir: dir.path().display().to_string(),
        state: Life::Dead,
        pid: None,
        version: None,
        uptime_seconds: None,
        components: None,
        ready: None,
        left_running: None,
        manifests: dir.manifests(),
    };
    let deadline = Instant::now() + PATIENCE;
    let (holder, answer) = loop {
        let Some(holder) = dir.holder() else {
            found.left_running = Some(known::left_running(&dir)).filter(|left| *left > 0);
            return found.left_running.map(|_| found);
        };
        let status = async { Client::connect(dir.path()).await?.status().await };
        match timeout_at(deadline, status).await {
            // One that is just beginning, or that was killed and has not given up its lock.
            Ok(Err(_)) if Instant::now() < deadline => sleep(LOOK_AGAIN).await,
            answer => break (holder, answer),
        }
    };
    found.state = Life::Silent;
    found.pid = Some(holder).filter(|pid| *pid > 0);
    if let Ok(Ok(status)) = answer {
        found.state = Life::Running;
        found.pid = Some(status.supervisor.pid);
        found.version = Some(status.supervisor.version);
        found.uptime_seconds = Some(status.supervisor.uptime_seconds);
        found.components = Some(status.components.len());
        found.ready = Some(status.components.iter().filter(|component| component.ready).count());
        found.manifests = status.supervisor.manifests;
    }
    Some(found)
}

/// One row a supervisor.
fn rows(supervisors: &[Supervisor], wide: bool, colour: bool) -> String {
    let mut header = vec!["PID", "READY", "UPTIME"];
    if wide {
        header.push("VERSION");
    }
    header.extend(["MANIFESTS", "STATE DIR", "MESSAGE"]);
    let mut table = table::new(&header, colour);
    for supervisor in supervisors {
        let ready = supervisor.ready.zip(supervisor.components).map(|(ready, all)| format!("{ready}/{all}"));
        let mut row = vec![
            or_dash(supervisor.pid),
            or_dash(ready),
            or_dash(supervisor.uptime_seconds.map(format::span)),
        ];
        if wide {
            row.push(or_dash(supervisor.version.as_ref()));
        }
        let manifests = supervisor.manifests.iter().map(|path| match path.as_str() {
            STDIN => "standard input".to_owned(),
            path => format::plain(path),
        });
        let manifests = manifests.collect::<Vec<_>>().join(", ");
        row.push(or_dash(Some(manifests).filter(|text| !text.is_empty())));
        row.push(format::plain(&supervisor.state_dir));
        row.push(match (supervisor.state, supervisor.left_running) {
            (Life::Running, _) => String::new(),
            (Life::Silent, _) => "does not answer".into(),
            (Life::Dead, left) => {
                format!("dead, {} left running", count(left.unwrap_or_default(), "component"))
            }
        });
        table.add_row(row);
    }
    table::text(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_a_supervisor() {
        let running = |dir: &str| Supervisor {
            state_dir: dir.into(),
            state: Life::Running,
            pid: Some(4242),
            version: Some("0.1.0".into()),
            uptime_seconds: Some(184.2),
            components: Some(3),
            ready: Some(2),
            left_running: None,
            manifests: vec!["/srv/web/manifests".into()],
        };
        let bare = |dir: &str| Supervisor {
            version: None,
            uptime_seconds: None,
            components: None,
            ready: None,
            manifests: vec![],
            ..running(dir)
        };
        let silent = Supervisor { state: Life::Silent, ..bare("/state/b") };
        let dead = Supervisor { state: Life::Dead, pid: None, left_running: Some(3), ..bare("/state/c") };
        insta::assert_snapshot!(rows(&[running("/state/a"), silent, dead], false, false));
    }

    #[tokio::test]
    async fn where_nothing_runs_there_is_nothing_to_list() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path().join("state"));
        let lock = dir.lock().unwrap();
        assert!(look(dir.clone()).await.is_some_and(|found| found.state == Life::Silent));
        drop(lock);
        assert!(look(dir.clone()).await.is_none());
        let left = std::fs::File::create(dir.component_lock("web")).unwrap();
        left.lock().unwrap();
        assert!(look(dir).await.is_some_and(|found| found.left_running == Some(1)));
    }
}
