//! What the keeper's thread does: sleep, and look at what has to be looked at.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::kept::Kept;
use super::{Command, Notice, Policy, Shortage, left};
use crate::cut;
use crate::rotate::{RotatingLog, Settings};
use crate::total::limit_total;
use crate::watch::{drain, inotify};

/// How often at most the room that all logs take is added up.
const ADD_UP: Duration = Duration::from_secs(10);

/// How often at least the room on the disk is looked at, for logs whose archives go when it is full: a
/// component whose write fails wakes nobody.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(10);

/// Less room than this is a full disk.
const LITTLE: u64 = 1024 * 1024;

/// With less room than this there is none for anything. A component whose writes fail is not heard of.
const NOTHING: u64 = 64 * 1024;

/// How often at most that is looked at while logs grow, and how often once there was none.
const LOOK_AT_FOLDER: Duration = Duration::from_secs(1);
const LOOK_AT_FULL_FOLDER: Duration = Duration::from_secs(3);

/// How soon after something was removed it is made sure that the folder is still the one that is watched: the kernel
/// says that it was removed, too, only once nobody has a file of it open any more.
const LOOK_FOR_FOLDER: Duration = Duration::from_secs(1);

/// Before a log that could not be opened is tried again, at first and at most.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(30);

struct Waiting {
    settings: Settings,
    again: Instant,
    pause: Duration,
}

pub(super) struct Work {
    policy: Policy,
    tell: Box<dyn FnMut(Notice) + Send>,
    commands: Receiver<Command>,
    wake: Arc<OwnedFd>,
    inotify: OwnedFd,
    /// `None` while there is no folder.
    folder_watch: Option<i32>,
    /// The device and the number of the one that is watched.
    folder_id: Option<(u64, u64)>,
    /// When it is to be looked for, should something have been removed.
    look_for_folder: Option<Instant>,
    logs: BTreeMap<String, Kept>,
    /// Those that cannot be opened at present.
    waiting: BTreeMap<String, Waiting>,
    added_up: Instant,
    /// Some log has grown or was rotated since.
    to_add_up: bool,
    looked_for_room: Instant,
    folder: Folder,
}

/// The disk of the folder.
struct Folder {
    path: PathBuf,
    is_full: bool,
    looked: Instant,
    /// Some log has been looked at since.
    to_look: bool,
}

impl Work {
    pub(super) fn new(
        folder: &Path,
        policy: Policy,
        tell: Box<dyn FnMut(Notice) + Send>,
        commands: Receiver<Command>,
        wake: Arc<OwnedFd>,
    ) -> io::Result<Self> {
        let inotify = inotify()?;
        let folder_watch = Some(watch_folder(&inotify, folder)?);
        let now = Instant::now();
        Ok(Self {
            policy,
            tell,
            commands,
            wake,
            inotify,
            folder_watch,
            folder_id: id(folder),
            look_for_folder: None,
            logs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            added_up: now,
            to_add_up: true,
            looked_for_room: now,
            folder: Folder { path: folder.to_owned(), is_full: false, looked: now, to_look: true },
        })
    }

    pub(super) fn run(&mut self) {
        left::finish(&self.folder.path, &mut self.tell);
        while self.obey() {
            self.look_at_all();
            self.sleep();
            self.notice();
        }
        for kept in self.logs.values_mut() {
            kept.last_look();
        }
    }

