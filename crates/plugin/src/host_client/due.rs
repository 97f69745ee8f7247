//! When the process of a library must have done something, on a machine that may be slow itself.

use std::time::Duration;

use tokio::time::Instant;

/// A timer that fires this much too late says that this machine, not the library, was slow.
const STARVED: Duration = Duration::from_millis(250);
/// How often that is forgiven.
const FORGIVEN: u8 = 3;

/// When something must have come about.
#[derive(Clone, Copy)]
pub(super) struct Due {
    at: Instant,
    limit: Duration,
    forgiven: u8,
}

impl Due {
    pub(super) fn within(limit: Duration, now: Instant) -> Self {
        Self { at: now + limit, limit, forgiven: 0 }
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Whether it is over. Where our own timer fired late, it is given another time, a few times.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        if now < self.at {
            return false;
        }
        if now - self.at > STARVED && self.forgiven < FORGIVEN {
            *self = Self { at: now + self.limit, forgiven: self.forgiven + 1, ..*self };
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_late_because_this_machine_was_is_forgiven_a_few_times() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut due = Due::within(SECOND, start);
        assert!(!due.is_over(after(999)));
        assert!(due.is_over(after(1001)));

        // It was looked at much later than it should have been, again and again.
        let mut due = Due::within(SECOND, start);
        assert!(!due.is_over(after(60_000)));
        assert!(!due.is_over(after(60_900)));
        assert!(due.is_over(after(61_001)));
        let mut due = Due::within(SECOND, start);
        let forgiven = (1..=10).take_while(|minutes| !due.is_over(after(minutes * 60_000))).count();
        assert_eq!(forgiven, 3);
    }
}
