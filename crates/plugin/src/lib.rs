//! The host side of custom probe crates: finding their libraries, trusting them or not, reading what they say of
//! themselves, and asking their probes, in a process of each library's own or in this one.
//!
//! **Invariant:** whatever the code of a library does in its own process, whoever asks it gets an answer or a
//! sentence in time, other libraries do not notice, and nothing grows without a bound.

mod background;
mod child;
mod discover;
mod host_client;
mod in_process;
mod kind;
mod mark;
mod model;
mod offspring;
mod plugins;
mod probe;
mod silence;
mod strays;
mod trust;
mod wire;

pub mod host;
pub mod library;

pub use discover::Folder;
pub use host::Limits;
pub use model::{
    About, Changes, HostCommand, InUse, Inspection, Listed, LoadError, Loading, Notice, NoticeKind,
    Objections, Options, Probe, Refusal, Refusals, Tell,
};
pub use plugins::Plugins;
