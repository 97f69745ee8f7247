//! A process of a library that lives: what it says, what is to be said to it, and what it prints.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use crate::child::{self, Child};
use crate::host_client::Place;
use crate::host_client::words::{self, Words};
use crate::wire::{self, FromHost, ToHost, Unsayable};

/// Most bytes that wait for a process to read them.
const MOST_UNREAD: usize = 4 * 1024 * 1024;
/// How long a process may live without its connection, or its connection without the process: what it has started may
/// hold that, too.
const AFTER_EOF: Duration = Duration::from_millis(500);
/// How long what it printed last is waited for.
const FOR_WORDS: Duration = Duration::from_millis(200);

/// A process, and both ways to it.
pub(super) struct Connection {
    child: Child,
    lines: FramedRead<OwnedReadHalf, LinesCodec>,
    writer: OwnedWriteHalf,
    unread: Vec<u8>,
    /// It says nothing more.
    eof: bool,
    /// It has ended: how.
    over: Option<String>,
    /// When both must have come, after the first has.
    until: Option<Instant>,
    words: Arc<Words>,
    printer: JoinHandle<()>,
}

/// What came from a process.
pub(super) enum Heard {
    /// A message.
    Said(Box<FromHost>),
    /// It has ended: how, as in `was ended by SIGSEGV`.
    Ended(String),
    /// It must be ended: why.
    Rubbish(String),
}

impl Connection {
    /// Starts a process for a library.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn open(place: &Arc<Place>) -> io::Result<Self> {
        let spawned = child::spawn(&place.command, place.limits, &place.file, &place.children)?;
        spawned.socket.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(spawned.socket)?.into_split();
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(spawned.output))?;
        let words = Arc::new(Words::default());
        let printer = tokio::spawn(words::read(output, Arc::clone(place), Arc::clone(&words)));
        Ok(Self {
            child: spawned.child,
            lines: FramedRead::new(reader, wire::codec()),
            writer,
            unread: Vec::new(),
            eof: false,
            over: None,
            until: None,
            words,
            printer,
        })
    }

    /// Its pid.
    pub(super) fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Says something as soon as it is listened to.
    ///
    /// # Errors
    /// It cannot be said.
    pub(super) fn say(&mut self, message: &ToHost) -> Result<(), Unsayable> {
        self.unread.extend(wire::line(message)?);
        Ok(())
    }

    /// Waits for what comes next. May be dropped at any await, and called again.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            if self.unread.len() > MOST_UNREAD {
                return Heard::Rubbish("it does not read what it is told".to_owned());
            }
            if let Some(how) = self.over.as_ref().filter(|_| self.eof) {
                return Heard::Ended(how.clone());
            }
            let until = self.until;
            tokio::select! {
                line = self.lines.next(), if !self.eof => match line {
                    Some(Err(LinesCodecError::Io(err))) if err.kind() == io::ErrorKind::InvalidData => {
                        return Heard::Rubbish("what it said is no text".to_owned());
                    }
                    // A process that ended before it had read all that it was told resets its connection.
                    None | Some(Err(LinesCodecError::Io(_))) => {
                        self.eof = true;
                        self.until.get_or_insert(Instant::now() + AFTER_EOF);
                    }
                    Some(Ok(line)) => return match serde_json::from_str(&line) {
                        Ok(message) => Heard::Said(Box::new(message)),
                        Err(err) => Heard::Rubbish(format!("what it said is no message: {err}")),
                    },
                    Some(Err(LinesCodecError::MaxLineLengthExceeded)) => {
                        let most = wire::LONGEST / 1024;
                        return Heard::Rubbish(format!("it said more than {most} KiB at once"));
                    }
                },
                written = self.writer.write(&self.unread), if !self.eof && !self.unread.is_empty() => {
                    match written {
                        Ok(written) => drop(self.unread.drain(..written)),
                        // Its end will tell how it came.
                        Err(_) => self.unread.clear(),
                    }
                }
                how = self.child.ended(), if self.over.is_none() => {
                    // What it has said before counts, and is read first.
                    self.over = Some(how);
                    self.until.get_or_insert(Instant::now() + AFTER_EOF);
                }
                () = at(until) => return match &self.over {
                    Some(how) => Heard::Ended(how.clone()),
                    None => Heard::Rubbish("it closed its connection".to_owned()),
                },
            }
        }
    }

    /// Ends the process now, and says what it printed last.
    pub(super) async fn end(mut self) -> Option<String> {
        self.child.kill();
        // The words of a process that was stopped in the middle of something may never come to an end.
        let _ = tokio::time::timeout(FOR_WORDS, &mut self.printer).await;
        self.words.last()
    }

    /// Ends the process now, and waits until it has ended.
    pub(super) async fn close(mut self) {
        self.child.kill();
        let _ = tokio::time::timeout(FOR_WORDS, self.child.ended()).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.printer.abort();
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
