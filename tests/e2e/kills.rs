//! Fifty deaths of the supervisor at random moments, over thirty components under load and commands in
//! parallel: what was well goes on, nothing is doubled, nothing is left behind, every counter is right.
//!
//! The components judge: each keeps its own account. `VITALD_SEED` replays the moments of a failure.

// What is printed is shown when the test fails: the seed above all.
#![allow(clippy::print_stderr)]

mod cast;
mod judge;
mod storm;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vitald_tests::{Dice, Pid, Place, Supervisor, seconds, since_boot};

use cast::{BUSY, CALM};
use storm::Storm;

const KILLS: usize = 50;

#[test]
fn fifty_deaths_harm_nobody() {
    let seed = Dice::seed();
    eprintln!("VITALD_SEED={seed} replays the moments");
    let mut s = Supervisor::prepare(&cast::manifests());
    // Beside a test that fails, everything ends.
    let storm = Storm { over: AtomicBool::new(false), said: Mutex::default(), dir: s.path("") };
    storm::edit(&storm, &s);
    let up = s.up();
    assert!(matches!(up.code, 0 | 1), "{up:?}");
    for name in CALM {
        s.wait_for(name, "ready", seconds(60), |c| c.ready);
    }
    s.cli(&["stop", "halted"]).expect(0);

    let view: Place = s.clone();
    let mut dice = Dice::new(seed);
    thread::scope(|scope| {
        let _end = storm.ends_with_us();
        scope.spawn(|| judge::watch(&storm, &view));
        for (number, names) in BUSY.chunks(2).enumerate() {
            let dice = dice.another(number as u64);
            let (storm, view) = (&storm, &view);
            scope.spawn(move || storm::command(storm, view, names, dice));
        }
        let (changes, harms) = (dice.another(77), dice.another(88));
        scope.spawn(|| storm::change(&storm, &view, changes));
        scope.spawn(|| storm::harm(&storm, &view, harms));
        storm::kill(&storm, &mut s, &mut dice, KILLS);
    });
    storm.say(format!("the last one, at {}", since_boot()));
    s.up();
    judge::settle(&s);
    judge::judge(&storm, &s);

    let cgroups: Vec<_> = s.processes().into_iter().filter_map(Pid::cgroup_of_a_component).collect();
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
    let left: Vec<_> = cgroups.iter().filter(|dir| dir.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
    s.traces().assert_never_doubled();
}

impl Storm {
    /// The threads beside end when this is dropped, by a panic, too.
    fn ends_with_us(&self) -> impl Drop {
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        End(&self.over)
    }
}
