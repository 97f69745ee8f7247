//! `docker`: healthy when a container runs, its own health check does not say otherwise, its engine does not
//! restart it over and over, and its recent log is clean.
//!
//! The engine's word on health counts only while the container runs: for one that is paused, stopped or killed it
//! says `unhealthy`, whatever its health check found. For one that was paused, it says so until the next check. An
//! engine that cannot be asked is no failure of the container's: the answer is Unknown.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum};
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use futures_util::StreamExt;
use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::spec::ComponentKind;
use vitald_core::wording::{excerpt, without_sequences};
use vitald_pattern::{compile, excerpt_at};

/// Where an engine is unless DOCKER_HOST says otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How long a request may take, in seconds; the probe's own timeout is usually shorter.
const ANSWER_WITHIN: u64 = 60;

/// Which part of its deadline the probe waits for the engine.
const PATIENCE: f64 = 0.9;

/// How many lines of a log are recent.
const RECENT_LINES: &str = "100";

/// Healthy while a container runs, is not unhealthy, and shows no forbidden line.
///
/// The Docker engine is asked: that of DOCKER_HOST, else at /var/run/docker.sock.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DockerSpec {
    /// Name or id of the container. Defaults to the component's own, where that is one.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub container: Option<String>,
    /// Whether its own health check must say `healthy`. Else it is enough that it does not say `unhealthy`, so that
    /// one without a health check, or whose first check is still to come, is well. Defaults to false.
    #[serde(default)]
    pub require_healthy: bool,
    /// Most restarts by the engine's own restart policy, since it was created. Not limited by default. A component's
    /// own container has no such policy.
    #[serde(default)]
    pub max_restart_count: Option<u32>,
    /// A regular expression that none of the last 100 lines of this start may match.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub must_not_match: Option<String>,
}

/// Asks the engine about the container of a [`DockerSpec`].
pub struct DockerProbe {
    host: String,
    spec: DockerSpec,
    must_not_match: Option<Regex>,
    client: Mutex<Option<Docker>>,
}

impl ProbeKind for DockerProbe {
    const KEY: &'static str = "docker";
    type Spec = DockerSpec;

    fn build(spec: DockerSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        if spec.container.is_none()
            && matches!(component.kind, Some(ComponentKind::Process | ComponentKind::External))
        {
            return Err(SpecError::required("the component is no container: name one in `container`"));
        }
        if spec.container.as_ref().is_some_and(String::is_empty) {
            return Err(SpecError::new("must name a container").at("container"));
        }
        let pattern = spec.must_not_match.as_deref();
        let must_not_match = pattern.map(|text| compile(text, "mustNotMatch")).transpose()?;
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let host = host.unwrap_or_else(|| DEFAULT_HOST.to_owned());
        Ok(Self { host, spec, must_not_match, client: Mutex::default() })
    }
}

#[async_trait]
impl HealthProbe for DockerProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let own = || cx.run.as_ref().and_then(|run| run.container());
        let Some(container) = self.spec.container.clone().or_else(own) else {
            return ProbeResult::unknown("the component is no container: `container` must name one");
        };
        // An engine that comes up accepts connections long before it answers. Whoever asks has a deadline, past which
        // there would be a failure: that of the engine, not of the container.
        let Ok(answer) = timeout(cx.timeout.mul_f64(PATIENCE), self.ask(&container)).await else {
            return ProbeResult::unknown(format!("the Docker engine at {} gives no answer", self.host));
        };
        match answer {
            Ok(result) => result,
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                ProbeResult::failure(format!("there is no container `{container}`"))
            }
            Err(Error::DockerResponseServerError { message, .. }) => {
                ProbeResult::unknown(format!("the Docker engine says: {}", message.trim_end()))
            }
            Err(err) => {
                // The next check connects anew.
                self.client.lock().unwrap_or_else(PoisonError::into_inner).take();
                let why = innermost(&err);
                ProbeResult::unknown(format!("the Docker engine at {} cannot be asked: {why}", self.host))
            }
        }
    }
}

impl DockerProbe {
    async fn ask(&self, container: &str) -> Result<ProbeResult, Error> {
        let client = self.client().await?;
        let found = client.inspect_container(container, None::<InspectContainerOptions>).await?;
        match verdict(&self.spec, &found) {
            ProbeResult::Success => {}
            other => return Ok(other),
        }
        let Some(pattern) = &self.must_not_match else { return Ok(ProbeResult::Success) };
        let since = found.state.and_then(|state| state.started_at).as_deref().and_then(seconds);
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(RECENT_LINES);
        let mut lines = client.logs(container, Some(options.since(since.unwrap_or(0)).build()));
        while let Some(line) = lines.next().await {
            let line = line?.into_bytes();
            let line = without_sequences(line.trim_ascii_end());
            if let Some(found) = pattern.find(&line) {
                let line = excerpt_at(&line, found.start());
                return Ok(ProbeResult::failure(format!("forbidden line in its log: {line}")));
            }
        }
        Ok(ProbeResult::Success)
    }

