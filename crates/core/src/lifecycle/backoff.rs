//! How long to wait before a restart.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Delay number n is `min(initial * multiplier^(n-1), max)`: 1, 2, 4, 8, 16, 32, 60, 60 … seconds by
/// default, give or take the share `jitter`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    multiplier: f64,
    jitter: f64,
}

/// Why a [`Backoff`] was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum InvalidBackoff {
    /// The cap is below the first delay.
    #[error("must not be below initialSeconds ({} s)", initial.as_secs_f64())]
    MaxBelowInitial {
        /// The first delay.
        initial: Duration,
    },
    /// The delays would get shorter, or the number is none.
    #[error("must be at least 1")]
    Shrinking,
    /// Not a share.
    #[error("must be from 0 to 1")]
    JitterOutOfRange,
}

impl Backoff {
    /// Delays of `initial`, then `multiplier` times the last, never above `max`; `initial` may be zero.
    /// Each is moved by at most the share `jitter` of itself, and still not above `max`.
    ///
    /// # Errors
    /// `max` below `initial`, `multiplier` below 1, `jitter` not from 0 to 1.
    pub fn try_new(
        initial: Duration,
        max: Duration,
        multiplier: f64,
        jitter: f64,
    ) -> Result<Self, InvalidBackoff> {
        if max < initial {
            return Err(InvalidBackoff::MaxBelowInitial { initial });
        }
        if !(multiplier >= 1.0 && multiplier.is_finite()) {
            return Err(InvalidBackoff::Shrinking);
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(InvalidBackoff::JitterOutOfRange);
        }
        Ok(Self { initial, max, multiplier, jitter })
    }

    /// Delay number `n`, counted from 1. `chance`, from 0 to 1, says where in the jitter's range it lies;
    /// 0.5 is the middle.
    pub fn delay(&self, n: u32, chance: f64) -> Duration {
        if self.initial.is_zero() {
            return Duration::ZERO;
        }
        let exponent = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.initial.as_secs_f64() * self.multiplier.powi(exponent);
        let plain =
            if seconds < self.max.as_secs_f64() { Duration::from_secs_f64(seconds) } else { self.max };
        if self.jitter == 0.0 {
            return plain;
        }
        let factor = 1.0 + self.jitter * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        Duration::try_from_secs_f64(plain.as_secs_f64() * factor)
            .map_or(self.max, |delay| delay.min(self.max))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(60), multiplier: 2.0, jitter: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_by_default() {
        let backoff = Backoff::default();
        let delays: Vec<u64> = (1..=9).map(|n| backoff.delay(n, 0.5).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.delay(u32::MAX, 0.5), Duration::from_secs(60));
        let at_once = Backoff::try_new(Duration::ZERO, Duration::from_secs(60), 2.0, 0.5).unwrap();
        assert_eq!(at_once.delay(5000, 0.9), Duration::ZERO);
        let endless = Backoff::try_new(Duration::MAX, Duration::MAX, 2.0, 1.0).unwrap();
        assert_eq!(endless.delay(2, 1.0), Duration::MAX);
    }

    #[test]
    fn refuses_nonsense() {
        let second = Duration::from_secs(1);
        assert!(matches!(
            Backoff::try_new(second * 2, second, 2.0, 0.0),
            Err(InvalidBackoff::MaxBelowInitial { .. })
        ));
        assert_eq!(Backoff::try_new(second, second, 0.5, 0.0), Err(InvalidBackoff::Shrinking));
        assert_eq!(Backoff::try_new(second, second, f64::NAN, 0.0), Err(InvalidBackoff::Shrinking));
        assert_eq!(Backoff::try_new(second, second, 1.0, 1.5), Err(InvalidBackoff::JitterOutOfRange));
    }

    proptest! {
        #[test]
        fn stays_in_bounds_and_never_shrinks(
            initial in 0u64..100_000, more in 0u64..10_000_000, multiplier in 1.0f64..10.0, jitter in 0.0f64..1.0,
            n in 1u32..10_000, chance in 0.0f64..1.0,
        ) {
            let (initial, max) = (Duration::from_millis(initial), Duration::from_millis(initial + more));
            let plain = Backoff::try_new(initial, max, multiplier, 0.0).unwrap();
            prop_assert!(plain.delay(n, chance) >= initial && plain.delay(n, chance) <= max);
            prop_assert!(plain.delay(n + 1, chance) >= plain.delay(n, chance));
            let jittered = Backoff::try_new(initial, max, multiplier, jitter).unwrap();
            prop_assert!(jittered.delay(n, chance) <= max);
            let low = plain.delay(n, 0.5).mul_f64(1.0 - jitter).saturating_sub(Duration::from_micros(1));
            prop_assert!(jittered.delay(n, chance) >= low);
        }
    }
}
