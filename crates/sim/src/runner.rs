//! Many days on all processors.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{Failure, Tally, simulate};

/// What came of many days.
#[derive(Debug, Default)]
pub struct Report {
    /// What happened in them.
    pub tally: Tally,
    /// The days that broke a rule, by seed.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
}

/// Simulates the days of `count` seeds from `from` on, on all processors, and stops after `most` failures.
/// Tells now and then how many are done.
pub fn run(from: u64, count: u64, most: usize, progress: impl Fn(u64, &Tally) + Sync) -> Report {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let shared = Mutex::new(Report::default());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(from, count, most, &next, &shared, &progress));
        }
    });
    let mut report = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.failures.sort_by_key(|failure| failure.seed);
    report.took = begun.elapsed();
    report
}

/// Days that a thread does at a time.
const BATCH: u64 = 200;

fn work(
    from: u64,
    count: u64,
    most: usize,
    next: &AtomicU64,
    shared: &Mutex<Report>,
    progress: &(impl Fn(u64, &Tally) + Sync),
) {
    loop {
        let batch = next.fetch_add(BATCH, Ordering::Relaxed);
        if batch >= count {
            return;
        }
        let mut tally = Tally::default();
        let mut failures = vec![];
        for nth in batch..(batch + BATCH).min(count) {
            match simulate(from.wrapping_add(nth)) {
                Ok(day) => tally.add(&day),
                Err(failure) => failures.push(*failure),
            }
            if failures.len() >= most {
                break;
            }
        }
        let mut report = shared.lock().unwrap_or_else(PoisonError::into_inner);
        report.tally.add(&tally);
        report.failures.extend(failures);
        progress(report.tally.days, &report.tally);
        if report.failures.len() >= most {
            next.store(count, Ordering::Relaxed);
        }
    }
}
