//! What is written down, so that the next supervisor can go on.

use super::*;

impl Driver {
    /// Where a run begins in the log: known before it is started, and better after that.
    pub(super) fn note_log(&mut self, run: RunId, log_offset: u64) {
        let runs = &mut self.parts.runs;
        runs.retain(|log| log.run != run.0);
        runs.push(RunLog { run: run.0, log_offset });
        let forgotten = runs.len().saturating_sub(REMEMBERED_RUNS);
        runs.drain(..forgotten);
    }

    pub(super) fn write(&mut self, durable: bool) {
        let lifecycle = self.parts.lifecycle.record();
        self.write_record(lifecycle, durable, Some(self.parts.inherited_env.clone()));
    }

    /// After an orderly end the next start takes the environment of its own day.
    pub(super) fn forget_environment(&mut self) {
        let lifecycle = self.parts.lifecycle.record();
        self.write_record(lifecycle, false, None);
    }

    pub(super) fn write_record(
        &mut self,
        lifecycle: LifecycleRecord,
        durable: bool,
        inherited_env: Option<BTreeMap<String, String>>,
    ) {
        let record = Record {
            name: self.parts.spec.name.clone(),
            spec: Arc::clone(&self.parts.spec),
            spec_digest: self.digest.clone(),
            version: RECORD_VERSION,
            boot_id: self.boot_id.clone(),
            process: self.run.as_ref().map(|run| run.handle.process()),
            lock: self.lock,
            runs: self.parts.runs.clone(),
            inherits_all: self.parts.inherits_all,
            lifecycle,
            inherited_env,
        };
        // A stop on request stays on disk through all that follows, and what could not be written
        // durably before is owed still.
        let durable =
            durable || record.lifecycle.is_stopped_on_request() || self.unwritten.unwrap_or_default();
        match self.parts.store.write(&record, durable) {
            Ok(()) => self.unwritten = None,
            // Told once: a full disk must not stop components, nor fill the list of events.
            Err(_) if self.unwritten.is_some() => self.unwritten = Some(durable),
            Err(err) => {
                self.unwritten = Some(durable);
                let message = format!("its state cannot be written, and would be lost with vitald: {err}");
                self.notify(Notice { kind: EventType::Warning, reason: EventReason::FailedWrite, message });
            }
        }
    }
}
