//! The harness of the end-to-end tests: a real `vitald` in a folder of its own, asked and told only what
//! a user could, plus servers and proxies on the test's side.
//!
//! ```no_run
//! # use vitald_tests::{seconds, Supervisor};
//! let s = Supervisor::run("
//!     metadata: {name: sleeper}
//!     spec: {command: [vitald-fixture, sleep]}
//! ");
//! let pid = s.wait_ready("sleeper").pid();
//! pid.kill();
//! s.wait_for("sleeper", "a second run", seconds(5), |c| c.restart_count == 1 && c.ready);
//! ```
//!
//! Dropping a [`Supervisor`] stops everything, and fails the test if anything is left.

// A harness fails by panicking; that is how a test hears of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod dice;
mod disk;
mod engine;
mod log_files;
mod namespace;
mod net;
mod numbered;
mod ordinary;
mod place;
mod process;
mod program;
mod status;
mod stranger;
mod supervisor;
mod trace;

pub use dice::Dice;
pub use disk::{Disk, Kind};
pub use engine::{Engine, IMAGE};
pub use namespace::{Namespace, skip};
pub use net::{Counter, Stub, counting_proxy, free_port, http};
pub use numbered::{Numbered, assert_numbered, assert_part, odd_line};
pub use place::Place;
pub use process::Pid;
pub use program::{Output, Running, program};
pub use status::{Component, Event, LastExit, Probe, Status};
pub use stranger::{Stranger, cargo, repository};
pub use supervisor::Supervisor;
pub use trace::{Mark, Traces, since_boot};

use std::time::{Duration, Instant};

/// A span of so many seconds.
pub fn seconds(seconds: impl Into<f64>) -> Duration {
    Duration::from_secs_f64(seconds.into())
}

/// Polls until `ask` answers, and panics with `what` and the last words of `seen` when it takes too long.
pub fn eventually<T>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> Option<T>,
    seen: impl FnOnce() -> String,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        if begun.elapsed() > within {
            panic!("waited {:.1} s in vain for {what}\n{}", begun.elapsed().as_secs_f64(), seen());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
