//! What comes from outside a run: what an earlier supervisor left, and another spec.

use super::*;

impl Driver {
    /// Takes over what an earlier supervisor left of its run, before anything else is done.
    pub(super) async fn adopt(&mut self) {
        let awaits_adoption = self.parts.lifecycle.awaits_adoption();
        if awaits_adoption || self.parts.restarter.left_to_restart().is_some() {
            // Its next run is nothing to begin on one's own: the manifests may have changed.
            let hold = Event::Dependencies(Some("waits for the manifests to be applied".into()));
            self.parts.lifecycle.on(self.parts.nursery.clock.now(), hold);
        }
        if !awaits_adoption {
            return;
        }
        let run = self.parts.lifecycle.run();
        // What was not written down began after all that was.
        let known = self.parts.runs.iter().rfind(|log| log.run <= run.0);
        let log_offset = known.map_or(0, |log| log.log_offset);
        let clock = &self.parts.nursery.clock;
        let began = self.parts.lifecycle.snapshot(clock.now()).started_at;
        let began = began.map_or_else(|| clock.wall(), |at| clock.wall_at(at));
        let mut tries = 0;
        let found = loop {
            tries += 1;
            let process = self.parts.recorded.as_ref();
            let adoption = AssertUnwindSafe(self.parts.restarter.adopt(run, process, log_offset));
            let adoption = adoption.catch_unwind().await.unwrap_or_else(|_panic| {
                Err(StartError::System { doing: "adopting".into(), reason: "vitald has a bug".into() })
            });
            let last = tries >= ADOPT_TRIES;
            match adoption {
                Ok(found) => break found,
                Err(err) if tries == 1 || last => {
                    let then = if last { "taken for ended" } else { "asked again" };
                    let why = self.parts.restarter.redact(err.to_string());
                    let message = format!("whether it still runs cannot be told, and is {then}: {why}");
                    let (kind, reason) = (EventType::Warning, EventReason::FailedRead);
                    self.notify(Notice { kind, reason, message });
                }
                Err(_) => {}
            }
            if last {
                // A start finds what there is, and fails as long as it cannot be ended.
                break Adoption::Nothing;
            }
            tokio::time::sleep(ADOPT_AGAIN_AFTER).await;
        };
        let what = match found {
            Adoption::Running(handle) => {
                self.tell_shortcomings(handle.as_ref());
                handle.remember(self.parts.lifecycle.notified());
                self.run = Some(self.watch(run, handle, began));
                Observed::Adopted
            }
            Adoption::Ended(handle) => {
                let exit = handle.exited().await;
                let tree = Arc::clone(&handle);
                let leftovers = tokio::task::spawn_blocking(move || tree.is_alive()).await.unwrap_or(true);
                self.run = Some(self.watch(run, handle, began));
                Observed::Exited { exit, leftovers }
            }
            Adoption::Gone => Observed::Exited { exit: Exit::Unknown, leftovers: false },
            Adoption::Nothing => Observed::NotFound,
        };
        self.apply(Event::Report(Report { run, what }), false);
    }

    /// Another spec, if nothing runs under the one before; whether it was taken.
    pub(super) fn respec(&mut self, spec: Arc<ComponentSpec>) -> bool {
        let same_run = spec.runs_like(&self.parts.spec);
        if !same_run && !self.parts.lifecycle.is_at_rest() {
            return false;
        }
        if !same_run {
            let kept_env = Some((self.parts.inherits_all, Arc::clone(&self.parts.inherited_env)));
            let parts = &mut self.parts;
            (parts.restarter, parts.inherited_env) = parts.nursery.restarter(&spec, kept_env, None);
            parts.inherits_all = inherits_all(&spec);
            tell_steps(&parts.restarter, &self.mailbox);
            parts.context = spec.context(Some(parts.nursery.state_dir.log(&spec.name)));
        }
        self.digest = spec.digest();
        self.parts.spec = Arc::clone(&spec);
        self.apply(Event::Spec(spec), true);
        true
    }
}
