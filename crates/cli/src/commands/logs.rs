//! `vitald logs`.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vitald_core::status::{ComponentStatus, RunLog, Status};
use vitald_log::{LogReader, Timeline, merge};
use vitald_supervisor::StateDir;
use vitald_supervisor::clock::SystemClock;
use vitald_supervisor::recall::{self, Forgotten};

use crate::cli::Logs;
use crate::exit::{Exit, Failure, Outcome};
use crate::format::size;
use crate::log_file::{self, Merger, News, previous_run, since_start};
use crate::log_watch::LogWatch;
use crate::places::Places;
use crate::{nearest, output, reach};

/// How much of one log is shown before it is another's turn.
const TURN: u64 = 1024 * 1024;

/// How long a supervisor takes to die.
const DYING: Duration = Duration::from_millis(100);

/// One component's log.
struct Log {
    name: String,
    path: PathBuf,
    reader: LogReader,
    /// Where its runs begin, if that is asked for.
    runs: Result<Vec<RunLog>, Forgotten>,
}

/// What several logs come together in.
struct Shown {
    logs: Vec<Log>,
    merger: Merger,
}

/// Shows what components wrote.
pub(crate) async fn run(args: &Logs, places: &Places) -> Outcome {
    let state_dir = places.readable(&args.selector.filename)?;
    // Before anything is read: what is written meanwhile is seen either way.
    let watch = args.follow.then(|| LogWatch::new(&state_dir));
    let logs = find(&state_dir, args).await?;
    if args.previous {
        return previous(logs, args);
    }
    let mut shown = Shown::new(logs);
    shown.past(args, |_, end| Some(0..end))?;
    if let Some(watch) = watch {
        shown.follow(watch)?;
    }
    shown.end()
}

