//! `cargo xtask simulate`: simulates the days of many seeds, or shows that of one.

// What it finds is for the person at the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use vitald_sim::{Failure, Plan, Tally};

/// How many broken days are shown before it stops.
const MOST: usize = 3;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (mut seeds, mut from, mut seed, mut brief) = (10_000, 0, None, false);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|number| number.parse::<u64>().ok());
        let known = match word.as_str() {
            "--seeds" => number().map(|number| seeds = number),
            "--from" => number().map(|number| from = number),
            "--seed" => number().map(|number| seed = Some(number)),
            // For programs: one line, the seed of the first broken day.
            "--brief" => {
                brief = true;
                Some(())
            }
            _ => None,
        };
        if known.is_none() {
            eprintln!("usage: vitald-sim [--seeds N] [--from SEED] [--seed SEED] [--brief]");
            return ExitCode::from(2);
        }
    }
    // A panic is a broken rule like others, and told as such.
    std::panic::set_hook(Box::new(|_| {}));
    match seed {
        Some(seed) => one(seed),
        None if brief => first_broken(from, seeds),
        None => many(from, seeds),
    }
}

fn one(seed: u64) -> ExitCode {
    match vitald_sim::simulate(seed) {
        Ok(tally) => {
            for line in vitald_sim::timeline(&Plan::new(seed)) {
                println!("{line}");
            }
            summary(&tally);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            tell(&failure);
            ExitCode::FAILURE
        }
    }
}

fn first_broken(from: u64, seeds: u64) -> ExitCode {
    for nth in 0..seeds {
        if let (Some(fault), _) = vitald_sim::live(&Plan::new(from.wrapping_add(nth))) {
            println!("{} {}: {}", nth + 1, fault.rule, fault.what);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn many(from: u64, seeds: u64) -> ExitCode {
    let begun = Instant::now();
    let told = AtomicU64::new(0);
    let report = vitald_sim::run(from, seeds, MOST, |days, tally| {
        let seconds = begun.elapsed().as_secs();
        if seconds / 10 > told.fetch_max(seconds / 10, Ordering::Relaxed) {
            println!(
                "{days} of {seeds} days, {} runs, {} restarts, {} deaths of the supervisor, {} adoptions",
                tally.runs, tally.restarts, tally.deaths, tally.adopted
            );
        }
    });
    for failure in &report.failures {
        tell(failure);
    }
    summary(&report.tally);
    let rate = report.tally.days as f64 / report.took.as_secs_f64();
    println!("{:.0} s, {rate:.0} days a second, {} broken", report.took.as_secs_f64(), report.failures.len());
    if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(failure: &Failure) {
    println!("seed {} breaks \"{}\": {}", failure.seed, failure.fault.rule, failure.fault.what);
    println!("replay: cargo xtask simulate --seed {}", failure.seed);
    for line in &failure.timeline {
        println!("    {line}");
    }
}

fn summary(tally: &Tally) {
    let named: Vec<String> =
        tally.all().into_iter().map(|(name, n)| format!("{}: {n}", name.replace('_', " "))).collect();
    for line in named.chunks(5) {
        println!("{}", line.join(", "));
    }
}
