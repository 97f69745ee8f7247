//! `memory`: healthy while all processes of the component together use no more memory than a limit.
//!
//! Beside `resources.limits.memory`, at which the kernel kills without asking: this one goes through failure
//! threshold, hooks and grace period, and needs no cgroup.
//!
//! What counts is told by who runs the component, see [`RunView::memory`]: for processes, what the kubelet
//! calls the working set. File pages that the kernel could drop at once do not count; memory that several
//! processes share counts once.
//!
//! [`RunView::memory`]: vitald_core::restarter::RunView::memory

use std::io::ErrorKind;

use schemars::JsonSchema;
use serde::Deserialize;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::quantity::Quantity;
use vitald_core::wording::system_error;

/// Less than any program starts with: who writes `512` means `512Mi`.
const LEAST: u64 = 1 << 20;

/// Healthy while all processes of the component together use no more memory than `max`.
///
/// As a liveness probe it has a component that leaks restarted in good order; at a limit in `resources` the kernel
/// kills it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemorySpec {
    /// Most memory of all its processes together: `512Mi`, `1.5Gi`, `500M` or a number of bytes, at least 1Mi.
    pub max: Quantity,
}

/// Adds up the memory of a run, against the limit of a [`MemorySpec`].
pub struct MemoryProbe {
    max: u64,
}

impl ProbeKind for MemoryProbe {
    const KEY: &'static str = "memory";
    type Spec = MemorySpec;

    fn build(spec: MemorySpec, _component: &ComponentContext) -> Result<Self, SpecError> {
        let max = spec.max.bytes().map_err(|refused| SpecError::new(refused.to_string()).at("max"))?;
        if max < LEAST {
            return Err(SpecError::new("must be at least 1Mi").at("max"));
        }
        Ok(Self { max })
    }
}

#[async_trait]
impl HealthProbe for MemoryProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let Some(run) = &cx.run else {
            return ProbeResult::unknown("nothing to look at: there is no component outside a supervisor");
        };
        match run.memory().await {
            Ok(used) if used <= self.max => ProbeResult::Success,
            Ok(used) => ProbeResult::failure(format!("uses {}, more than {}", show(used), show(self.max))),
            Err(err) if err.kind() == ErrorKind::Unsupported => {
                ProbeResult::unknown("the memory of a component of this kind cannot be told")
            }
            Err(err) => ProbeResult::unknown(format!("its memory cannot be told: {}", system_error(&err))),
        }
    }
}

/// In MiB, to a tenth, rounded up: a limit that is exceeded by little looks exceeded.
fn show(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10).div_ceil(1 << 20);
    match tenths % 10 {
        0 => format!("{} MiB", tenths / 10),
        tenth => format!("{}.{tenth} MiB", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, shown) in [
            (512 << 20, "512 MiB"),
            ((512 << 20) + 1, "512.1 MiB"),
            (1_500_000, "1.5 MiB"),
            (3 << 30, "3072 MiB"),
            (u64::MAX, "17592186044416 MiB"),
        ] {
            assert_eq!(show(bytes), shown);
        }
    }
}