    async fn client(&self) -> Result<Docker, Error> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(client) = known {
            return Ok(client);
        }
        let version = bollard::API_DEFAULT_VERSION;
        let client = match self.host.strip_prefix("unix://") {
            Some(path) => Docker::connect_with_unix(path, ANSWER_WITHIN, version)?,
            None => Docker::connect_with_http(&self.host, ANSWER_WITHIN, version)?,
        };
        let client = client.negotiate_version().await?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }
}

/// What the engine's account of a container comes to.
fn verdict(spec: &DockerSpec, found: &ContainerInspectResponse) -> ProbeResult {
    use ContainerStateStatusEnum::{CREATED, DEAD, EXITED, PAUSED, RESTARTING, RUNNING};
    let state = found.state.clone().unwrap_or_default();
    let restarts = found.restart_count.unwrap_or_default();
    let code = state.exit_code.unwrap_or_default();
    match state.status {
        Some(RUNNING) => {}
        // It counts as running, and does nothing.
        Some(PAUSED) => return ProbeResult::failure("the container is paused"),
        Some(RESTARTING) => {
            return ProbeResult::failure(format!(
                "the container is being restarted by its engine, {restarts} times so far; it exited with status {code}"
            ));
        }
        Some(EXITED | DEAD) if state.oom_killed.unwrap_or_default() => {
            return ProbeResult::failure("the container was killed for using too much memory");
        }
        Some(EXITED | DEAD) => {
            return ProbeResult::failure(format!("the container exited with status {code}"));
        }
        Some(CREATED) => {
            let why = state.error.filter(|why| !why.is_empty()).map(|why| format!(": {why}"));
            return ProbeResult::failure(format!(
                "the container was never started{}",
                why.unwrap_or_default()
            ));
        }
        other => {
            let status = other.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
            return ProbeResult::failure(format!("the container's status is {status}"));
        }
    }
    if let Some(most) = spec.max_restart_count.filter(|most| restarts > i64::from(*most)) {
        return ProbeResult::failure(format!(
            "its engine has restarted the container {restarts} times, more than {most}"
        ));
    }
    let health = state.health.unwrap_or_default();
    let last = health.log.as_ref().and_then(|log| log.last()?.output.clone()).unwrap_or_default();
    let last = match excerpt(&last) {
        said if said.is_empty() => said,
        said => format!(": {said}"),
    };
    match health.status {
        Some(HealthStatusEnum::HEALTHY) => ProbeResult::Success,
        // Left over from a pause.
        Some(HealthStatusEnum::UNHEALTHY) if health.failing_streak == Some(0) => match spec.require_healthy {
            true => ProbeResult::unknown("its health has not been checked since it was unpaused"),
            false => ProbeResult::Success,
        },
        Some(HealthStatusEnum::UNHEALTHY) => ProbeResult::failure(format!(
            "the container is unhealthy, its health check failed {} times in a row{last}",
            health.failing_streak.unwrap_or_default()
        )),
        _ if !spec.require_healthy => ProbeResult::Success,
        Some(HealthStatusEnum::STARTING) => {
            ProbeResult::failure(format!("the container is not healthy yet, only starting{last}"))
        }
        _ => ProbeResult::failure("the container has no health check, which `requireHealthy` asks for"),
    }
}

/// The engine's time as it takes it: in whole seconds since the epoch.
fn seconds(time: &str) -> Option<i32> {
    // `2026-11-22T04:09:11.07201198Z`, always in UTC.
    let number = |from: usize, to: usize| time.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    // Days since the epoch in the civil calendar, whose year begins in March here.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let seconds = days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    i32::try_from(seconds).ok().filter(|seconds| *seconds >= 0)
}

