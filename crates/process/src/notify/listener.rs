//! Who listens to a run's socket, and whom it believes.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_blocking};
use vitald_core::notify::{Heard, Notified};
use vitald_core::restarter::ProcessIdentity;
use vitald_core::time::Timestamp;

use super::message::{MAX_MESSAGE, Word, read};
use super::receive::{Message, receive};
use super::socket::NotifySocket;
use super::told::Told;
use crate::main_process::MainProcess;
use crate::procfs::{self, Stat};
use crate::tree::Tree;

/// Messages that are taken in so much time at most: whoever sends more waits until there is room, and takes no
/// more of our time than this.
const BATCH: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Messages that are taken before something is judged by them: more than ever wait in a socket.
const BACKLOG: u32 = 1000;

/// How long it is remembered who is a stranger, and how many are remembered.
const STRANGE_FOR: Duration = Duration::from_secs(1);
const MOST_SENDERS: usize = 64;

/// Listens while it is there.
pub(crate) struct Hearing {
    listener: Arc<Listener>,
    task: AbortHandle,
    path: PathBuf,
}

/// Whom to listen to.
pub(crate) struct Source {
    pub tree: Arc<Tree>,
    pub main: Arc<MainProcess>,
    /// Whether it may have told something before.
    pub missed: bool,
}

impl Hearing {
    /// Listens from now on. Must be called within a tokio runtime.
    pub(crate) fn begin(socket: NotifySocket, source: Source) -> io::Result<Self> {
        let (Some(fd), path) = socket.keep() else { return Err(io::ErrorKind::NotConnected.into()) };
        let listener = Arc::new(Listener {
            socket: UnixDatagram::from_std(StdDatagram::from(fd))?,
            told: watch::Sender::new(Told::nothing(source.missed)),
            senders: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            source,
        });
        let task = tokio::spawn(Arc::clone(&listener).listen()).abort_handle();
        Ok(Self { listener, task, path })
    }

    /// Takes what has arrived by now.
    pub(crate) async fn catch_up(&self) {
        let listener = Arc::clone(&self.listener);
        // A message that has been received is taken, also where whoever asks gives up meanwhile.
        let taking = tokio::spawn(async move {
            for _ in 0..BACKLOG {
                if !listener.take_next().await {
                    return;
                }
            }
        });
        // A panic in there is nothing that could be heard.
        let _ = taking.await;
    }

    /// What is known of it by now.
    pub(crate) async fn heard(&self) -> Heard {
        self.catch_up().await;
        self.listener.told.borrow().heard(now())
    }

    /// Waits until it has told more than this.
    pub(crate) async fn news(&self, known: &Notified) -> Notified {
        let mut told = self.listener.told.subscribe();
        let news = told.wait_for(|told| told.notified != *known).await.map(|told| told.notified.clone());
        match news {
            Ok(news) => news,
            Err(_) => std::future::pending().await,
        }
    }

    pub(crate) fn remember(&self, before: Notified) {
        self.listener.told.send_modify(|told| told.remember(before));
    }

    /// The socket's file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Listener {
    socket: UnixDatagram,
    told: watch::Sender<Told>,
    source: Source,
    /// By pid and start time, who is known to be one of its own, or, for a while, not to be.
    senders: Mutex<BTreeMap<(i32, u64), Sender>>,
    /// Held from the taking of a message until it is known what came of it.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy)]
enum Sender {
    Own,
    Stranger(Instant),
}

impl Listener {
    async fn listen(self: Arc<Self>) {
        let (mut taken, mut since) = (0, Instant::now());
        loop {
            if taken >= BATCH {
                tokio::time::sleep(PAUSE.saturating_sub(since.elapsed())).await;
                (taken, since) = (0, Instant::now());
            }
            if self.take_next().await {
                taken += 1;
            } else if self.socket.readable().await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Takes a message and what follows from it; whether there was one.
    async fn take_next(&self) -> bool {
        let _turn = self.turn.lock().await;
        // The runtime may not have heard yet that there is something; asked by way of it, it learns that there
        // is nothing.
        let message = receive(&self.socket)
            .or_else(|_| self.socket.try_io(Interest::READABLE, || receive(&self.socket)));
        match message {
            Ok(message) => {
                self.take(message).await;
                true
            }
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                false
            }
        }
    }

    async fn take(&self, message: Message) {
        if let Err(why) = self.is_own(message.sender).await {
            // Nobody waits for this.
            self.told.send_if_modified(|told| {
                told.pass_over(why);
                false
            });
            return;
        }
        if message.too_long {
            let why = format!("one of more than {MAX_MESSAGE} bytes");
            self.told.send_if_modified(|told| {
                told.pass_over(why);
                false
            });
            return;
        }
        let words = read(&message.text);
        let mut new_main = None;
        for word in &words {
            if let Word::MainPid(pid) = word {
                new_main = self.main_process(*pid).await;
            }
        }
        self.told.send_if_modified(|told| {
            let changed = new_main.is_some_and(|process| told.main_process(process));
            told.take(&words, now()) || changed
        });
        // What came along is closed only now: who waits at a barrier (sd_notify_barrier(3)) goes on when all
        // that it said before has been taken.
        drop(message);
    }

    /// Makes a process the main one, if it is one of the run's own.
    async fn main_process(&self, pid: i32) -> Option<ProcessIdentity> {
        let refused = match procfs::read_stat(pid) {
            Ok(Some(process)) if !process.is_dead() => match self.belongs(&process).await {
                true => match self.source.main.become_process(&procfs::identity_of(&process)) {
                    Ok(process) => return process,
                    Err(err) => format!("cannot be watched: {err}"),
                },
                false => "is no process of its own".to_owned(),
            },
            Ok(_) => "is not alive".to_owned(),
            Err(err) => format!("cannot be looked at: {err}"),
        };
        self.told.send_if_modified(|told| {
            told.pass_over(format!("MAINPID={pid}, which {refused}"));
            false
        });
        None
    }

    /// Whether a message of this process is to be taken; else why not.
    async fn is_own(&self, pid: Option<i32>) -> Result<(), String> {
        let Some(pid) = pid else { return Err("one of nobody that can be seen from here".into()) };
        if self.source.main.is_pid_of(pid) {
            return Ok(());
        }
        let process = match procfs::read_stat(pid) {
            Ok(Some(process)) => process,
            Ok(None) => {
                return Err(format!("one of process {pid}, which had ended before it could be looked at"));
            }
            Err(err) => return Err(format!("one of process {pid}, which cannot be looked at: {err}")),
        };
        match self.belongs(&process).await {
            true => Ok(()),
            false => Err(format!("one of process {pid} ({}), which is none of its own", process.comm)),
        }
    }

    async fn belongs(&self, process: &Stat) -> bool {
        let key = (process.pid, process.start_time);
        let known = self.senders.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        match known {
            Some(Sender::Own) => return true,
            Some(Sender::Stranger(seen)) if seen.elapsed() < STRANGE_FOR => return false,
            Some(Sender::Stranger(_)) | None => {}
        }
        let (tree, asked) = (Arc::clone(&self.source.tree), process.clone());
        // What cannot be found out is not believed, and asked for again.
        let Ok(Ok(own)) = spawn_blocking(move || tree.has(&asked)).await else { return false };
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.len() >= MOST_SENDERS {
            senders.clear();
        }
        senders.insert(key, if own { Sender::Own } else { Sender::Stranger(Instant::now()) });
        own
    }
}

fn now() -> Timestamp {
    let now = clock_gettime(ClockId::Boottime);
    Timestamp::from_boot(Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32))
}
