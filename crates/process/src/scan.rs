//! All processes at one time, read once for all who ask for them meanwhile.
//!
//! With hundreds of components, each with looks of its own, reading `/proc` for each look would take as long
//! as all of them together have processes, for each of them.

use std::io;
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::procfs::{self, Stat};
use crate::turn;

/// From so many on who share a scan, the next one waits as long as that one took, so that many share it and
/// half of a processor stays free.
const CROWD: u32 = 8;
const MOST_PAUSE: Duration = Duration::from_millis(100);
/// How the entries of an environment begin that are kept.
const OURS: &[u8] = b"VITALD_";

static STATE: Mutex<State> =
    Mutex::new(State { is_running: false, begun: 0, askers: 0, last: None, pause: Duration::ZERO });
static DONE: Condvar = Condvar::new();

struct State {
    is_running: bool,
    /// The number of the scan that began last.
    begun: u64,
    /// Who waits for the one after that.
    askers: u32,
    last: Option<Done>,
    /// How long the next one is to wait after the last.
    pause: Duration,
}

struct Done {
    number: u64,
    at: Instant,
    outcome: Result<Arc<Scan>, (io::ErrorKind, Option<i32>)>,
}

/// All processes, as they were at one time.
pub(crate) struct Scan {
    /// By pid.
    pub(crate) all: Vec<Arc<Seen>>,
}

/// A process, as it was at a time.
pub(crate) struct Seen {
    stat: Stat,
    traces: Arc<OnceLock<Traces>>,
}

/// What of us is in the environment of a process.
struct Traces {
    entries: Vec<Vec<u8>>,
    /// Whether there was an environment to be read.
    has_any: bool,
}

impl Scan {
    /// One that begins after this was called. Blocks; whoever has a [turn](turn::wait) may not call it.
    pub(crate) fn from_now() -> io::Result<Arc<Self>> {
        let mut state = state();
        // One that runs may have passed by already what the caller wants to see.
        let wanted = state.begun + 1;
        state.askers += 1;
        loop {
            if let Some(done) = state.last.as_ref().filter(|done| done.number >= wanted) {
                return done.outcome.clone().map_err(|(kind, number)| {
                    number.map_or_else(|| kind.into(), io::Error::from_raw_os_error)
                });
            }
            if !state.is_running {
                state.is_running = true;
                drop(state);
                run(Running);
                state = self::state();
            } else {
                state = DONE.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn new(previous: Option<&Self>) -> io::Result<Self> {
        let mut all: Vec<Arc<Seen>> = Vec::new();
        procfs::each_process(|stat| {
            let before = previous.and_then(|scan| scan.find(stat.pid));
            all.push(Arc::new(Seen::again(stat, before)));
        })?;
        all.sort_by_key(|p| p.pid);
        Ok(Self { all })
    }

    pub(crate) fn find(&self, pid: i32) -> Option<&Arc<Seen>> {
        self.all.binary_search_by_key(&pid, |p| p.pid).ok().and_then(|at| self.all.get(at))
    }
}

/// That a scan is under way, or about to be.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        state().is_running = false;
        DONE.notify_all();
    }
}

fn run(running: Running) {
    let pause = {
        let state = state();
        state.last.as_ref().map_or(Duration::ZERO, |last| state.pause.saturating_sub(last.at.elapsed()))
    };
    thread::sleep(pause);
    let turn = turn::wait();
    let (number, askers, previous) = {
        let mut state = state();
        state.begun += 1;
        let previous = state.last.as_ref().and_then(|last| last.outcome.clone().ok());
        (state.begun, std::mem::take(&mut state.askers), previous)
    };
    let began = Instant::now();
    let outcome = Scan::new(previous.as_deref()).map(Arc::new);
    drop(turn);
    let outcome = outcome.map_err(|err| (err.kind(), err.raw_os_error()));
    let at = Instant::now();
    let mut state = state();
    state.pause = if askers < CROWD { Duration::ZERO } else { (at - began).min(MOST_PAUSE) };
    state.last = Some(Done { number, at, outcome });
    drop(state);
    drop(running);
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    pub(crate) fn new(stat: Stat) -> Self {
        Self { stat, traces: Arc::default() }
    }

    /// What was in its environment is still there, if it is the same process with the same program: an execve(2)
    /// puts all that is in its memory elsewhere.
    fn again(stat: Stat, before: Option<&Arc<Self>>) -> Self {
        let is_known = |before: &&Arc<Self>| {
            before.start_time == stat.start_time
                && before.memory == stat.memory
                && stat.memory.iter().all(|address| *address != 0)
                && before.traces.get().is_some_and(|traces| traces.has_any)
        };
        match before.filter(is_known) {
            Some(before) => Self { stat, traces: Arc::clone(&before.traces) },
            None => Self::new(stat),
        }
    }

    fn traces(&self) -> &Traces {
        self.traces.get_or_init(|| {
            let environment = procfs::environment(self.pid);
            let entries = environment.split(|b| *b == 0).filter(|entry| entry.starts_with(OURS));
            Traces { entries: entries.map(<[u8]>::to_vec).collect(), has_any: !environment.is_empty() }
        })
    }

    /// Whether its environment has all of these entries (`VITALD_…=value`). False where it may not be read.
    pub(crate) fn carries(&self, mark: &[String]) -> bool {
        let entries = &self.traces().entries;
        mark.iter().all(|wanted| entries.iter().any(|entry| entry == wanted.as_bytes()))
    }

    /// What a variable (`VITALD_…`) is in its environment. `None` where that may not be read.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        procfs::value_in(self.traces().entries.iter().map(Vec::as_slice), name)
    }
}

