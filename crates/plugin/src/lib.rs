//! The host side of custom probe crates: finding their libraries, trusting them or not, reading what they say of
//! themselves, and asking their probes, in a process of each library's own or in this one.

pub mod library;
