//! `notify`: healthy when the component says so itself, by sd_notify(3).
//!
//! It has said `READY=1`, and, where that is asked for, `WATCHDOG=1` lately enough.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use vitald_core::async_trait;
use vitald_core::notify::{Heard, RunNeeds};
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::spec::ComponentKind;

/// Healthy when the component has said `READY=1` on its `NOTIFY_SOCKET` (sd_notify), and `WATCHDOG=1` lately.
///
/// As a startup probe it waits for READY=1, as a liveness probe it minds the watchdog. For native processes only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotifySpec {
    /// For how many seconds at most it may not say `WATCHDOG=1`, once it is ready; greater than 0. It finds the
    /// shortest of all its probes in `WATCHDOG_USEC`, and does well to speak up twice as often. Without it,
    /// `READY=1` is enough.
    #[serde(default)]
    #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0))]
    pub watchdog_seconds: Option<f64>,
}

/// Asks what the run has told of itself.
pub struct NotifyProbe {
    watchdog: Option<Duration>,
}

impl ProbeKind for NotifyProbe {
    const KEY: &'static str = "notify";
    type Spec = NotifySpec;

    fn build(spec: NotifySpec, component: &ComponentContext) -> Result<Self, SpecError> {
        if matches!(component.kind, Some(ComponentKind::Container | ComponentKind::External)) {
            return Err(SpecError::forbidden("only a native process is given a socket to tell on"));
        }
        let watchdog = watchdog(&spec).map_err(|err| err.at("watchdogSeconds"))?;
        Ok(Self { watchdog })
    }

    fn needs(spec: &NotifySpec) -> RunNeeds {
        RunNeeds { notify_socket: true, watchdog: watchdog(spec).unwrap_or_default() }
    }
}

fn watchdog(spec: &NotifySpec) -> Result<Option<Duration>, SpecError> {
    let Some(seconds) = spec.watchdog_seconds else { return Ok(None) };
    match Duration::try_from_secs_f64(seconds) {
        // sd_watchdog_enabled(3) counts in microseconds, and takes 0 for none.
        Ok(span) if span.as_micros() > 0 => Ok(Some(span)),
        Ok(_) | Err(_) => Err(SpecError::new("must be greater than 0")),
    }
}

#[async_trait]
impl HealthProbe for NotifyProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let Some(run) = &cx.run else {
            return ProbeResult::unknown("only a component that runs under a supervisor can tell of itself");
        };
        match run.heard().await {
            Ok(heard) => self.judge(&heard),
            Err(why) => ProbeResult::unknown(why),
        }
    }
}

impl NotifyProbe {
    fn judge(&self, heard: &Heard) -> ProbeResult {
        let told = &heard.notified;
        let passed_over = heard
            .passed_over
            .iter()
            .map(|why| format!("; a message was not taken: {why}"))
            .collect::<String>();
        if told.gave_up {
            return ProbeResult::failure("has said WATCHDOG=trigger: it has found itself sick");
        }
        if !told.ready && heard.missed {
            return ProbeResult::unknown("has not said READY=1 since vitald was away, and may have before");
        }
        if !told.ready {
            return ProbeResult::failure(format!("has not said READY=1{passed_over}"));
        }
        // Its own word counts for more than the manifest's; but not where nothing was asked.
        let limit =
            self.watchdog.map(|limit| told.watchdog.unwrap_or(limit)).filter(|limit| !limit.is_zero());
        match limit {
            Some(limit) if heard.silent > limit && !heard.has_more_time => ProbeResult::failure(format!(
                "has not said WATCHDOG=1 for {:.1} s, and is to do so every {} s{passed_over}",
                heard.silent.as_secs_f64(),
                limit.as_secs_f64()
            )),
            Some(_) | None => ProbeResult::Success,
        }
    }
}

#[cfg(test)]
mod tests {
    use vitald_core::notify::Notified;

    use super::*;

    fn heard(ready: bool, silent: f64) -> Heard {
        Heard {
            notified: Notified { ready, ..Notified::default() },
            silent: Duration::from_secs_f64(silent),
            has_more_time: false,
            missed: false,
            passed_over: None,
        }
    }