/// The reason at the bottom of it: the outer ones only say that a request failed.
fn innermost(err: &Error) -> String {
    let mut innermost: &dyn std::error::Error = err;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(fields: Value) -> DockerSpec {
        serde_json::from_value(fields).unwrap()
    }

    /// What is said of a container of this state, by a probe of these fields.
    fn told(fields: Value, state: Value, restarts: i64) -> String {
        let found = serde_json::from_value(json!({"State": state, "RestartCount": restarts})).unwrap();
        match verdict(&spec(fields), &found) {
            ProbeResult::Success => "well".into(),
            other => format!("{other:?}"),
        }
    }

    fn running(status: &str, streak: u32) -> Value {
        let log = json!([{"ExitCode": 1, "Output": "no answer\n"}]);
        json!({"Status": "running", "Running": true,
               "Health": {"Status": status, "FailingStreak": streak, "Log": log}})
    }

    #[test]
    fn the_status_comes_before_health() {
        let stale = json!({"Status": "unhealthy", "FailingStreak": 0});
        let state = |status: &str, code: i32, oom: bool| {
            let running = matches!(status, "paused" | "restarting");
            json!({"Status": status, "Running": running, "ExitCode": code, "OOMKilled": oom, "Health": stale})
        };
        for (state, said) in [
            (state("paused", 0, false), "is paused"),
            (
                state("restarting", 7, false),
                "being restarted by its engine, 2 times so far; it exited with status 7",
            ),
            (state("exited", 3, false), "exited with status 3"),
            (state("exited", 137, true), "too much memory"),
            (state("created", 127, false), "was never started"),
            (state("removing", 0, false), "status is removing"),
        ] {
            let told = told(json!({}), state, 2);
            assert!(told.starts_with("Failure") && told.contains(said), "{told}");
        }
    }

    #[test]
    fn health_counts_while_it_runs() {
        let none = json!({"Status": "running", "Running": true});
        let lax = |state: Value| told(json!({}), state, 0);
        let strict = |state: Value| told(json!({"requireHealthy": true}), state, 0);
        for state in [none.clone(), running("none", 0), running("starting", 0), running("healthy", 0)] {
            assert_eq!(lax(state), "well");
        }
        let sick = lax(running("unhealthy", 2));
        assert!(sick.contains("failed 2 times in a row: no answer"), "{sick}");
        assert_eq!(strict(running("healthy", 0)), "well");
        assert!(strict(running("starting", 0)).contains("only starting"));
        assert!(strict(none).contains("has no health check"));
        // Unpaused a moment ago.
        assert_eq!(lax(running("unhealthy", 0)), "well");
        assert!(strict(running("unhealthy", 0)).starts_with("Unknown"));
    }

    #[test]
    fn a_restart_loop_is_a_failure_where_it_is_limited() {
        let limited = || json!({"maxRestartCount": 3});
        assert_eq!(told(json!({}), running("healthy", 0), 99), "well");
        assert_eq!(told(limited(), running("healthy", 0), 3), "well");
        assert!(told(limited(), running("healthy", 0), 4).contains("4 times, more than 3"));
    }

    #[test]
    fn patterns_are_checked_when_the_probe_is_built() {
        let build = |fields: Value| DockerProbe::build(spec(fields), &ComponentContext::default());
        assert!(build(json!({"mustNotMatch": "panic|fatal"})).is_ok());
        for (fields, path) in [
            (json!({"mustNotMatch": "("}), "mustNotMatch"),
            (json!({"mustNotMatch": ""}), "mustNotMatch"),
            (json!({"mustNotMatch": "a*"}), "mustNotMatch"),
            (json!({"container": ""}), "container"),
        ] {
            assert_eq!(build(fields).err().unwrap().path, path);
        }
        let wrong = build(json!({"mustNotMatch": "panic("})).err().unwrap();
        assert_eq!(wrong.message, "must be a regular expression: unclosed group, at character 6");
    }

    #[test]
    fn who_is_no_container_must_name_one() {
        let build = |fields: Value, kind| {
            let component = ComponentContext { kind: Some(kind), ..ComponentContext::default() };
            DockerProbe::build(spec(fields), &component).map(drop).map_err(|err| err.message)
        };
        let required = Err("the component is no container: name one in `container`".to_owned());
        for kind in [ComponentKind::Process, ComponentKind::External] {
            assert_eq!(build(json!({}), kind), required);
            assert_eq!(build(json!({"container": "db"}), kind), Ok(()));
        }
        assert_eq!(build(json!({}), ComponentKind::Container), Ok(()));
    }

    #[test]
    fn the_engine_s_times_are_read() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2026-11-22T04:09:11.07201198Z"), Some(1_795_320_551));
        assert_eq!(seconds("2024-02-29T23:59:59Z"), Some(1_709_251_199));
        assert_eq!(seconds("0001-01-01T00:00:00Z"), None);
        assert_eq!(seconds("soon"), None);
    }
}
