//! What can be wrong with a library, and with what it answers.

use std::fmt::Display;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vitald_core::probe::SpecError;
use vitald_core::wording::excerpt;
use vitald_sdk::abi::Outcome;

use super::{AbiVersion, OURS};

/// Why a library was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{} cannot be read: {reason}", file.display())]
    Read {
        /// The library.
        file: PathBuf,
        /// The system's word for why.
        reason: String,
    },
    /// The system does not load it.
    #[error("{} cannot be loaded: {reason}", file.display())]
    Load {
        /// The library.
        file: PathBuf,
        /// The loader's word for why.
        reason: String,
    },
    /// It has no such symbol.
    #[error(
        "{} is no library of probes: it has no `vitald_plugin`, as one whose source ends in `export_probe!(…);` and \
         is built as a `cdylib` has",
        file.display()
    )]
    NotOurs {
        /// The library.
        file: PathBuf,
    },
    /// It has the symbol, and exports nothing.
    #[error(
        "{} exports no probes: its source must end in `vitald_sdk::export_probe!(…);`, with the types of its probes",
        file.display()
    )]
    Empty {
        /// The library.
        file: PathBuf,
    },
    /// It speaks another version.
    #[error(
        "{} ({what}) speaks version {theirs} of the border between vitald and libraries of probes, this vitald \
         speaks {OURS}: build it again with this vitald's SDK",
        file.display()
    )]
    Version {
        /// The library.
        file: PathBuf,
        /// Its name, version and SDK.
        what: String,
        /// The version that it speaks.
        theirs: AbiVersion,
    },
    /// What it says of itself cannot be.
    #[error("{} says of itself what cannot be: {what}", file.display())]
    Rubbish {
        /// The library.
        file: PathBuf,
        /// What.
        what: String,
    },
}

/// What came of a call instead of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CallError {
    /// It was refused: mostly a mistake in the configuration.
    #[error("{0}")]
    Refused(SpecError),
    /// Its code panicked: the panic's message.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// Its answer is none.
    #[error("its answer makes no sense: {0}")]
    Rubbish(String),
    /// It was cancelled before it had come to an answer.
    #[error("it was cancelled")]
    Cancelled,
}

/// A question that a library cannot be asked: what is wrong with it is in the configuration, or where it stands.
pub(crate) fn untold(why: impl Display) -> CallError {
    CallError::Refused(SpecError::new(format!("cannot be told to a library: {why}")))
}

/// The bytes of an answer, if there is one.
pub(super) fn outcome(outcome: u32, answer: Option<Vec<u8>>) -> Result<Vec<u8>, CallError> {
    let Some(answer) = answer else {
        return Err(CallError::Rubbish("it cannot have as many bytes as it says".to_owned()));
    };
    Err(match Outcome::from_number(outcome) {
        Some(Outcome::Done) => return Ok(answer),
        Some(Outcome::Refused) => match parse(&answer) {
            Ok(refusal) => CallError::Refused(refusal),
            Err(rubbish) => rubbish,
        },
        Some(Outcome::Panicked) => CallError::Panicked(excerpt(&String::from_utf8_lossy(&answer))),
        Some(Outcome::Cancelled) => CallError::Cancelled,
        None => CallError::Rubbish(format!("there is no outcome {outcome}")),
    })
}

/// Reads an answer.
pub(super) fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(answer).map_err(|err| {
        let said = excerpt(&String::from_utf8_lossy(answer));
        CallError::Rubbish(format!("{err}, in `{said}`"))
    })
}