    fn judge(watchdog_seconds: Option<f64>, heard: &Heard) -> ProbeResult {
        let probe = NotifyProbe::build(NotifySpec { watchdog_seconds }, &ComponentContext::default());
        probe.unwrap_or_else(|err| panic!("{err}")).judge(heard)
    }

    #[test]
    fn ready_is_enough_where_nothing_more_is_asked() {
        assert_eq!(judge(None, &heard(false, 0.0)), ProbeResult::failure("has not said READY=1"));
        assert_eq!(judge(None, &heard(true, 1e6)), ProbeResult::Success);
    }

    #[test]
    fn silence_counts_once_it_is_ready() {
        assert_eq!(judge(Some(5.0), &heard(true, 4.9)), ProbeResult::Success);
        assert_eq!(
            judge(Some(5.0), &heard(true, 5.26)),
            ProbeResult::failure("has not said WATCHDOG=1 for 5.3 s, and is to do so every 5 s")
        );
        assert_eq!(judge(Some(5.0), &heard(false, 1.0)), ProbeResult::failure("has not said READY=1"));
        let more_time = Heard { has_more_time: true, ..heard(true, 60.0) };
        assert_eq!(judge(Some(5.0), &more_time), ProbeResult::Success);
    }

    #[test]
    fn its_own_word_on_how_long_it_may_be_silent_counts() {
        let own = |seconds| {
            let watchdog = Some(Duration::from_secs(seconds));
            let heard = heard(true, 8.0);
            Heard { notified: Notified { watchdog, ..heard.notified }, ..heard }
        };
        assert_eq!(judge(Some(5.0), &own(9)), ProbeResult::Success);
        assert_eq!(judge(Some(5.0), &own(0)), ProbeResult::Success, "zero is for ever");
        assert!(matches!(judge(Some(60.0), &own(7)), ProbeResult::Failure(_)));
        assert_eq!(judge(None, &own(7)), ProbeResult::Success, "nobody asked");
    }

    #[test]
    fn who_has_found_itself_sick_is() {
        let heard = heard(true, 0.0);
        let heard = Heard { notified: Notified { gave_up: true, ..heard.notified }, ..heard };
        assert!(matches!(judge(None, &heard), ProbeResult::Failure(why) if why.contains("WATCHDOG=trigger")));
    }

    #[test]
    fn what_may_have_been_said_to_nobody_is_unknown() {
        let missed = |ready| Heard { missed: true, ..heard(ready, 1.0) };
        assert!(matches!(judge(None, &missed(false)), ProbeResult::Unknown(_)));
        assert_eq!(judge(Some(5.0), &missed(true)), ProbeResult::Success);
    }

    #[test]
    fn why_a_message_was_not_taken_is_told() {
        let why = "one of process 7 (sh), which is none of its own";
        let heard = Heard { passed_over: Some(why.into()), ..heard(false, 1.0) };
        assert_eq!(
            judge(None, &heard),
            ProbeResult::failure(format!("has not said READY=1; a message was not taken: {why}"))
        );
    }

    #[test]
    fn only_a_native_process_can_tell() {
        let build = |kind| {
            let component = ComponentContext { kind, ..ComponentContext::default() };
            NotifyProbe::build(NotifySpec { watchdog_seconds: None }, &component).is_ok()
        };
        assert!(build(Some(ComponentKind::Process)) && build(None));
        assert!(!build(Some(ComponentKind::Container)) && !build(Some(ComponentKind::External)));
    }

    #[test]
    fn needs_and_ranges() {
        let spec = |watchdog_seconds| NotifySpec { watchdog_seconds: Some(watchdog_seconds) };
        let needs = RunNeeds { notify_socket: true, watchdog: Some(Duration::from_millis(250)) };
        assert_eq!(NotifyProbe::needs(&spec(0.25)), needs);
        for wrong in [0.0, -1.0, 1e-9, f64::INFINITY] {
            let refused = NotifyProbe::build(spec(wrong), &ComponentContext::default()).err();
            assert_eq!(
                refused.map(|err| err.to_string()).as_deref(),
                Some("watchdogSeconds: must be greater than 0"),
                "{wrong}"
            );
        }
    }
}
