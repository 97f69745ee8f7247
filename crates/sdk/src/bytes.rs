//! Bytes on their way across the border: lent for a call, or given away for good.
#![allow(unsafe_code)]

use std::ptr;

use crate::abi::{Bytes, Slice};

/// More than this crosses the border at no time: who says so is not believed.
pub const MOST_BYTES: usize = 64 * 1024 * 1024;

impl Slice {
    /// Lends bytes for as long as they are borrowed here.
    pub fn lend(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len() }
    }

    /// What was lent, for the length of the call that it came with. Nothing, where that cannot be true.
    ///
    /// # Safety
    /// Where it is not null, `data` has as many bytes as `len` says, and nobody changes them in the meantime.
    pub unsafe fn borrow<'a>(self) -> Option<&'a [u8]> {
        if self.len == 0 {
            return Some(&[]);
        }
        if self.data.is_null() || self.len > MOST_BYTES {
            return None;
        }
        // SAFETY: not null, and the caller vouches for the rest.
        Some(unsafe { std::slice::from_raw_parts(self.data, self.len) })
    }
}

impl Bytes {
    /// No bytes.
    pub fn none() -> Self {
        Self { data: ptr::null_mut(), len: 0, capacity: 0, free: None }
    }

    /// Gives bytes away: who gets them calls `free`.
    pub fn give(bytes: Vec<u8>) -> Self {
        let mut bytes = std::mem::ManuallyDrop::new(bytes);
        Self { data: bytes.as_mut_ptr(), len: bytes.len(), capacity: bytes.capacity(), free: Some(free) }
    }

    /// Copies what was given and gives the original back to whoever made it. Nothing, where that cannot be true.
    ///
    /// # Safety
    /// It was made as [`Bytes`] are to be, and nobody has taken it yet.
    pub unsafe fn take(self) -> Option<Vec<u8>> {
        let lent = Slice { data: self.data, len: self.len };
        if self.capacity < self.len {
            return None;
        }
        // SAFETY: as many bytes as it says, by the caller's word.
        let copy = unsafe { lent.borrow() }?.to_vec();
        if let Some(free) = self.free {
            // SAFETY: once, with what it came with.
            unsafe { free(self.data, self.len, self.capacity) };
        }
        Some(copy)
    }
}

/// Frees what [`Bytes::give`] gave.
unsafe extern "C" fn free(data: *mut u8, len: usize, capacity: usize) {
    // SAFETY: these are the parts of a `Vec` of this very allocator, passed back once.
    drop(unsafe { Vec::from_raw_parts(data, len, capacity) });
}
