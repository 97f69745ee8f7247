//! Chance that can be had again.

use std::time::Duration;

use crate::since_boot;

/// xorshift64*: the same numbers for the same seed, on every machine.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Of a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        dice.below(2);
        dice
    }

    /// The seed of a test: `VITALD_SEED`, or another one each time. Say which it is.
    pub fn seed() -> u64 {
        let given = std::env::var("VITALD_SEED").ok();
        given.map_or_else(since_boot, |seed| seed.parse().expect("VITALD_SEED is a number"))
    }

    /// Independent of this one, for another thread.
    pub fn another(&self, number: u64) -> Self {
        Self::new(self.0 ^ (number + 1).wrapping_mul(0xD134_2543_DE82_EF95))
    }

    /// A number less than this.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    /// So many milliseconds, or more, but less than `to`.
    pub fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    /// One of several.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap_or(0)]
    }
}
