//! How long a log has been silent.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};
use vitald_core::restarter::ProcessIdentity;

/// Checks that come later than this beyond twice their usual distance were held up.
const SLACK: Duration = Duration::from_secs(1);

/// Where a run begins.
#[derive(Debug, Clone)]
pub(crate) struct RunStart {
    /// In the component's own log.
    pub(crate) offset: u64,
    /// Its main process.
    pub(crate) process: ProcessIdentity,
}

/// The time since something was last written, as far as somebody could have seen it written.
#[derive(Debug)]
pub(crate) struct Silence {
    since: Duration,
    looked: Duration,
    /// The shortest time between two looks.
    usual: Option<Duration>,
}

impl Silence {
    /// Looks for the first time, `now`; what was last written is of an age.
    pub(crate) fn begin(now: Duration, age: Duration) -> Self {
        Self { since: now.saturating_sub(age), looked: now, usual: None }
    }

    /// Looks again.
    pub(crate) fn look(&mut self, now: Duration, has_grown: bool) {
        let distance = now.saturating_sub(self.looked);
        if let Some(usual) = self.usual {
            // Nobody looked, and nothing may have run: the machine was stopped, or too busy.
            self.since += distance.saturating_sub(usual * 2 + SLACK);
        }
        self.usual = Some(self.usual.map_or(distance, |usual| usual.min(distance)));
        self.looked = now;
        if has_grown {
            self.since = now;
        }
    }

    pub(crate) fn length(&self) -> Duration {
        self.looked.saturating_sub(self.since)
    }
}

impl RunStart {
    /// How long ago the run began, the machine's sleep included. `None` if that is not known.
    pub(crate) fn age(&self) -> Option<Duration> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        if boot_id.trim() != self.process.boot_id || self.process.start_time == 0 {
            return None;
        }
        let start = self.process.start_time.saturating_mul(1000) / clock_ticks_per_second().max(1);
        Some(time_of(ClockId::Boottime).saturating_sub(Duration::from_millis(start)))
    }
}

/// Time since boot, without the machine's sleep: nobody writes then.
pub(crate) fn awake() -> Duration {
    time_of(ClockId::Monotonic)
}

/// How much of an age was certainly not slept through.
pub(crate) fn without_sleep(age: Duration) -> Duration {
    age.saturating_sub(time_of(ClockId::Boottime).saturating_sub(awake()))
}

/// How long ago a file's time was; 0 if it lies ahead.
pub(crate) fn age_of(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

fn time_of(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn silence_is_counted_from_the_last_byte() {
        let mut silence = Silence::begin(at(100), at(7));
        assert_eq!(silence.length(), at(7));
        for (now, grown, length) in [(110, false, 17), (120, true, 0), (130, false, 10), (140, false, 20)] {
            silence.look(at(now), grown);
            assert_eq!(silence.length(), at(length), "at {now}");
        }
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let mut silence = Silence::begin(at(100), at(0));
        silence.look(at(110), false);
        silence.look(at(3710), false);
        assert_eq!(silence.length(), at(10 + 21), "an hour without a look is two rounds and a second");
        silence.look(at(3720), false);
        assert_eq!(silence.length(), at(41));
        silence.look(at(9999), true);
        assert_eq!(silence.length(), at(0));
    }

    #[test]
    fn a_process_of_another_boot_has_no_age() {
        let process = ProcessIdentity { pid: 1, start_time: 5, boot_id: "another".into() };
        assert_eq!(RunStart { offset: 0, process }.age(), None);
    }
}
