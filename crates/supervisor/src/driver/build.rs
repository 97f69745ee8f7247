//! The probes of a run, those included that cannot be built yet.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use vitald_core::check::Check;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeResult};
use vitald_core::registry::Registry;

use crate::member::Nursery;
use crate::probe_run;

/// Builds a probe. One that cannot be built says why whenever it is asked, which is no reason to restart: the manifest
/// was checked by the same code, so that what is left is a bug, or a library that is gone and may come back.
pub(super) fn probe(nursery: &Arc<Nursery>, check: &Check, context: &ComponentContext) -> Built {
    match build(nursery, check, context) {
        Ok(probe) => probe,
        Err((registry, why)) => Arc::new(Unbuilt {
            nursery: Arc::clone(nursery),
            check: check.clone(),
            context: context.clone(),
            tried: Mutex::new(Tried { registry, outcome: Err(why) }),
        }),
    }
}

type Built = Arc<dyn HealthProbe>;

/// Builds a probe of the kinds that there are now. Else gives those, and why it cannot be built of them.
fn build(
    nursery: &Nursery,
    check: &Check,
    context: &ComponentContext,
) -> Result<Built, (Arc<Registry>, String)> {
    let registry = nursery.probes.registry();
    let build = AssertUnwindSafe(|| probe_run::build(check, &registry, context, &nursery.clock));
    match std::panic::catch_unwind(build) {
        Ok(Ok(probe)) => Ok(Arc::from(probe)),
        Ok(Err(err)) => Err((registry, err.to_string())),
        Err(_panic) => Err((registry, "the probe panicked while it was built".into())),
    }
}

/// Stands in for a probe that could not be built, until there are kinds of which it can be.
struct Unbuilt {
    nursery: Arc<Nursery>,
    check: Check,
    context: ComponentContext,
    tried: Mutex<Tried>,
}

/// The last attempt to build a probe.
struct Tried {
    registry: Arc<Registry>,
    outcome: Result<Built, String>,
}

impl Unbuilt {
    fn probe(&self) -> Result<Built, String> {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if tried.outcome.is_err() && !Arc::ptr_eq(&tried.registry, &self.nursery.probes.registry()) {
            match build(&self.nursery, &self.check, &self.context) {
                Ok(probe) => tried.outcome = Ok(probe),
                Err((registry, why)) => *tried = Tried { registry, outcome: Err(why) },
            }
        }
        tried.outcome.clone()
    }
}

#[vitald_core::async_trait]
impl HealthProbe for Unbuilt {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        match self.probe() {
            Ok(probe) => probe.check(cx).await,
            Err(why) => ProbeResult::unknown(why),
        }
    }
}
