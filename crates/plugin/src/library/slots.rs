//! What a library holds of ours: by number, so that one that says a number twice, or a wrong one, gets nothing.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// Things, each with a number that no other has or had.
pub(super) struct Slots<T>(LazyLock<Mutex<Numbered<T>>>);

struct Numbered<T> {
    last: usize,
    things: HashMap<usize, T>,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self(LazyLock::new(|| Mutex::new(Numbered { last: 0, things: HashMap::new() })))
    }

    /// Keeps a thing; its number goes through the border as a pointer to nothing.
    pub(super) fn put(&self, thing: T) -> *mut c_void {
        let mut slots = self.lock();
        slots.last += 1;
        let number = slots.last;
        slots.things.insert(number, thing);
        std::ptr::without_provenance_mut(number)
    }

    /// Gives back what has this number, once.
    pub(super) fn take(&self, number: *mut c_void) -> Option<T> {
        self.lock().things.remove(&number.addr())
    }

    fn lock(&self) -> MutexGuard<'_, Numbered<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Slots<T> {
    /// A copy of what has this number.
    pub(super) fn get(&self, number: *mut c_void) -> Option<T> {
        self.lock().things.get(&number.addr()).cloned()
    }
}
