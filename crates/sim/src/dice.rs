//! Randomness that hangs on what it is for, and not on what was drawn before.

/// A moment or a span of the simulated day.
pub(crate) type Nanos = u64;

/// A millisecond.
pub(crate) const MS: Nanos = 1_000_000;
/// A second.
pub(crate) const SEC: Nanos = 1_000 * MS;

/// A stream of numbers for one purpose, such as "the third answer of component 1's readiness probe in run
/// 7": leaving out one happening changes no other draw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x9e37_79b9_7f4a_7c15))
    }

    /// The dice of a purpose.
    pub(crate) fn of(self, purpose: &[u64]) -> Self {
        Self(purpose.iter().fold(self.0, |state, part| mix(state ^ mix(part.wrapping_add(1)))))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to `n`, which is left out.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n.max(1))) >> 64) as u64
    }

    /// From `low` to `high`, both included.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True this many times out of a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// A span between the two, each order of magnitude as likely as the others.
    pub(crate) fn span(&mut self, low: Nanos, high: Nanos) -> Nanos {
        let (low, high) = ((low.max(1) as f64).ln(), (high as f64).ln());
        let share = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((low + (high - low) * share).exp() as u64) / 1000 * 1000
    }
}

/// SplitMix64's finisher (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
