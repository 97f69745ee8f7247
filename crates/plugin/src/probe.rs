//! A probe of a library, which is asked wherever its library runs at that time.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use vitald_core::probe::{CheckContext, HealthProbe, ProbeResult};
use vitald_core::registry::Isolation;
use vitald_sdk::message::BuildRequest;

use crate::host_client::{CallFailure, HostedProbe};
use crate::in_process::LocalProbe;
use crate::kind::{Loaded, Slot, clipped, gone, may_run, sentence};
use crate::library::{RunServices, request};

/// A probe of a library, which is built where and when it is asked.
pub(crate) struct PluginProbe {
    slot: Arc<Slot>,
    request: Arc<BuildRequest>,
    isolation: Isolation,
    held: Mutex<Option<Held>>,
}

/// Where it was built.
#[derive(Clone)]
enum Held {
    Hosted(Arc<HostedProbe>),
    Local(Arc<LocalProbe>),
}

impl PluginProbe {
    pub(crate) fn new(slot: Arc<Slot>, request: BuildRequest, isolation: Isolation) -> Self {
        Self { slot, request: Arc::new(request), isolation, held: Mutex::default() }
    }

    /// The probe in the library that has its kind now: the one that was asked before, if it still fits.
    fn probe(&self, library: &Loaded) -> Held {
        // The library may be another one than that the probe was built for.
        let is_local = self.isolation == Isolation::InProcess
            && may_run(&library.about, self.isolation).is_ok()
            && !library.in_process.is_out();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some(Held::Hosted(probe)) if !is_local && probe.is_of(&library.client) => {}
            Some(Held::Local(probe)) if is_local && probe.is_of(&library.in_process) && !probe.is_stuck() => {
            }
            _ => {
                let request = Arc::clone(&self.request);
                *held = None;
                *held = Some(match is_local {
                    true => Held::Local(Arc::new(library.in_process.probe(request))),
                    false => Held::Hosted(Arc::new(library.client.probe(request))),
                });
            }
        }
        held.clone()
            .unwrap_or_else(|| Held::Hosted(Arc::new(library.client.probe(Arc::clone(&self.request)))))
    }
}

#[async_trait]
impl HealthProbe for PluginProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let key = &self.slot.key;
        loop {
            let Some(library) = self.slot.library() else { return ProbeResult::unknown(gone(key)) };
            let services = RunServices { cx: cx.clone() };
            let answer = match self.probe(&library) {
                Held::Hosted(probe) => probe.check(request(cx), &services).await,
                Held::Local(probe) => probe.check(request(cx), Arc::new(services)).await,
            };
            match answer {
                Ok(result) => return result.map_message(clipped),
                // It went away between two lines of this: there is another one.
                Err(CallFailure::Retired(_)) if self.has_changed(&library) => {}
                Err(failure) => {
                    return ProbeResult::unknown(clipped(sentence(key, &library.about.name, &failure)));
                }
            }
        }
    }
}

impl PluginProbe {
    fn has_changed(&self, library: &Arc<Loaded>) -> bool {
        self.slot.library().is_some_and(|now| !Arc::ptr_eq(&now, library))
    }
}