impl Deref for Seen {
    type Target = Stat;

    fn deref(&self) -> &Stat {
        &self.stat
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn who_asks_sees_what_was_there_before() {
        let askers: Vec<_> = (0..40)
            .map(|_| {
                thread::spawn(|| {
                    for _ in 0..3 {
                        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
                        let pid = child.id().cast_signed();
                        let is_there = |scan: &Scan| scan.find(pid).is_some_and(|p| !p.is_dead());
                        assert!(is_there(&Scan::from_now().unwrap()));
                        child.kill().unwrap();
                        child.wait().unwrap();
                        assert!(!is_there(&Scan::from_now().unwrap()));
                    }
                })
            })
            .collect();
        for asker in askers {
            asker.join().unwrap();
        }
    }

    #[test]
    fn all_who_wait_share_one() {
        let turns: Vec<_> = (0..turn::most()).map(|_| turn::wait()).collect();
        let before = state().begun;
        let askers: Vec<_> = (0..50).map(|_| thread::spawn(|| Scan::from_now().unwrap())).collect();
        let deadline = Instant::now() + Duration::from_secs(10);
        while state().askers < 50 {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(1));
        }
        drop(turns);
        let mut scans: Vec<_> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
        scans.sort_by_key(Arc::as_ptr);
        scans.dedup_by(|one, other| Arc::ptr_eq(one, other));
        assert!(scans.len() < 5, "{}", scans.len());
        assert!(state().begun > before);
    }

    #[test]
    fn an_environment_is_read_anew_after_an_exec() {
        let mark = |value: &str| [format!("VITALD_TEST={value}")];
        let script = "read go; VITALD_TEST=two; export VITALD_TEST; exec sh -c 'echo; read go'";
        let mut child = Command::new("sh");
        let child = child.args(["-c", script]).env("VITALD_TEST", "one").process_group(0);
        let (stdin, stdout) = (std::process::Stdio::piped(), std::process::Stdio::piped());
        let mut child = child.stdin(stdin).stdout(stdout).spawn().unwrap();
        let pid = child.id().cast_signed();
        let carries = |value: &str| Scan::from_now().unwrap().find(pid).unwrap().carries(&mark(value));
        assert!(carries("one") && carries("one") && !carries("two"));
        let mut stdin = child.stdin.take().unwrap();
        io::Write::write_all(&mut stdin, b"go\n").unwrap();
        let mut told = [0];
        io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut told).unwrap();
        assert!(carries("two") && !carries("one"));
        drop(stdin);
        child.wait().unwrap();
    }
}
