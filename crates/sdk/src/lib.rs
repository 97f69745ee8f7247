//! What a custom probe crate depends on: the traits that vitald's own probes implement, the macro that exports
//! them from a library, and a kit to try them without a supervisor.
//!
//! A custom probe reads as a built-in one does. What it says of its configuration (`serde`, `schemars`, doc comments)
//! becomes the manifest's parsing, errors and schema:
//!
//! ```
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//! use vitald_sdk::async_trait;
//! use vitald_sdk::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
//!
//! /// Healthy while a file exists.
//! #[derive(Debug, Deserialize, JsonSchema)]
//! #[serde(rename_all = "camelCase", deny_unknown_fields)]
//! pub struct FileSpec {
//!     /// Path of the file. It must be absolute.
//!     pub path: std::path::PathBuf,
//! }
//!
//! pub struct FileProbe(FileSpec);
//!
//! impl ProbeKind for FileProbe {
//!     const KEY: &'static str = "file";
//!     type Spec = FileSpec;
//!
//!     fn build(spec: FileSpec, _component: &ComponentContext) -> Result<Self, SpecError> {
//!         if spec.path.is_relative() {
//!             return Err(SpecError::new("must be absolute").at("path"));
//!         }
//!         Ok(Self(spec))
//!     }
//! }
//!
//! #[async_trait]
//! impl HealthProbe for FileProbe {
//!     async fn check(&self, _cx: &CheckContext) -> ProbeResult {
//!         match self.0.path.try_exists() {
//!             Ok(true) => ProbeResult::Success,
//!             Ok(false) => ProbeResult::failure(format!("{} does not exist", self.0.path.display())),
//!             Err(err) => ProbeResult::unknown(format!("{}: {err}", self.0.path.display())),
//!         }
//!     }
//! }
//!
//! vitald_sdk::export_probe!(FileProbe);
//! #
//! # use vitald_sdk::kit;
//! # let config = kit::json!({ "path": "/nowhere/to/be/found" });
//! # let result = kit::block_on(kit::check::<FileProbe>(config));
//! # assert_eq!(result, Ok(ProbeResult::failure("/nowhere/to/be/found does not exist")));
//! ```
//!
//! with this in its `Cargo.toml`, beside `serde` and `schemars`:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//! ```
//!
//! The file that `cargo build --release` makes of it is what vitald loads. A manifest says `file: { path: /run/ok }`
//! under `livenessProbe` then.
//!
//! **What a probe may count on.** `build` and `check` run within a tokio runtime of the library's own, with two threads
//! for all its checks, so that whatever needs tokio works. A check may be dropped at any await. What it waits for, it
//! bounds by [`CheckContext::timeout`](probe::CheckContext::timeout), nine tenths of what the manifest says, and answers
//! for itself: one that does not come back in time is unknown, never a failure.
//! [`CheckContext::executor`](probe::CheckContext::executor) runs commands where the component runs, and
//! [`CheckContext::run`](probe::CheckContext::run) tells about the run, as for a built-in probe. A panic is told as
//! unknown.
//!
//! **What it had better not do:** block a thread for long (`tokio::task::spawn_blocking` is for that), change the
//! environment or the working directory, or leave threads behind that hold on to a lot.

pub mod abi;
#[doc(hidden)]
pub mod answer;
mod bytes;
#[doc(hidden)]
pub mod export;
#[doc(hidden)]
pub mod glue;
pub mod kit;
pub mod message;
#[doc(hidden)]
pub mod panics;
mod runtime;
mod services;

pub use bytes::MOST_BYTES;
pub use vitald_core::async_trait;
pub use vitald_core::spec::ComponentKind;
pub use vitald_core::{notify, probe, quantity, restarter, wording};
