//! The copy of a container's output into the component's log.
//!
//! The engine gives its messages with their times, in the order it got them, again and again in the same. What a
//! new connection repeats is told by the times and counts of the last messages of each stream; what was copied
//! by a supervisor that died before it could note that, by how far the log has grown since.
//!
//! A message is a line, or a piece of one that is longer than 16 KiB. The pieces of a line have the same time, by which
//! its end is told where the engine (20.10) loses it; only at the end of all output that cannot be told.

use std::fs::File;
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use tokio::task::spawn_blocking;

use crate::engine::{Engine, EngineError};
use crate::position::{Mark, Notes, Position};

/// How far back a new connection begins: stdout and stderr are not in the order of their times among each other.
const SLACK: i64 = 5 * SECOND;

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// Most messages that are written at once.
const BATCH: usize = 256;

/// How often the position is noted; what comes after it is told by the log's length.
const NOTE_EVERY: Duration = Duration::from_millis(200);

/// How soon a log that cannot be written is tried again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// How often, once the container has ended: its next start waits for it.
const MOST_TRIES: u32 = 5;

/// One container's output on its way into the log.
pub(crate) struct Copy {
    lock: PathBuf,
    sink: Option<Sink>,
}

/// What is written to, and how far.
struct Sink {
    log: File,
    notes: Notes,
    position: Position,
    /// Bytes that the log holds already of what comes next.
    overlap: u64,
    /// Taken from the engine, and not written yet.
    pending: Vec<u8>,
    noted: Instant,
}

/// What a connection repeats of each stream.
struct Repeats {
    stdout: Option<Repeat>,
    stderr: Option<Repeat>,
}

struct Repeat {
    last: Mark,
    seen: u32,
}

impl Copy {
    /// The copy of a container's output, from where it was left. `begin` is where it begins in the log, if nothing
    /// was noted of it. Gives its beginning, as far as it is known. Blocks for a moment.
    pub(crate) fn open(
        log: &Path,
        lock: &Path,
        engine: &str,
        container: &str,
        begin: Option<u64>,
    ) -> io::Result<Self> {
        let (file, end) = vitald_log::append(log).map_err(io::Error::other)?;
        let notes = Notes::open(lock)?;
        let position = match notes.read().filter(|noted| noted.container == container) {
            Some(noted) => noted,
            None => {
                let position = Position::beginning(engine, container, begin.unwrap_or(end));
                notes.write(&position)?;
                position
            }
        };
        let overlap = end.saturating_sub(position.end);
        let sink = Sink { log: file, notes, position, overlap, pending: Vec::new(), noted: Instant::now() };
        Ok(Self { lock: lock.to_owned(), sink: Some(sink) })
    }

    /// The container is no more: there is nothing to go on with.
    pub(crate) fn forget(&self) {
        Notes::remove(&self.lock);
    }

    /// Where the log ends, for a copy that begins.
    pub(crate) fn end(&self) -> u64 {
        self.sink.as_ref().map_or(0, |sink| sink.position.end)
    }