    /// Takes commands; `false` at the end.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Keep(name, settings) => self.keep(name, settings),
                Command::Forget(name) => {
                    self.waiting.remove(&name);
                    if let Some(mut kept) = self.logs.remove(&name) {
                        kept.last_look();
                        disarm(&self.inotify, kept.watch);
                    }
                }
                Command::Stop => return false,
            }
        }
        true
    }

    fn keep(&mut self, name: String, settings: Settings) {
        if let Some(kept) = self.logs.get_mut(&name) {
            kept.set(settings);
            return;
        }
        match RotatingLog::open(&self.path(&name), settings) {
            Ok(log) => {
                self.waiting.remove(&name);
                self.logs.insert(name.clone(), Kept::new(name, log));
            }
            Err(error) => {
                let before = self.waiting.get(&name).map(|waiting| waiting.pause);
                let pause = before.map_or(RETRY, |pause| (pause * 2).min(RETRY_AT_MOST));
                let waiting = Waiting { settings, again: Instant::now() + pause, pause };
                if self.waiting.insert(name.clone(), waiting).is_none() {
                    (self.tell)(Notice::Failed { name, error });
                }
            }
        }
    }

    fn look_at_all(&mut self) {
        let now = Instant::now();
        self.look_for_folder(now);
        let waiting = self.waiting.iter().filter(|(_, waiting)| waiting.again <= now);
        let again: Vec<_> = waiting.map(|(name, waiting)| (name.clone(), waiting.settings)).collect();
        for (name, settings) in again {
            self.keep(name, settings);
        }
        for kept in self.logs.values_mut().filter(|kept| kept.next_look.is_some_and(|at| at <= now)) {
            let (grew, rotated) = kept.look(&mut self.tell);
            self.folder.to_look = true;
            self.to_add_up |= grew | rotated;
            if rotated {
                self.added_up = now.checked_sub(ADD_UP).unwrap_or(now);
            }
            if !grew {
                arm(&self.inotify, kept);
            } else if kept.gives_room() {
                give_room(&self.folder, kept, &mut self.tell);
            }
        }
        self.add_up(now);
        self.look_for_room(now);
        self.folder.look(now, &mut self.tell);
    }

    /// Somebody has removed the folder; whoever starts a component makes it again.
    fn look_for_folder(&mut self, now: Instant) {
        let is_due = self.look_for_folder.take_if(|at| *at <= now).is_some();
        if is_due && id(&self.folder.path) != self.folder_id {
            disarm(&self.inotify, self.folder_watch.take());
        }
        if self.folder_watch.is_none() {
            self.folder_id = id(&self.folder.path);
            self.folder_watch = watch_folder(&self.inotify, &self.folder.path).ok();
            if self.folder_watch.is_some() {
                self.logs.values_mut().for_each(|kept| kept.next_look = Some(now));
            }
        }
    }

    fn add_up(&mut self, now: Instant) {
        let Some(max_total) = self.policy.max_total else { return };
        if !self.to_add_up || now.duration_since(self.added_up) < ADD_UP {
            return;
        }
        (self.added_up, self.to_add_up) = (now, false);
        let (logs, tell) = (&mut self.logs, &mut self.tell);
        let limited = limit_total(&self.folder.path, max_total, |live| {
            let name = live.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let dropped = match logs.get_mut(&name) {
                Some(kept) => kept.log.drop_oldest()?,
                // Of a component that is no more.
                None => {
                    let as_it_is = Settings { max_files: u32::MAX, ..Settings::default() };
                    RotatingLog::open(live, as_it_is)?.drop_oldest()?
                }
            };
            if let Some(bytes) = dropped {
                tell(Notice::Dropped { name, bytes, why: Shortage::Total });
            }
            Ok(dropped)
        });
        if let Err(error) = limited {
            tell(Notice::Failed { name: String::new(), error });
        }
    }

    /// Frees archives of logs that want that on a full disk, before the component has to be told.
    fn look_for_room(&mut self, now: Instant) {
        if !self.wants_room() || now.duration_since(self.looked_for_room) < LOOK_FOR_ROOM {
            return;
        }
        self.looked_for_room = now;
        for kept in self.logs.values_mut().filter(|kept| kept.gives_room()) {
            give_room(&self.folder, kept, &mut self.tell);
        }
    }

    fn wants_room(&self) -> bool {
        self.logs.values().any(Kept::gives_room)
    }

    fn sleep(&self) {
        let by_time = self.logs.values().filter_map(|kept| kept.next_look);
        let again = self.waiting.values().map(|waiting| waiting.again);
        let room = self.wants_room().then(|| self.looked_for_room + LOOK_FOR_ROOM);
        let total = (self.to_add_up && self.policy.max_total.is_some()).then(|| self.added_up + ADD_UP);
        let gone = self.folder_watch.is_none().then(|| Instant::now() + RETRY);
        let next = by_time.chain(again).chain(room).chain(total).chain(gone).chain(self.look_for_folder);
        let next = next.chain(self.folder.next_look()).min();
        let pause = next.map(|at| at.saturating_duration_since(Instant::now()));
        let pause = pause.and_then(|pause| Timespec::try_from(pause).ok());
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN), PollFd::new(&*self.wake, PollFlags::IN)];
        // An interruption does no harm.
        let _ = rustix::event::poll(&mut fds, pause.as_ref());
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
    }

    /// Looks at once at what has been quiet, or has come or gone.
    fn notice(&mut self) {
        let (logs, waiting) = (&mut self.logs, &mut self.waiting);
        let now = Instant::now();
        let (folder_watch, look_for_folder) = (&mut self.folder_watch, &mut self.look_for_folder);
        drain(&self.inotify, |event| {
            // Some have been thrown away: it may be anything.
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                logs.values_mut().for_each(|kept| kept.next_look = Some(now));
                waiting.values_mut().for_each(|waiting| waiting.again = now);
                return;
            }
            if *folder_watch == Some(event.wd()) {
                if event.events().contains(ReadFlags::IGNORED) {
                    *folder_watch = None;
                }
                if event.events().contains(ReadFlags::DELETE) {
                    *look_for_folder = Some(now + LOOK_FOR_FOLDER);
                }
                let Some(name) = event.file_name().and_then(log_of) else { return };
                if let Some(kept) = logs.get_mut(name) {
                    kept.next_look = Some(now);
                } else if let Some(waiting) = waiting.get_mut(name) {
                    waiting.again = now;
                }
                return;
            }
            // A watch is for one event; what it says of its own end comes later, and is of nobody's.
            for kept in logs.values_mut().filter(|kept| kept.watch == Some(event.wd())) {
                kept.watch = None;
                kept.next_look = Some(now);
            }
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path.join(format!("{name}.log"))
    }
}

