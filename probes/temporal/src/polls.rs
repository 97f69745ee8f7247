//! When each worker polled last, for as long as a run lives.
//!
//! The server says so by its own clock, which may go wrong or differ from ours. So an age that follows from
//! it is kept within what was seen here: an entry that has not changed for a while is at least so old, and
//! one that has changed since the last look is younger than that look.
//!
//! A server that was started again knows nobody. What it said before is remembered, and grows old.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use crate::frontend::{Poller, QueueType};

/// The present, by both clocks.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) steady: Instant,
    pub(crate) wall: SystemTime,
}

/// Every poll that the server has told of.
#[derive(Default)]
pub(crate) struct Polls(HashMap<(QueueType, String), Sighting>);

struct Sighting {
    /// By the server's clock.
    polled: SystemTime,
    first_seen: Instant,
    last_seen: Instant,
    /// The last look at which the server told of an earlier poll.
    not_before: Option<Instant>,
}

/// No entry of the server's is kept longer than minutes after its last poll.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

impl Polls {
    /// Takes in what the server says of one queue.
    pub(crate) fn note(&mut self, queue: QueueType, pollers: &[Poller], now: Now) {
        for poller in pollers {
            let fresh = |not_before| Sighting {
                polled: poller.polled,
                first_seen: now.steady,
                last_seen: now.steady,
                not_before,
            };
            let key = (queue, poller.identity.clone());
            let known = self.0.entry(key).or_insert_with(|| fresh(None));
            if known.polled == poller.polled {
                known.last_seen = now.steady;
            } else {
                *known = fresh(Some(known.last_seen));
            }
        }
        self.0.retain(|_, known| now.steady.duration_since(known.last_seen) < FORGOTTEN_AFTER);
    }

    /// Who has polled, and how long ago, the latest first.
    pub(crate) fn ages(&self, queue: QueueType, now: Now) -> Vec<(&str, Duration)> {
        let ours = self.0.iter().filter(|((of, _), _)| *of == queue);
        let mut ages: Vec<_> = ours.map(|((_, identity), known)| (&**identity, known.age(now))).collect();
        ages.sort_by_key(|(identity, age)| (*age, *identity));
        ages
    }
}

impl Sighting {
    fn age(&self, now: Now) -> Duration {
        let told = now.wall.duration_since(self.polled).unwrap_or_default();
        let at_least = now.steady.duration_since(self.first_seen);
        let at_most = self.not_before.map_or(Duration::MAX, |look| now.steady.duration_since(look));
        told.clamp(at_least, at_most.max(at_least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: QueueType = QueueType::Workflow;

    /// Looks at one poller, every ten seconds, by a server whose clock is off; the last age in seconds.
    fn look(server_is_ahead_by: i64, polled_at: &[u64]) -> u64 {
        let (steady, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
        let mut polls = Polls::default();
        let mut now = Now { steady, wall };
        for (index, at) in (0..).zip(polled_at) {
            let elapsed = Duration::from_secs(10 * index);
            now = Now { steady: steady + elapsed, wall: wall + elapsed };
            let polled = (wall + Duration::from_secs(*at) - Duration::from_secs(100_000))
                + Duration::from_secs(100_000_u64.saturating_add_signed(server_is_ahead_by));
            polls.note(QUEUE, &[Poller { identity: "1@a".to_owned(), polled }], now);
        }
        assert_eq!(polls.ages(QueueType::Activity, now), []);
        polls.ages(QUEUE, now)[0].1.as_secs()
    }

    #[test]
    fn clocks_that_agree_are_believed() {
        assert_eq!(look(0, &[0, 0, 0]), 20);
        assert_eq!(look(0, &[0, 0, 15]), 5);
    }

    #[test]
    fn a_server_that_is_behind_makes_no_poll_old() {
        // Nothing else is known at first; a change tells more.
        assert_eq!(look(-300, &[0]), 300);
        assert_eq!(look(-300, &[0, 5]), 10);
        assert_eq!(look(-300, &[0, 5, 5, 5]), 30);
    }

    #[test]
    fn a_server_that_is_ahead_keeps_no_poll_young() {
        assert_eq!(look(300, &[0]), 0);
        assert_eq!(look(300, &[0, 0, 0, 0]), 30);
        assert_eq!(look(300, &[0, 0, 0, 25]), 0);
    }

    #[test]
    fn what_the_server_has_forgotten_is_remembered_for_a_while() {
        let mut polls = Polls::default();
        let mut now = Now { steady: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        polls.note(QUEUE, &[Poller { identity: "1@a".to_owned(), polled: now.wall }], now);
        for seconds in [70, FORGOTTEN_AFTER.as_secs()] {
            now.steady += Duration::from_secs(seconds);
            now.wall += Duration::from_secs(seconds);
            polls.note(QUEUE, &[], now);
            let ages: Vec<_> = polls.ages(QUEUE, now).iter().map(|(_, age)| age.as_secs()).collect();
            assert_eq!(ages, if seconds == 70 { vec![70] } else { vec![] });
        }
    }
}