    /// Copies what the engine has, and with `follow` what it gets, until the container ends or `interrupt` does.
    pub(crate) async fn run(
        &mut self,
        engine: &Engine,
        follow: bool,
        interrupt: &mut (impl Future<Output = ()> + Unpin + Send),
    ) -> Result<(), EngineError> {
        let Some(sink) = &self.sink else { return Ok(()) };
        let container = sink.position.container.clone();
        let (mut repeats, since) = sink.resume();
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true);
        let options = options.follow(follow).since(since).build();
        let client = engine.client().await?;
        let mut messages = client.logs(&container, Some(options)).ready_chunks(BATCH);
        // What a full disk left.
        if !self.flush(follow, interrupt).await {
            return Ok(());
        }
        loop {
            // Never in the middle of a write.
            let batch = tokio::select! {
                () = &mut *interrupt => break,
                batch = messages.next() => batch,
            };
            let Some(batch) = batch else { break };
            let mut failure = None;
            let mut fresh = Vec::new();
            for message in batch {
                match message {
                    Ok(message) => fresh.push(message),
                    Err(err) => failure = Some(engine.failure(err)),
                }
            }
            if let Some(sink) = &mut self.sink {
                fresh.into_iter().for_each(|message| sink.take(&mut repeats, message));
            }
            if !self.flush(follow, interrupt).await {
                return Ok(());
            }
            if let Some(failure) = failure {
                self.write(true).await;
                return Err(failure);
            }
        }
        self.write(true).await;
        Ok(())
    }

    /// Writes what is pending. With `follow`, that takes as long as it takes: the engine keeps the rest meanwhile.
    /// Whether it was written before `interrupt`.
    async fn flush(
        &mut self,
        follow: bool,
        interrupt: &mut (impl Future<Output = ()> + Unpin + Send),
    ) -> bool {
        let mut tries = 1;
        while !self.write(false).await {
            if !follow && tries >= MOST_TRIES {
                return false;
            }
            tries += 1;
            tokio::select! {
                () = &mut *interrupt => return false,
                () = tokio::time::sleep(WRITE_AGAIN) => {}
            }
        }
        true
    }

    /// Tries to write what is pending; whether nothing is any more.
    async fn write(&mut self, note: bool) -> bool {
        let Some(mut sink) = self.sink.take() else { return true };
        let written = spawn_blocking(move || {
            let result = sink.write(note);
            (sink, result)
        });
        // An error means that the runtime is shutting down.
        let Ok((sink, result)) = written.await else { return true };
        self.sink = Some(sink);
        result.is_ok()
    }
}

impl Sink {
    /// What a new connection repeats, and since when it is to tell, in seconds.
    fn resume(&self) -> (Repeats, i32) {
        let repeat = |mark: Option<Mark>| mark.map(|last| Repeat { last, seen: 0 });
        let repeats = Repeats { stdout: repeat(self.position.stdout), stderr: repeat(self.position.stderr) };
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let since = self.position.since(SLACK, now).map_or(0, |time| time / SECOND);
        (repeats, i32::try_from(since.max(0)).unwrap_or(i32::MAX))
    }

    fn take(&mut self, repeats: &mut Repeats, message: LogOutput) {
        let is_stderr = matches!(message, LogOutput::StdErr { .. });
        let message = message.into_bytes();
        let Some((time, text)) = split(&message) else {
            // The engine's own words about the log, or another kind of engine: better twice than not at all.
            self.append(&message);
            return;
        };
        let (repeat, mark) = match is_stderr {
            true => (&mut repeats.stderr, &mut self.position.stderr),
            false => (&mut repeats.stdout, &mut self.position.stdout),
        };
        if is_repeated(repeat, time) {
            return;
        }
        let (after, was_open) = Mark::after(*mark, time, text);
        *mark = Some(after);
        if was_open {
            self.append(b"\n");
        }
        self.append(text);
    }

    /// Appends what the log does not hold yet.
    fn append(&mut self, text: &[u8]) {
        let held = usize::try_from(self.overlap).unwrap_or(usize::MAX).min(text.len());
        self.overlap -= held as u64;
        self.position.end += held as u64;
        self.pending.extend_from_slice(&text[held..]);
    }

    fn write(&mut self, note: bool) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.log.write(&self.pending) {
                Ok(count) => {
                    self.pending.drain(..count);
                    self.position.end += count as u64;
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        if note || self.noted.elapsed() >= NOTE_EVERY {
            self.notes.write(&self.position)?;
            self.noted = Instant::now();
        }
        Ok(())
    }
}

/// Whether a message was copied before this connection was made. Once one was not, none after it was.
fn is_repeated(repeat: &mut Option<Repeat>, time: i64) -> bool {
    let Some(Repeat { last, seen }) = repeat else { return false };
    if *seen == 0 && time < last.time {
        return true;
    }
    // What the engine has dropped meanwhile is not waited for.
    if *seen == 0 && time > last.time {
        *repeat = None;
        return false;
    }
    *seen += 1;
    if *seen >= last.count {
        *repeat = None;
    }
    true
}

/// A message's time, in nanoseconds since the epoch, and its text.
fn split(message: &[u8]) -> Option<(i64, &[u8])> {
    let at = message.iter().position(|byte| *byte == b' ')?;
    let time: jiff::Timestamp = std::str::from_utf8(&message[..at]).ok()?.parse().ok()?;
    Some((i64::try_from(time.as_nanosecond()).ok()?, &message[at + 1..]))
}

#[cfg(test)]
mod tests;
