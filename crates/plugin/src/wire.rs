//! What a supervisor and the process of a library say to each other over a socket: JSON, one message a line.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio_util::codec::LinesCodec;
use vitald_core::notify::RunNeeds;
use vitald_core::probe::ProbeResult;
use vitald_sdk::message::{BuildRequest, CheckRequest, Kind, NeedsRequest, ServiceAnswer, ServiceRequest};

use crate::library::CallError;
use crate::model::About;

/// Most bytes of a message. Neither side holds more of what the other says.
pub(crate) const LONGEST: usize = 1024 * 1024;

/// Most that a check asks for at the same time: the rest waits its turn in its own process.
pub(crate) const MOST_SERVICES: usize = 64;

/// What a supervisor says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ToHost {
    /// Asks what a run must be given.
    Needs { id: u64, request: NeedsRequest },
    /// Asks for a probe, which is called `instance` from then on.
    Build { instance: u64, request: BuildRequest },
    /// Asks a probe to check once.
    Check { id: u64, instance: u64, request: CheckRequest },
    /// Nobody waits for this check any more. It is answered all the same, when it has ended.
    Cancel { id: u64 },
    /// A probe is not needed any more.
    Drop { instance: u64 },
    /// What a check has asked for.
    Served { check: u64, id: u64, answer: ServiceAnswer },
}

/// What the process of a library says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum FromHost {
    /// The library is there: said once, first.
    Hello(Hello),
    /// Or it cannot be used: why.
    Refused { reason: String },
    /// What a run must be given.
    Needs { id: u64, answer: Result<RunNeeds, CallError> },
    /// Whether there is such a probe now.
    Built { instance: u64, answer: Result<(), CallError> },
    /// A check has ended.
    Checked { id: u64, answer: Result<ProbeResult, CallError> },
    /// A check asks for something.
    Serve { check: u64, id: u64, request: ServiceRequest },
    /// And does not need it any more.
    Unserve { check: u64, id: u64 },
}

/// What a library says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hello {
    pub(crate) about: About,
    pub(crate) kinds: Vec<Kind>,
}

/// A message that cannot be said.
#[derive(Debug, Error)]
pub(crate) enum Unsayable {
    /// The other side would not read so much.
    #[error("it is too long: {length} bytes where {LONGEST} are the most")]
    TooLong { length: usize },
    /// JSON is text, and paths need not be.
    #[error("{0}")]
    NoJson(#[from] serde_json::Error),
}

/// A message as a line.
///
/// # Errors
/// It cannot be said.
pub(crate) fn line(message: &impl Serialize) -> Result<Vec<u8>, Unsayable> {
    let mut line = serde_json::to_vec(message)?;
    if line.len() > LONGEST {
        return Err(Unsayable::TooLong { length: line.len() });
    }
    line.push(b'\n');
    Ok(line)
}

/// Finds the lines in what comes.
pub(crate) fn codec() -> LinesCodec {
    LinesCodec::new_with_max_length(LONGEST)
}

#[cfg(test)]
mod tests {
    use tokio_util::bytes::BytesMut;
    use tokio_util::codec::Decoder;

    use super::*;

    #[test]
    fn a_message_is_one_line_and_comes_back_as_it_was() {
        let said = FromHost::Checked { id: 7, answer: Ok(ProbeResult::failure("two\nlines")) };
        let bytes = line(&said).unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);

        let mut bytes = BytesMut::from(&*bytes);
        let heard = codec().decode(&mut bytes).unwrap().unwrap();
        match serde_json::from_str(&heard).unwrap() {
            FromHost::Checked { id: 7, answer: Ok(answer) } => {
                assert_eq!(answer, ProbeResult::failure("two\nlines"));
            }
            other => panic!("heard {other:?}"),
        }
    }

    #[test]
    fn what_is_too_long_is_neither_said_nor_heard() {
        let long = "x".repeat(LONGEST);
        let said = FromHost::Checked { id: 7, answer: Ok(ProbeResult::failure(&*long)) };
        assert!(line(&said).unwrap_err().to_string().ends_with("where 1048576 are the most"));

        let mut bytes = BytesMut::from(&*format!("{long}x\n"));
        assert!(codec().decode(&mut bytes).is_err());
        // Not even the end of the line is waited for.
        let mut bytes = BytesMut::from(&*format!("{long}xx"));
        assert!(codec().decode(&mut bytes).is_err());
    }
}
