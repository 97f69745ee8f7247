//! A library of probes in this process: the safe way to what crosses the border to it.
//!
//! All that a library says is checked before it is believed, as far as that can be done from the same address space;
//! what it does to memory, nobody can check. A library is never unloaded.
#![allow(unsafe_code)]

mod error;
mod file;
mod instance;
mod read;
mod services;
mod slots;
mod whole;

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vitald_core::notify::RunNeeds;
use vitald_sdk::abi::{self, Bytes, Slice};
use vitald_sdk::message::{BuildRequest, Kind, NeedsRequest};

pub(crate) use self::error::untold;
pub use self::error::{CallError, LoadError};
pub use self::instance::{Checking, Instance};
pub use self::services::{RunServices, Services, request};

/// A version of the border: `MAJOR.MINOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbiVersion {
    /// Must be the same on both sides.
    pub major: u32,
    /// May differ.
    pub minor: u32,
}

/// What this program speaks.
pub const OURS: AbiVersion = AbiVersion { major: abi::MAJOR, minor: abi::MINOR };

impl std::fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a library says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// Its crate's name.
    pub name: String,
    /// Its crate's version.
    pub version: String,
    /// The version of the SDK that it was built with.
    pub sdk: String,
    /// `rustc --version` of the compiler that built it.
    pub rustc: String,
    /// The border that it was built for.
    pub abi: AbiVersion,
    /// Whether a panic in it aborts the whole process.
    pub panic_aborts: bool,
}

/// A library that was loaded into this process.
pub struct Library {
    file: PathBuf,
    info: Info,
    table: abi::Table,
}

impl Library {
    /// Loads the library as its file is now: what becomes of the file later changes nothing, and one that was
    /// replaced is loaded anew. Runs the code that it has for being loaded, if it has any (none, in Rust).
    ///
    /// # Errors
    /// It cannot be loaded, or is no library of probes, or one for another version of this border.
    pub fn open(file: &Path) -> Result<Arc<Self>, LoadError> {
        let export = file::load(file)?;
        // SAFETY: it is a symbol of a library that stays loaded.
        let (info, table) = unsafe { read::export(file, export) }?;
        Ok(Arc::new(Self { file: file.to_owned(), info, table }))
    }

    /// The file that it was loaded from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What it says of itself.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Its kinds of probe. May take as long as the library likes.
    ///
    /// # Errors
    /// What came of it instead.
    pub fn kinds(&self) -> Result<Vec<Kind>, CallError> {
        // SAFETY: as the border has it.
        let answer = self.call(|answer| unsafe { (self.table.describe)(answer) })?;
        error::parse(&answer)
    }

    /// What a run must be given for a probe; nothing, where the configuration is wrong. May take as long as the
    /// library likes.
    ///
    /// # Errors
    /// What came of it instead.
    pub fn needs(&self, request: &NeedsRequest) -> Result<RunNeeds, CallError> {
        let request = serde_json::to_vec(request).map_err(untold)?;
        // SAFETY: as the border has it; the request is lent for the call.
        let answer = self.call(|answer| unsafe { (self.table.needs)(Slice::lend(&request), answer) })?;
        error::parse(&answer)
    }

    /// Builds a probe. May take as long as the library likes.
    ///
    /// # Errors
    /// It was refused, or what came of it instead.
    pub fn build(self: &Arc<Self>, request: &BuildRequest) -> Result<Arc<Instance>, CallError> {
        let request = serde_json::to_vec(request).map_err(untold)?;
        let mut built: *mut c_void = ptr::null_mut();
        // SAFETY: as the border has it; the request is lent for the call.
        self.call(|answer| unsafe { (self.table.build)(Slice::lend(&request), &raw mut built, answer) })?;
        if built.is_null() {
            return Err(CallError::Rubbish(
                "it says that it has built a probe, and there is none".to_owned(),
            ));
        }
        // SAFETY: built by this library just now.
        Ok(Arc::new(unsafe { Instance::new(Arc::clone(self), built) }))
    }

    fn call(&self, call: impl FnOnce(*mut Bytes) -> u32) -> Result<Vec<u8>, CallError> {
        let mut answer = Bytes::none();
        let outcome = call(&raw mut answer);
        // SAFETY: the library has just given it.
        error::outcome(outcome, unsafe { answer.take() })
    }
}
