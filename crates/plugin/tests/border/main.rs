//! Libraries that are built, loaded and asked: what crosses the border, and what does not.

mod build;
mod loading;
