//! Who may use descriptors in great number now: with hundreds of components and few descriptors, not all at once.

use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

/// A look or a start takes about ten for a while, and each component keeps some.
const DESCRIPTORS_EACH: u64 = 64;
const MOST: u64 = 64;

static TAKEN: Mutex<usize> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();

/// How many may at once.
pub(crate) fn most() -> usize {
    static AT_ONCE: OnceLock<usize> = OnceLock::new();
    *AT_ONCE.get_or_init(|| {
        let all = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        (all / DESCRIPTORS_EACH).clamp(1, MOST) as usize
    })
}

/// A turn, until it is dropped. Nobody may wait for a second one.
pub(crate) struct Turn(());

/// Waits for a turn. Blocks.
pub(crate) fn wait() -> Turn {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let too_many = |taken: &mut usize| *taken >= most();
    let mut taken = GIVEN_BACK.wait_while(taken, too_many).unwrap_or_else(PoisonError::into_inner);
    *taken += 1;
    Turn(())
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GIVEN_BACK.notify_one();
    }
}
