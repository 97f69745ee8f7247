//! A run that is there: its end, its probes, its hooks and its signals.

use super::*;

impl Driver {
    /// A fresh set of probes, and a task that tells of the end.
    pub(super) fn watch(&self, run: RunId, handle: Arc<dyn RunHandle>, began: WallTime) -> Run {
        let mut tasks = JoinSet::new();
        let (watched, mailbox) = (Arc::clone(&handle), self.mailbox.clone());
        tasks.spawn(async move {
            let exit = watched.exited().await;
            let tree = Arc::clone(&watched);
            // Reads /proc. Where that fails, the run is not said to be over.
            let leftovers = tokio::task::spawn_blocking(move || tree.is_alive()).await.unwrap_or(true);
            let _ = mailbox.send(Message::Report(Report { run, what: Observed::Exited { exit, leftovers } }));
            if leftovers {
                watched.gone().await;
                let _ = mailbox.send(Message::Report(Report { run, what: Observed::Gone }));
            }
        });
        let (telling, mailbox) = (Arc::clone(&handle), self.mailbox.clone());
        let restarter = Arc::clone(&self.parts.restarter);
        let (events, name) = (Arc::clone(&self.parts.nursery.events), self.parts.spec.name.clone());
        tasks.spawn(async move {
            let mut known = Notified::default();
            loop {
                known = tokio::select! {
                    news = telling.news(&known) => news,
                    trouble = telling.trouble() => {
                        let (kind, reason) = (EventType::Warning, EventReason::FailedKill);
                        events.add(&name, &Notice { kind, reason, message: restarter.redact(trouble) });
                        continue;
                    }
                };
                let status = restarter.redact(known.status.clone());
                let error = known.error.clone().map(|error| restarter.redact(error));
                let what = Observed::Notified(Notified { status, error, ..known.clone() });
                let _ = mailbox.send(Message::Report(Report { run, what }));
                // What comes meanwhile is told in one. But which process is the main one is to be on record before
                // the one before it ends.
                let mut seen = known.clone();
                let moved = async {
                    while seen.main_process == known.main_process {
                        seen = telling.news(&seen).await;
                    }
                };
                let _ = tokio::time::timeout(NEWS_PAUSE, moved).await;
            }
        });
        let probes = ProbeRole::ALL
            .into_iter()
            .filter_map(|role| Some((role, self.build(self.parts.spec.probe(role)?))))
            .collect();
        Run { handle, began, probes, tasks }
    }

    pub(super) fn build(&self, probe: &ProbeSpec) -> Arc<dyn HealthProbe> {
        build::probe(&self.parts.nursery, &probe.check, &self.parts.context)
    }

    pub(super) fn probe(&mut self, id: RunId, role: ProbeRole) {
        let (Some(run), Some(spec)) = (&mut self.run, self.parts.spec.probe(role)) else { return };
        let Some(probe) = run.probes.get(&role).cloned() else { return };
        let cx = CheckContext {
            timeout: spec.timeout,
            run: Some(Arc::clone(&run.handle) as Arc<dyn RunView>),
            executor: self.parts.restarter.executor(),
        };
        let (clock, mailbox) = (Arc::clone(&self.parts.nursery.clock), self.mailbox.clone());
        let restarter = Arc::clone(&self.parts.restarter);
        run.tasks.spawn(async move {
            let began = clock.now();
            // Each handler's panics are caught where it is asked; there must be an answer in any case.
            let check = AssertUnwindSafe(probe.check(&cx)).catch_unwind().await;
            let result = check.unwrap_or_else(|_panic| ProbeResult::unknown("the probe panicked"));
            let result = result.map_message(|message| restarter.redact(message));
            let what = Observed::Probed { role, result, latency: clock.now() - began };
            let _ = mailbox.send(Message::Report(Report { run: id, what }));
        });
        // Finished tasks leave their results behind.
        while run.tasks.try_join_next().is_some() {}
    }

    pub(super) fn hook(
        &mut self,
        id: RunId,
        hook: Option<ExecAction>,
        what: impl FnOnce(Result<(), String>) -> Observed + Send + 'static,
    ) {
        let (Some(run), Some(hook)) = (&mut self.run, hook) else { return };
        let (executor, mailbox) = (self.parts.restarter.executor(), self.mailbox.clone());
        let restarter = Arc::clone(&self.parts.restarter);
        run.tasks.spawn(async move {
            let hook = AssertUnwindSafe(run_hook(executor, hook)).catch_unwind().await;
            let done = hook.unwrap_or_else(|_panic| Err("vitald has a bug".into()));
            let what = what(done.map_err(|why| restarter.redact(why)));
            let _ = mailbox.send(Message::Report(Report { run: id, what }));
        });
    }

    /// Signals from a thread that may block: the process tree is read from /proc.
    pub(super) fn signal(
        &self,
        id: RunId,
        signal: fn(&dyn RunHandle) -> std::io::Result<()>,
        sent: Option<Observed>,
    ) {
        let Some(run) = &self.run else { return };
        let (handle, mailbox) = (Arc::clone(&run.handle), self.mailbox.clone());
        let (events, name) = (Arc::clone(&self.parts.nursery.events), self.parts.spec.name.clone());
        tokio::task::spawn_blocking(move || match (signal(handle.as_ref()), sent) {
            (Ok(()), Some(what)) => {
                let _ = mailbox.send(Message::Report(Report { run: id, what }));
            }
            (Ok(()), None) => {}
            (Err(err), _) => {
                let message = format!("cannot be signalled: {err}");
                events.add(
                    &name,
                    &Notice { kind: EventType::Warning, reason: EventReason::FailedKill, message },
                );
            }
        });
    }
}

async fn run_hook(executor: Arc<dyn Executor>, hook: ExecAction) -> Result<(), String> {
    let request = ExecRequest { command: hook.command, ..ExecRequest::default() };
    match executor.exec(request).await {
        Ok(done) if done.exit == Exit::Code(0) => Ok(()),
        Ok(done) => match done.output.trim() {
            "" => Err(done.exit.to_string()),
            output => Err(format!("{}: {output}", done.exit)),
        },
        Err(err) => Err(err.to_string()),
    }
}
