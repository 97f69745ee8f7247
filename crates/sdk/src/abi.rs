//! The C types that cross the border between a supervisor and a library of probes.
//!
//! A library exports one symbol, [`SYMBOL`]: data, which is read before any of its code is called. All that
//! can grow without a new version of this border crosses it as JSON ([`crate::message`]); only control crosses as
//! C structs. Whoever makes bytes frees them, so that two allocators may meet here.
//!
//! `include/vitald_plugin.h` says the same in C.
//!
//! `major` must be equal on both sides. `minor` may differ: tables grow at their end, and carry their size.

use std::ffi::c_void;

/// The name of the [`Export`] that a library has.
pub const SYMBOL: &str = "vitald_plugin";

/// What an [`Export`] begins with.
pub const MAGIC: [u8; 8] = *b"vitaldPl";

/// The version of this border: both sides must have the same.
pub const MAJOR: u32 = 1;
/// Grows with what is added at the end of tables.
pub const MINOR: u32 = 0;

/// [`Info::flags`]: a panic in this library aborts the whole process.
pub const PANIC_ABORTS: u32 = 1;

/// The one symbol: where a library says what it is. Never changes.
///
/// Crates that export probes can be linked into one library; each has its [`Info`] then. The one that counts is named
/// as the file is, or is the first.
#[repr(C)]
pub struct Export {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// The first [`Info`].
    pub first: *const Info,
    /// Behind the last one: equal to `first` where there is none.
    pub end: *const Info,
}

/// What a crate says of itself, as data. Never changes in its first eight fields.
#[repr(C)]
pub struct Info {
    /// [`MAJOR`] of the library.
    pub major: u32,
    /// [`MINOR`] of the library.
    pub minor: u32,
    /// Bytes of this struct.
    pub size: u32,
    /// See [`PANIC_ABORTS`].
    pub flags: u32,
    /// The crate's name.
    pub name: Text,
    /// The crate's version.
    pub version: Text,
    /// The version of the SDK that it was built with.
    pub sdk: Text,
    /// `rustc --version` of the compiler that built it.
    pub rustc: Text,
    /// What it can do.
    pub table: *const Table,
}

/// UTF-8 that lives as long as the library.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    /// The first byte.
    pub data: *const u8,
    /// How many.
    pub len: usize,
}

impl Text {
    /// Borrows for ever.
    pub const fn new(text: &'static str) -> Self {
        Self { data: text.as_ptr(), len: text.len() }
    }
}

/// Bytes that are lent for the length of a call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    /// The first byte.
    pub data: *const u8,
    /// How many.
    pub len: usize,
}

/// Bytes that are given away. Whoever gets them calls `free` once.
#[repr(C)]
pub struct Bytes {
    /// The first byte.
    pub data: *mut u8,
    /// How many.
    pub len: usize,
    /// How many were reserved.
    pub capacity: usize,
    /// Frees them; `None` for none.
    pub free: Option<unsafe extern "C" fn(data: *mut u8, len: usize, capacity: usize)>,
}

/// What came of a call.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was asked; the bytes are the answer.
    Done = 0,
    /// It refused; the bytes are why (a [`SpecError`](vitald_core::probe::SpecError) as JSON).
    Refused = 1,
    /// Its code panicked; the bytes are the panic's message.
    Panicked = 2,
    /// It was cancelled before it had come to an answer; there are no bytes.
    Cancelled = 3,
}

impl Outcome {
    /// The outcome of this number.
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Done, Self::Refused, Self::Panicked, Self::Cancelled].get(number as usize).copied()
    }
}

/// What a library can do. Calls may come from any thread, several at a time; none unwinds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Table {
    /// Bytes of this struct.
    pub size: usize,
    /// Its kinds of probe: a [`Vec<Kind>`](crate::message::Kind) as JSON.
    pub describe: unsafe extern "C" fn(answer: *mut Bytes) -> u32,
    /// What a run must be given: a [`NeedsRequest`](crate::message::NeedsRequest) in, a
    /// [`RunNeeds`](vitald_core::notify::RunNeeds) out, as JSON.
    pub needs: unsafe extern "C" fn(request: Slice, answer: *mut Bytes) -> u32,
    /// Builds a probe out of a [`BuildRequest`](crate::message::BuildRequest) as JSON.
    pub build: unsafe extern "C" fn(request: Slice, instance: *mut *mut c_void, answer: *mut Bytes) -> u32,
    /// Begins a check, as a [`CheckRequest`](crate::message::CheckRequest) as JSON says, and comes back at once.
    /// `done` is called exactly once, from any thread, perhaps before this comes back; its bytes are a
    /// [`ProbeResult`](vitald_core::probe::ProbeResult) as JSON. What comes back is passed to `cancel` once, and
    /// the instance is not destroyed before `done` was called.
    pub check: unsafe extern "C" fn(
        instance: *mut c_void,
        request: Slice,
        services: Services,
        done: Done,
    ) -> *mut c_void,
    /// Drops a check, if it is still under way, and forgets it: called once for each, also for those that are done.
    /// `done` is called when it has really ended.
    pub cancel: unsafe extern "C" fn(check: *mut c_void),
    /// Ends a probe that no check of is under way.
    pub destroy: unsafe extern "C" fn(instance: *mut c_void),
}

/// Where an answer is to go: called exactly once, from any thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Done {
    /// Passed back.
    pub data: *mut c_void,
    /// `outcome` is an [`Outcome`]; the bytes are given away.
    pub call: unsafe extern "C" fn(data: *mut c_void, outcome: u32, answer: Bytes),
}

/// What a check may ask of whoever runs it: commands, and facts about the run. Given away with the check, and
/// released by it. Never changes: what more may be asked is a request of another kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Services {
    /// Passed back.
    pub data: *mut c_void,
    /// Begins to serve a [`ServiceRequest`](crate::message::ServiceRequest) as JSON, and comes back at once; the
    /// bytes that `done` gets are a [`ServiceAnswer`](crate::message::ServiceAnswer). What comes back is passed to
    /// `cancel` once.
    pub call: unsafe extern "C" fn(data: *mut c_void, request: Slice, done: Done) -> *mut c_void,
    /// Drops a request, if it is still under way, and forgets it: called once for each.
    pub cancel: unsafe extern "C" fn(request: *mut c_void),
    /// Nothing more will be asked.
    pub release: unsafe extern "C" fn(data: *mut c_void),
}