/// Shows the run before the latest of each component.
fn previous(logs: Vec<Log>, args: &Logs) -> Outcome {
    let (mut known, mut runs, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for mut log in logs {
        match std::mem::replace(&mut log.runs, Ok(Vec::new())) {
            Ok(found) => {
                known.push(log);
                runs.push(found);
            }
            Err(why) => {
                unknown.push(format!("{}: where its runs begin in its log is not known: {why}", log.name))
            }
        }
    }
    if known.is_empty() && !unknown.is_empty() {
        return Err(Failure::not(unknown.join("\n")));
    }
    unknown.iter().for_each(|note| output::note(note));
    let mut shown = Shown::new(known);
    if !shown.past(args, |of, end| previous_run(&runs[of], end))? {
        return Err(Failure::not(format!("{} had no run before the latest", shown.names().join(", "))));
    }
    shown.end()
}

impl Shown {
    fn new(logs: Vec<Log>) -> Self {
        let names: Vec<_> = logs.iter().map(|log| log.name.clone()).collect();
        Self { merger: Merger::new(&names, output::colour()), logs }
    }

    fn names(&self) -> Vec<String> {
        self.logs.iter().map(|log| log.name.clone()).collect()
    }

    /// Shows what is there of a range of each log, which is asked for with the log's end, in the order of time.
    /// Says whether any has one.
    fn past(
        &mut self,
        args: &Logs,
        range: impl Fn(usize, u64) -> Option<Range<u64>>,
    ) -> Result<bool, Failure> {
        let mut any = false;
        let mut ranges = Vec::new();
        for (of, log) in self.logs.iter_mut().enumerate() {
            let times = Timeline::open(&log.path);
            let extent = log.reader.extent().map_err(|err| unreadable(&log.path, &err))?;
            let asked = range(of, extent.end);
            any |= asked.is_some();
            let range = part(log, &times, args, asked.unwrap_or(extent.end..extent.end))
                .map_err(|err| unreadable(&log.path, &err))?;
            log.reader.seek(range.start).map_err(|err| unreadable(&log.path, &err))?;
            ranges.push((times, range));
        }
        for piece in merge(&ranges) {
            self.read(piece.log, piece.range.end, u64::MAX)?;
        }
        Ok(any)
    }

    /// Shows what is written from now on, until nothing is left that writes, or that reads.
    fn follow(&mut self, mut watch: LogWatch) -> Result<(), Failure> {
        loop {
            // Asked before reading: what was written until then is shown.
            let is_over = watch.is_over();
            let mut more = false;
            for of in 0..self.logs.len() {
                more |= self.read(of, u64::MAX, TURN)?;
            }
            match more {
                true => {}
                false if is_over || output::is_unread() => return Ok(()),
                false => watch.wait(),
            }
        }
    }

    /// Shows more of a log, up to a logical offset, and about `most` bytes. Says whether there may be more.
    fn read(&mut self, of: usize, end: u64, most: u64) -> Result<bool, Failure> {
        let Self { logs, merger } = self;
        let Log { name, reader, .. } = &mut logs[of];
        log_file::read(reader, end, most, |news| {
            let why = match news {
                News::Bytes(bytes) => return output::bytes(&merger.take(of, bytes)),
                News::Gone(bytes) => {
                    format!("{} of its log were removed before they were shown", size(bytes))
                }
                News::Restarted => "its log was truncated or replaced; what follows was written since".into(),
            };
            output::bytes(&merger.cut(of))?;
            output::note(&format!("{name}: {why}"));
            Ok(())
        })
    }

    fn end(mut self) -> Outcome {
        output::bytes(&self.merger.end())?;
        Ok(Exit::Done)
    }
}

/// What is to be shown of a range of a log; what is gone of that is told.
fn part(log: &mut Log, times: &Timeline, args: &Logs, mut range: Range<u64>) -> io::Result<Range<u64>> {
    let mut is_known = args.previous;
    if let Some(since) = args.since {
        let start = since_start(&log.path, &mut log.reader, times, since)?;
        is_known |= start > 0;
        range.start = start.clamp(range.start, range.end);
    }
    let oldest = log.reader.extent()?.oldest.min(range.end);
    let gone = oldest.saturating_sub(range.start);
    range.start = range.start.max(oldest);
    let mut all_shown = true;
    if let Some(lines) = args.tail {
        let start = log.reader.tail_start(range.clone(), lines)?;
        all_shown = start == range.start && lines > 0;
        range.start = start;
    }
    if gone > 0 && is_known && all_shown {
        output::note(&format!("{}: {} before this have been rotated away", log.name, size(gone)));
    }
    Ok(range)
}

/// The logs that are meant, whether a supervisor runs, or has died, or dies while it is asked.
async fn find(state_dir: &StateDir, args: &Logs) -> Result<Vec<Log>, Failure> {
    loop {
        let holder = state_dir.holder();
        if holder.is_none() {
            return of_files(state_dir, &args.name);
        }
        match ask(state_dir, args).await {
            Ok((status, runs)) => return of_supervisor(status, runs, state_dir),
            Err(failure) => {
                // Its connections end before its lock is free.
                tokio::time::sleep(DYING).await;
                if state_dir.holder() == holder {
                    return Err(failure);
                }
            }
        }
    }
}

/// What a supervisor says of the components that are meant, and where their runs begin, as far as that matters.
async fn ask(state_dir: &StateDir, args: &Logs) -> Result<(Status, Vec<Vec<RunLog>>), Failure> {
    let client = reach::connect(state_dir).await?;
    let status = reach::select(client.status().await?, &args.name)?;
    let mut runs = vec![Vec::new(); status.components.len()];
    for (runs, component) in runs.iter_mut().zip(&status.components).filter(|_| args.previous) {
        *runs = client.describe(&component.name).await?.runs;
    }
    Ok((status, runs))
}

/// The logs as the supervisor knows them.
fn of_supervisor(status: Status, runs: Vec<Vec<RunLog>>, state_dir: &StateDir) -> Result<Vec<Log>, Failure> {
    let log = |(component, runs): (ComponentStatus, _)| {
        let path = component.log_file.map_or_else(|| state_dir.log(&component.name), PathBuf::from);
        open(component.name, path, Ok(runs))
    };
    status.components.into_iter().zip(runs).map(log).collect()
}

/// The logs that a supervisor has left.
fn of_files(state_dir: &StateDir, names: &[String]) -> Result<Vec<Log>, Failure> {
    let folder = state_dir.logs();
    let entries = std::fs::read_dir(&folder).map_err(|err| unreadable(&folder, &err))?;
    let mut known: Vec<_> = entries
        .filter_map(|entry| log_name(entry.ok()?.file_name().to_str()?).map(str::to_owned))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let hint = nearest::hint(name, &known);
        return Err(Failure::not(format!("no supervisor runs, and `{name}` has left no log{hint}")));
    }
    known.retain(|name| names.is_empty() || names.contains(name));
    let log = |name: String| {
        let runs = recall::runs(state_dir, &SystemClock, &name);
        open(name.clone(), state_dir.log(&name), runs)
    };
    known.into_iter().map(log).collect()
}

/// Whose log a file is, or part of; what is only about logs is none.
fn log_name(file: &str) -> Option<&str> {
    let (name, part) = file.rsplit_once(".log")?;
    let number = part.strip_prefix('.').map(str::parse::<u32>);
    (part.is_empty() || number.is_some_and(|number| number.is_ok())).then_some(name)
}

/// A log that need not exist yet.
fn open(name: String, path: PathBuf, runs: Result<Vec<RunLog>, Forgotten>) -> Result<Log, Failure> {
    let reader = LogReader::open(&path).map_err(|err| unreadable(&path, &err))?;
    Ok(Log { name, path, reader, runs })
}

fn unreadable(path: &Path, err: &io::Error) -> Failure {
    Failure::not(format!("cannot read {}: {err}", path.display()))
}

impl From<io::Error> for Failure {
    fn from(err: io::Error) -> Self {
        Self::not(format!("a log cannot be read: {err}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_log_a_file_is() {
        for (file, name) in [("web.log", "web"), ("web.log.12", "web"), ("a.log.log", "a.log")] {
            assert_eq!(log_name(file), Some(name));
        }
        for file in ["web.log.meta", "web.log.meta.next", "web.log.draft", "web.log.times", "web.txt"] {
            assert_eq!(log_name(file), None, "{file}");
        }
    }
}
