//! Timelines and properties of the lifecycle, in virtual time.

mod properties;
mod timelines;
mod world;
