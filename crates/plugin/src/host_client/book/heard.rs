//! What the process of a library says, held against what is under way.

use tokio::time::Instant;

use crate::host_client::book::{Book, Built};
use crate::host_client::{CallFailure, CheckEvent};
use crate::library::CallError;
use crate::wire::{self, FromHost};

impl Book {
    /// Takes what was said. What does not fit to what is under way is rubbish.
    ///
    /// # Errors
    /// Why it makes no sense.
    pub(in crate::host_client) fn heard(&mut self, message: FromHost, now: Instant) -> Result<(), String> {
        match message {
            FromHost::Hello(_) | FromHost::Refused { .. } => return Err("it introduced itself twice".into()),
            FromHost::Needs { id, answer } => {
                let call = self.calls.remove(&id).ok_or("it answered what it was not asked")?;
                (call.reply)(answer.map_err(CallFailure::Library));
            }
            FromHost::Built { instance, answer } => self.built(instance, answer, now)?,
            FromHost::Checked { id, answer } => {
                let check = self.checks.remove(&id).ok_or("it answered what it was not asked")?;
                let probe = self.probes.get_mut(&check.probe).filter(|probe| probe.now == Some(id));
                let probe = probe.ok_or("it answered a check that it was not given")?;
                probe.now = None;
                let of = check.probe;
                check.tell(CheckEvent::Ended(answer.map_err(CallFailure::Library)));
                self.advance(of, now);
            }
            FromHost::Serve { check, id, request } => {
                // A check that was cancelled may have asked before it heard of that: it gets no answer.
                let check = self.checks.get_mut(&check).ok_or("it asked for a check that is none")?;
                let fits = check.services.len() < wire::MOST_SERVICES && check.services.insert(id);
                if !fits || !check.tell(CheckEvent::Serve { id, request }) {
                    return Err("a check asked for too much at once".into());
                }
            }
            FromHost::Unserve { check, id } => {
                if let Some(check) = self.checks.get_mut(&check)
                    && check.services.remove(&id)
                    && !check.tell(CheckEvent::Unserve { id })
                {
                    return Err("a check asked for too much at once".into());
                }
            }
        }
        Ok(())
    }

    fn built(&mut self, id: u64, answer: Result<(), CallError>, now: Instant) -> Result<(), String> {
        let probe = self.probes.get_mut(&id).filter(|probe| matches!(probe.state, Built::Asked(_)));
        let probe = probe.ok_or("it built what it was not asked for")?;
        probe.state = if answer.is_ok() { Built::Yes } else { Built::No };
        if let Some(reply) = probe.validate.take() {
            reply(answer.clone().map_err(CallFailure::Library));
        }
        if let Err(trouble) = answer {
            for check in std::mem::take(&mut probe.next) {
                if let Some(check) = self.checks.remove(&check) {
                    check.tell(CheckEvent::Ended(Err(CallFailure::Library(trouble.clone()))));
                }
            }
        }
        self.advance(id, now);
        Ok(())
    }
}
