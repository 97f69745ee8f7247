//! How many restarts lie within the last so many seconds.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// A sliding window over the moments of automatic restarts.
#[derive(Debug, Clone)]
pub(crate) struct RestartWindow {
    max: u32,
    span: Duration,
    restarts: VecDeque<Timestamp>,
}

impl RestartWindow {
    pub(crate) fn new(max: u32, span: Duration, restarts: Vec<Timestamp>) -> Self {
        Self { max, span, restarts: restarts.into() }
    }

    /// Restarts in the window that ends at `at`, that moment included, its first moment not.
    pub(crate) fn count(&self, at: Timestamp) -> u32 {
        let inside = self.restarts.iter().filter(|restart| **restart + self.span > at).count();
        u32::try_from(inside).unwrap_or(u32::MAX)
    }

    /// Whether a restart at `at` would be one too many.
    pub(crate) fn is_full(&self, at: Timestamp) -> bool {
        self.count(at) >= self.max
    }

    /// Notes a restart; gives how many the window holds now.
    pub(crate) fn add(&mut self, at: Timestamp) -> u32 {
        self.restarts.retain(|restart| *restart + self.span > at);
        self.restarts.push_back(at);
        self.count(at)
    }

    /// The last restart is made at `at` instead; gives how many the window holds now.
    pub(crate) fn make_last_at(&mut self, at: Timestamp) -> u32 {
        self.restarts.pop_back();
        self.add(at)
    }

    pub(crate) fn clear(&mut self) {
        self.restarts.clear();
    }

    /// The moments, oldest first.
    pub(crate) fn restarts(&self) -> Vec<Timestamp> {
        self.restarts.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn a_restart_leaves_the_window_when_it_is_as_old_as_the_window_is_long() {
        let mut window = RestartWindow::new(1, Duration::from_secs(10), vec![]);
        assert_eq!(window.add(at(100)), 1);
        assert!(window.is_full(at(109)));
        assert!(!window.is_full(at(110)));
    }

    #[test]
    fn no_restart_at_all_is_allowed_where_the_limit_is_zero() {
        assert!(RestartWindow::new(0, Duration::from_secs(10), vec![]).is_full(at(1)));
    }

    proptest! {
        /// However restarts are asked for, no window of that length ever holds more than the limit.
        #[test]
        fn no_window_holds_too_many(gaps in prop::collection::vec(0u64..40, 1..80), max in 0u32..6, span in 1u64..60) {
            let mut window = RestartWindow::new(max, Duration::from_secs(span), vec![]);
            let (mut now, mut done) = (1000, vec![]);
            for gap in gaps {
                now += gap;
                if !window.is_full(at(now)) {
                    window.add(at(now));
                    done.push(now);
                }
            }
            for end in &done {
                let inside = done.iter().filter(|t| **t <= *end && **t + span > *end).count();
                prop_assert!(inside <= max as usize);
            }
        }
    }
}
