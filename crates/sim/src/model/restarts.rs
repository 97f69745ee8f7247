//! Starts, and the restarts that nobody asks for: delays, and the limit.

use vitald_core::spec::{ComponentSpec, RestartPolicy};

use super::{Act, Launch, Model, Rest, State, Then};
use crate::dice::{Nanos, SEC};

impl Model {
    pub(super) fn launch(&mut self, launch: Launch) {
        if self.closing {
            self.state = State::Rest(Rest::Fresh);
        } else if !self.missing {
            match launch {
                Launch::Plain => {}
                Launch::Automatic => {
                    self.total += 1;
                    self.restarts.push(self.now);
                }
                // Still the same one, made now.
                Launch::Lost => {
                    self.restarts.pop();
                    self.restarts.push(self.now);
                }
            }
            let launch = if launch == Launch::Plain { launch } else { Launch::Lost };
            self.run += 1;
            self.act(Act::Start);
            self.state = State::Spawning { launch, then: Then::Policy };
        }
    }

    pub(super) fn after_end(&mut self, well: bool) {
        let again = match self.spec.restart_policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !well,
            RestartPolicy::Never => false,
        };
        self.state = State::Rest(if !again && well { Rest::Completed } else { Rest::Error });
        if !again {
            return;
        }
        if self.closing {
            self.state = State::Rest(Rest::Fresh);
            return;
        }
        self.bad_ends += 1;
        let (least, most) = delay(&self.spec, self.bad_ends);
        self.state = if most == 0 && self.is_full(self.now) {
            State::Rest(Rest::Failed)
        } else {
            if most > 0 {
                self.delay = Some((self.now + least, self.now + most));
            }
            State::Due { at: self.now + most, launch: Launch::Automatic }
        };
    }

    /// Where in its range the delay that has just begun ends; `None`: given up instead.
    pub(crate) fn delayed(&mut self, until: Option<Nanos>) -> Result<(), String> {
        let Some((least, most)) = self.delay.take() else { return Ok(()) };
        match until {
            None if self.is_full(least) => self.state = State::Rest(Rest::Failed),
            None => return Err("given up, though one more restart is allowed".into()),
            Some(at) if self.is_full(at) => {
                return Err(format!("a restart too many is due at {}", at / SEC));
            }
            Some(at) if at < least || at > most => {
                let span = |to: Nanos| (to - self.now) as f64 / 1e9;
                return Err(format!(
                    "a delay of {} s, which is none from {} s to {} s (bad end {})",
                    (at as f64 - self.now as f64) / 1e9,
                    span(least),
                    span(most),
                    self.bad_ends
                ));
            }
            Some(at) => self.state = State::Due { at, launch: Launch::Automatic },
        }
        Ok(())
    }
}

struct Numbers {
    initial: f64,
    max: f64,
    multiplier: f64,
    jitter: f64,
}

/// The manifest's numbers, out of what a backoff is written down as.
fn backoff(spec: &ComponentSpec) -> Numbers {
    let written = serde_json::to_value(&spec.restart.backoff).unwrap_or_default();
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
    let seconds = |name: &str| number(&written[name]["secs"]) + number(&written[name]["nanos"]) / 1e9;
    Numbers {
        initial: seconds("initial"),
        max: seconds("max"),
        multiplier: number(&written["multiplier"]),
        jitter: number(&written["jitter"]),
    }
}

/// Between what lies delay number `n`: initial, then `multiplier` times the one before, never above max.
fn delay(spec: &ComponentSpec, n: u32) -> (Nanos, Nanos) {
    let backoff = backoff(spec);
    let mut seconds = backoff.initial;
    for _ in 1..n.min(200) {
        seconds = (seconds * backoff.multiplier).min(backoff.max);
    }
    if seconds == 0.0 {
        return (0, 0);
    }
    let rounding = 1e-5;
    let least = (seconds * (1.0 - backoff.jitter) - rounding).max(0.0);
    let most = (seconds * (1.0 + backoff.jitter)).min(backoff.max) + rounding;
    ((least * 1e9) as Nanos, (most * 1e9) as Nanos)
}
