//! `vitald logs`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vitald_client::Client;
use vitald_supervisor::StateDir;

use crate::cli::Logs;
use crate::exit::{Exit, Failure, Outcome};
use crate::log_file::{Merger, previous_run, read_range, tail_start};
use crate::log_watch::{FolderWatch, Follower};
use crate::places::Places;
use crate::{known, nearest, output, reach};

/// How often to look whether there is still something whose logs can be followed.
const LOOK: Duration = Duration::from_secs(1);

/// One component's log.
struct Log {
    name: String,
    path: PathBuf,
}

/// Shows what components wrote.
pub(crate) async fn run(args: &Logs, places: &Places) -> Outcome {
    if args.previous {
        return previous(args, places).await;
    }
    let state_dir = places.readable(&args.selector.filename)?;
    let logs = match state_dir.holder() {
        Some(_) => of_supervisor(&reach::connect(&state_dir).await?, &state_dir, &args.name).await?,
        None => of_files(&state_dir, &args.name)?,
    };
    let names: Vec<_> = logs.iter().map(|log| log.name.clone()).collect();
    let mut merger = Merger::new(&names, output::colour());
    // Before anything is read: what is written meanwhile is seen either way.
    let watch = FolderWatch::new(&state_dir.path().join("logs"));
    let mut followers = Vec::new();
    for (of, log) in logs.into_iter().enumerate() {
        followers.push(show(&log, of, args.tail, &mut merger)?);
    }
    if !args.follow {
        output::bytes(&merger.end())?;
        return Ok(Exit::Done);
    }
    let mut looked = Instant::now();
    loop {
        watch.changed();
        // What a supervisor left running when it died goes on writing. Where nothing runs, and nobody is there who
        // would start it, what is there by now is all.
        let ended = looked.elapsed() >= LOOK && {
            looked = Instant::now();
            state_dir.holder().is_none() && known::left_running(&state_dir) == 0
        };
        for (of, follower) in followers.iter_mut().enumerate() {
            follower.read(|bytes| write(&mut merger, of, bytes))?;
        }
        if ended || output::is_unread() {
            output::bytes(&merger.end())?;
            return Ok(Exit::Done);
        }
    }
}

/// Shows what a log has, and stands ready to follow it.
fn show(log: &Log, of: usize, tail: Option<usize>, merger: &mut Merger) -> Result<Follower, Failure> {
    let mut file = match File::open(&log.path) {
        Ok(file) => file,
        // It has never been started.
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Ok(Follower::new(log.path.clone(), None, 0));
        }
        Err(err) => return Err(unreadable(&log.path, &err)),
    };
    let length = file.metadata().map_err(|err| unreadable(&log.path, &err))?.len();
    let start = match tail {
        Some(lines) => tail_start(&file, 0..length, lines).map_err(|err| unreadable(&log.path, &err))?,
        None => 0,
    };
    read_range(&mut file, start..length, |bytes| write(merger, of, bytes))?;
    Ok(Follower::new(log.path.clone(), Some(file), length))
}

/// Shows the run before the latest of each component.
async fn previous(args: &Logs, places: &Places) -> Outcome {
    let found = places.running(&args.selector.filename).map_err(|failure| {
        Failure::new(
            failure.exit,
            format!("{}\n--previous needs it: it knows where runs begin", failure.text),
        )
    })?;
    let client = reach::connect(&found.state_dir).await?;
    let logs = of_supervisor(&client, &found.state_dir, &args.name).await?;
    let names: Vec<_> = logs.iter().map(|log| log.name.clone()).collect();
    let mut merger = Merger::new(&names, output::colour());
    let mut shown = false;
    for (of, log) in logs.iter().enumerate() {
        let runs = client.describe(&log.name).await?.runs;
        let Ok(mut file) = File::open(&log.path) else { continue };
        let length = file.metadata().map_err(|err| unreadable(&log.path, &err))?.len();
        let Some(range) = previous_run(&runs, length) else { continue };
        shown = true;
        let start = match args.tail {
            Some(lines) => {
                tail_start(&file, range.clone(), lines).map_err(|err| unreadable(&log.path, &err))?
            }
            None => range.start,
        };
        read_range(&mut file, start..range.end, |bytes| write(&mut merger, of, bytes))?;
    }
    output::bytes(&merger.end())?;
    match shown {
        true => Ok(Exit::Done),
        false => Err(Failure::not(format!("{} had no run before the latest", names.join(", ")))),
    }
}

/// The logs as the supervisor knows them.
async fn of_supervisor(client: &Client, state_dir: &StateDir, names: &[String]) -> Result<Vec<Log>, Failure> {
    let status = reach::select(client.status().await?, names)?;
    let log = |component: vitald_core::status::ComponentStatus| Log {
        path: component.log_file.map_or_else(|| state_dir.log(&component.name), PathBuf::from),
        name: component.name,
    };
    Ok(status.components.into_iter().map(log).collect())
}

/// The logs that a supervisor has left.
fn of_files(state_dir: &StateDir, names: &[String]) -> Result<Vec<Log>, Failure> {
    let folder = state_dir.path().join("logs");
    let mut known: Vec<_> = std::fs::read_dir(&folder)
        .map_err(|err| unreadable(&folder, &err))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".log")?.to_owned()))
        .collect();
    known.sort();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let hint = nearest::hint(name, &known);
        return Err(Failure::not(format!("no supervisor runs, and `{name}` has left no log{hint}")));
    }
    known.retain(|name| names.is_empty() || names.contains(name));
    Ok(known.into_iter().map(|name| Log { path: state_dir.log(&name), name }).collect())
}

fn write(merger: &mut Merger, of: usize, bytes: &[u8]) -> Result<(), Failure> {
    output::bytes(&merger.take(of, bytes))
}

fn unreadable(path: &Path, err: &io::Error) -> Failure {
    Failure::not(format!("cannot read {}: {err}", path.display()))
}

impl From<io::Error> for Failure {
    fn from(err: io::Error) -> Self {
        Self::not(format!("a log cannot be read: {err}"))
    }
}
