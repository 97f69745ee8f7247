//! One check of a probe: its deadline, its panics, and whether the machine let it be asked at all.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use vitald_core::check::Check;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeResult, SpecError};
use vitald_core::registry::Registry;

use crate::clock::Clock;

/// Builds the probe of one run: each handler in it with its deadline.
pub(crate) fn build(
    check: &Check,
    registry: &Registry,
    component: &ComponentContext,
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn HealthProbe>, SpecError> {
    check.build(registry, component, &|key, probe| {
        let is_custom = registry.is_custom(key);
        Box::new(Guarded { key: key.to_owned(), is_custom, probe, clock: Arc::clone(clock) })
    })
}

/// Asks once, outside any component's life: `vitald check`, `vitald probe run`.
///
/// # Errors
/// A mistake in the configuration.
pub async fn check_once(
    check: &Check,
    registry: &Registry,
    component: &ComponentContext,
    cx: &CheckContext,
    clock: &Arc<dyn Clock>,
) -> Result<(ProbeResult, Duration), SpecError> {
    let probe = build(check, registry, component, clock)?;
    let started = clock.now();
    let result = probe.check(cx).await;
    Ok((result, clock.now() - started))
}

/// A handler's probe with what its caller owns: the deadline, and the fence around panics.
struct Guarded {
    key: String,
    /// Where nobody knows whether it is what it asks or the probe itself that gives no answer.
    is_custom: bool,
    probe: Box<dyn HealthProbe>,
    clock: Arc<dyn Clock>,
}

/// A deadline that fires this much too late says that the machine, not the component, was slow.
fn starved_after(timeout: Duration) -> Duration {
    (timeout / 2).max(Duration::from_millis(500))
}

#[async_trait]
impl HealthProbe for Guarded {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let deadline = self.clock.now() + cx.timeout;
        let check = AssertUnwindSafe(self.probe.check(cx)).catch_unwind();
        match tokio::time::timeout(cx.timeout, check).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => {
                ProbeResult::unknown(format!("the {} probe panicked: {}", self.key, text(&*panic)))
            }
            Err(_elapsed) => {
                let late = self.clock.now().since(deadline);
                if late > starved_after(cx.timeout) {
                    let late = late.as_secs_f64();
                    return ProbeResult::unknown(format!(
                        "no answer, but the machine slept or was too busy for {late:.1} s to tell why"
                    ));
                }
                let limit = cx.timeout.as_secs_f64();
                match self.is_custom {
                    true => ProbeResult::unknown(format!(
                        "the {} probe did not come back within {limit} s",
                        self.key
                    )),
                    false => ProbeResult::failure(format!("no answer within {limit} s")),
                }
            }
        }
    }
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
