//! What is written down, so that the next supervisor can go on.

use super::*;

impl Driver {
    /// Where a run begins in the log: known before it is started, and better after that.
    pub(super) fn note_log(&mut self, run: RunId, log_offset: u64) {
        let runs = Arc::make_mut(&mut self.parts.runs);
        runs.retain(|log| log.run != run.0);
        runs.push(RunLog { run: run.0, log_offset });
        let forgotten = runs.len().saturating_sub(REMEMBERED_RUNS);
        runs.drain(..forgotten);
    }

    /// Writes down what has changed; says whether anything has. Cheap where nothing has: that is so after nearly every
    /// answer of a probe.
    pub(super) fn write(&mut self, durable: bool) -> bool {
        self.write_with(Some(Arc::clone(&self.parts.inherited_env)), durable)
    }

    /// After an orderly end the next start takes the environment of its own day.
    pub(super) fn forget_environment(&mut self) {
        self.write_with(None, false);
    }

    fn write_with(&mut self, inherited_env: Option<Arc<BTreeMap<String, String>>>, durable: bool) -> bool {
        let lifecycle = self.parts.lifecycle.record();
        let process = match &self.run {
            Some(run) => Some(run.handle.process()),
            None => self.parts.restarter.left_to_restart(),
        };
        let is_written = self.parts.store.written().is_some_and(|written| {
            written.lifecycle == lifecycle
                && written.process == process
                && written.lock == self.lock
                && written.runs == self.parts.runs
                && Arc::ptr_eq(&written.spec, &self.parts.spec)
                && written.inherits_all == self.parts.inherits_all
                && written.inherited_env.as_ref().map(Arc::as_ptr) == inherited_env.as_ref().map(Arc::as_ptr)
        });
        if is_written {
            return self.unwritten.take().is_some();
        }
        // A stop on request stays on disk through all that follows, and what could not be written
        // durably before is owed still.
        let durable = durable || lifecycle.is_stopped_on_request() || self.unwritten.unwrap_or_default();
        let record = Record {
            name: self.parts.spec.name.clone(),
            spec: Arc::clone(&self.parts.spec),
            spec_digest: self.digest.clone(),
            version: RECORD_VERSION,
            boot_id: self.boot_id.clone(),
            process,
            lock: self.lock,
            runs: Arc::clone(&self.parts.runs),
            inherits_all: self.parts.inherits_all,
            lifecycle,
            inherited_env,
        };
        match self.parts.store.write(record, durable) {
            Ok(()) => self.unwritten = None,
            // Told once: a full disk must not stop components, nor fill the list of events.
            Err(_) if self.unwritten.is_some() => self.unwritten = Some(durable),
            Err(err) => {
                self.unwritten = Some(durable);
                let message = format!(
                    "its state (of run {}) cannot be written to {}, and would be lost with vitald: {err}",
                    self.parts.lifecycle.run(),
                    self.parts.store.path().display()
                );
                self.notify(Notice { kind: EventType::Warning, reason: EventReason::FailedWrite, message });
            }
        }
        true
    }
}
