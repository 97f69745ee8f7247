//! What the kernel's own log tells of a container's memory.
//!
//! The engine's word of it can get lost: it begins to watch the memory of a container after it has started it, and
//! stops when it is gone.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The kernel's log, a record a read. Only root may read it on most machines.
const LOG: &str = "/dev/kmsg";

/// No record is longer.
const LONGEST: usize = 8192;

/// Most records that are looked at; no log holds as many at a time.
const MOST: u32 = 1 << 17;

/// The pid namespace in whose numbers the kernel's log counts: `PROC_PID_INIT_INO` of linux/proc_ns.h.
const INITIAL_PIDS: &str = "pid:[4026531836]";

/// By how much the age of a record is overrated at most: by so much, and by a ten thousandth of the time since the
/// machine began, as nobody sets the clock right by which the log is written.
const AGE_SLACK: Duration = Duration::from_secs(10);
const CLOCK_DRIFT: u32 = 10_000;

/// A process whose end is asked for.
pub(crate) struct Killed {
    /// Of its container.
    pub(crate) container: String,
    /// Any of the container if `None`.
    pub(crate) pid: Option<i64>,
    /// How long ago it was started; `None` if that is not known.
    pub(crate) age: Option<Duration>,
}

impl Killed {
    /// Whether the kernel is known to have killed it for memory. `false` also where it does not tell us. Takes
    /// milliseconds.
    pub(crate) fn for_memory(&self) -> bool {
        let Ok(mut log) = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(LOG) else {
            return false;
        };
        let mut reading = Reading::of(self, uptime());
        let mut record = vec![0; LONGEST];
        for _ in 0..MOST {
            match log.read(&mut record) {
                Ok(0) => return false,
                Ok(length) if reading.finds_it_in(&String::from_utf8_lossy(&record[..length])) => {
                    return true;
                }
                Ok(_) => {}
                // What was to be read has been overwritten meanwhile, or a signal came; the next can be read.
                Err(err) if matches!(err.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
                // The end.
                Err(_) => return false,
            }
        }
        false
    }
}

/// What has been read of the log so far.
///
/// Of whom the kernel kills it tells the container and then the number; where it kills more than ten within five
/// seconds, of the others the number alone: `oom_kill_process` in mm/oom_kill.c.
struct Reading<'a> {
    killed: &'a Killed,
    /// From when on a number alone may be that of the process, by the log's clock: an earlier one may have had the
    /// same. `None` if that is not known.
    since: Option<Duration>,
    /// The number that was told with its container last.
    named: Option<i64>,
}

impl<'a> Reading<'a> {
    /// Now being by about the log's clock.
    fn of(killed: &'a Killed, now: Duration) -> Self {
        let slack = AGE_SLACK + now / CLOCK_DRIFT;
        let since = killed.age.map(|age| now.saturating_sub(age.saturating_add(slack)));
        Self { killed, since: since.filter(|_| killed.pid.is_none() || counts_our_pids()), named: None }
    }

    fn finds_it_in(&mut self, record: &str) -> bool {
        match record.split_once("oom-kill:") {
            Some((_, summary)) => self.is_named_in(summary),
            None => self.is_counted_in(record).unwrap_or_default(),
        }
    }

    /// A container's cgroup bears its id, whoever made it.
    fn is_named_in(&mut self, summary: &str) -> bool {
        let field =
            |name: &str| summary.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let container = self.killed.container.as_str();
        let of_it =
            field("task_memcg").is_some_and(|cgroup| !container.is_empty() && cgroup.contains(container));
        self.named = field("pid").and_then(|pid| pid.parse().ok());
        of_it && (self.killed.pid.is_none() || self.named == self.killed.pid)
    }

    /// `None` if the record is about something else.
    fn is_counted_in(&self, record: &str) -> Option<bool> {
        let (header, message) = record.split_once(';')?;
        let (_, rest) = message.split_once("ut of memory: Killed process ")?;
        let pid: i64 = rest.split_once(' ')?.0.parse().ok()?;
        let told_at = Duration::from_micros(header.split(',').nth(2)?.parse().ok()?);
        let is_unnamed = self.named != Some(pid);
        Some(is_unnamed && told_at >= self.since? && self.killed.pid.is_none_or(|ours| ours == pid))
    }
}

