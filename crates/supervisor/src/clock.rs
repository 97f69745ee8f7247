//! The clocks of the real machine, behind a trait so that tests can have their own.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp as WallTime;
use vitald_core::time::Timestamp;

/// Where the supervisor gets its time from.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Time since boot.
    fn now(&self) -> Timestamp;

    /// The wall clock.
    fn wall(&self) -> WallTime;

    /// Names this boot of the machine; what was stored in another boot names no process.
    fn boot_id(&self) -> String;

    /// Waits until `at`, or a little longer.
    async fn sleep_until(&self, at: Timestamp);

    /// What the wall clock showed, or will show, at `at`.
    fn wall_at(&self, at: Timestamp) -> WallTime {
        let (now, wall) = (self.now(), self.wall());
        let earlier = jiff::SignedDuration::try_from(now.since(at)).unwrap_or_default();
        let later = jiff::SignedDuration::try_from(at.since(now)).unwrap_or_default();
        wall.checked_sub(earlier).and_then(|time| time.checked_add(later)).unwrap_or(wall)
    }
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn rfc3339(time: WallTime) -> String {
    format!("{time:.3}")
}

/// CLOCK_BOOTTIME and the system's wall clock (clock_gettime(2)).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Timers run on CLOCK_MONOTONIC, which stands still while the machine sleeps: look at least this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
        Timestamp::from_boot(seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default()))
    }

    fn wall(&self) -> WallTime {
        WallTime::now()
    }

    fn boot_id(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default()
    }

    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
        }
    }
}