impl Folder {
    /// Bytes that we may use; `None` where it cannot be asked.
    fn room(&self) -> Option<u64> {
        cut::room_in(&self.path).ok()
    }

    fn next_look(&self) -> Option<Instant> {
        match (self.is_full, self.to_look) {
            (true, _) => Some(self.looked + LOOK_AT_FULL_FOLDER),
            (false, true) => Some(self.looked + LOOK_AT_FOLDER),
            (false, false) => None,
        }
    }

    fn look(&mut self, now: Instant, tell: &mut dyn FnMut(Notice)) {
        if self.next_look().is_none_or(|at| at > now) {
            return;
        }
        (self.looked, self.to_look) = (now, false);
        let Some(room) = self.room() else { return };
        match self.is_full {
            false if room < NOTHING => tell(Notice::FolderFull),
            true if room >= LITTLE => tell(Notice::FolderFreed),
            _ => return,
        }
        self.is_full = !self.is_full;
    }
}

/// A log that has been quiet: the next write wakes us, once. What was written before the watch was there is
/// seen by one more look. Where it is armed already this changes nothing, unless its file is another one.
fn arm(inotify: &OwnedFd, kept: &mut Kept) {
    let what = WatchFlags::MODIFY | WatchFlags::ONESHOT;
    let watch = rustix::fs::inotify::add_watch(inotify, kept.log.path(), what);
    let before = std::mem::replace(&mut kept.watch, watch.ok());
    if before != kept.watch {
        disarm(inotify, before);
    }
    match watch {
        Ok(_) => kept.next_look = kept.has_grown().then(Instant::now),
        // The folder says when it is made.
        Err(Errno::NOENT) => kept.next_look = None,
        // No watches left: by time, then.
        Err(_) => {}
    }
}

fn disarm(inotify: &OwnedFd, watch: Option<i32>) {
    if let Some(watch) = watch {
        // One that has fired has gone by itself.
        let _ = rustix::fs::inotify::remove_watch(inotify, watch);
    }
}

/// Removes the oldest archive if there is hardly any room on the disk beside what the component may fill before it is
/// looked at again. It may take several looks.
fn give_room(folder: &Folder, kept: &mut Kept, tell: &mut dyn FnMut(Notice)) {
    let wanted = LITTLE.saturating_add(kept.ahead());
    if folder.room().is_some_and(|room| room >= wanted) {
        return;
    }
    if let Ok(Some(bytes)) = kept.log.drop_oldest() {
        tell(Notice::Dropped { name: kept.name.clone(), bytes, why: Shortage::Disk });
    }
}

/// What tells a folder from another of its path; `None` where there is none.
fn id(folder: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(folder).ok().map(|data| (data.dev(), data.ino()))
}

fn watch_folder(inotify: &OwnedFd, folder: &Path) -> io::Result<i32> {
    let what = WatchFlags::CREATE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO | WatchFlags::DELETE;
    Ok(rustix::fs::inotify::add_watch(inotify, folder, what)?)
}

/// The log whose live file has this name.
fn log_of(file: &CStr) -> Option<&str> {
    file.to_str().ok()?.strip_suffix(".log")
}