/// Whether a process has the number for us by which the kernel's log calls it.
fn counts_our_pids() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|pids| pids == Path::new(INITIAL_PIDS))
}

/// By about the clock of the kernel's log.
fn uptime() -> Duration {
    clock_gettime(ClockId::Monotonic).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed(pid: Option<i64>, age: Option<Duration>) -> Killed {
        Killed { container: "c0ffee".into(), pid, age }
    }

    fn tells(records: &[&str], killed: &Killed, since: Option<Duration>) -> bool {
        let mut reading = Reading { killed, since, named: None };
        records.iter().any(|record| reading.finds_it_in(record))
    }

    #[test]
    fn the_process_of_the_container_is_told_from_all_others() {
        let tells = |record, container: &str, pid| {
            tells(&[record], &Killed { container: container.into(), ..killed(pid, None) }, None)
        };
        let record = "6,1202,48210630536,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c0ffee,\
                      mems_allowed=0,oom_memcg=/docker/c0ffee,task_memcg=/docker/c0ffee,task=tail,pid=18016,uid=0\n";
        assert!(tells(record, "c0ffee", Some(18016)));
        assert!(tells(record, "c0ffee", None));
        assert!(!tells(record, "c0ffee", Some(1801)), "a child of it");
        assert!(!tells(record, "decaf0", Some(18016)), "another container");
        assert!(!tells(record, "", None));
        let scope = "6,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=x,mems_allowed=0,global_oom,\
                     task_memcg=/system.slice/docker-c0ffee.scope,task=java,pid=7,uid=0\n";
        assert!(tells(scope, "c0ffee", Some(7)));
        let other = "4,1,2,-;eth0: link of c0ffee is up, pid=7\n";
        assert!(!tells(other, "c0ffee", Some(7)));
    }

    #[test]
    fn one_of_many_is_told_by_its_number_and_its_time() {
        let counted = "3,1203,5000000,-;Memory cgroup out of memory: Killed process 29581 (busybox) \
                       total-vm:526556kB, anon-rss:5632kB, file-rss:1168kB, shmem-rss:0kB, UID:0\n";
        let at = |micros| Some(Duration::from_micros(micros));
        assert!(tells(&[counted], &killed(Some(29581), None), at(5_000_000)));
        assert!(
            !tells(&[counted], &killed(Some(29581), None), at(5_000_001)),
            "an earlier process of that number"
        );
        assert!(!tells(&[counted], &killed(Some(2958), None), at(0)), "another process");
        assert!(!tells(&[counted], &killed(Some(29581), None), None), "at no known time");
        assert!(tells(&[counted], &killed(None, None), at(5_000_000)), "one that nobody had time to look at");

        let other = "6,1202,4999999,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=decaf0,\
                     mems_allowed=0,oom_memcg=/docker/decaf0,task_memcg=/docker/decaf0,task=busybox,pid=29581,uid=0\n";
        for pid in [None, Some(29581)] {
            assert!(!tells(&[other, counted], &killed(pid, None), at(0)), "another container");
        }
        let machine = "3,1,9,-;Out of memory: Killed process 7 (java) total-vm:1kB\n";
        assert!(tells(&[other, counted, machine], &killed(Some(7), None), at(0)));
    }

    #[test]
    fn what_was_told_before_it_began_is_of_another() {
        let since = |age| Reading::of(&killed(None, age), Duration::from_secs(1_000_000)).since;
        assert_eq!(since(None), None);
        assert_eq!(since(Some(Duration::MAX)), Some(Duration::ZERO));
        // Ten seconds, and what clocks may part in eleven days.
        assert_eq!(since(Some(Duration::from_secs(40))), Some(Duration::from_secs(999_850)));
    }
}
