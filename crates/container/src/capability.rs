//! Whether there is an engine: for `vitald doctor`.

use std::time::Duration;

use vitald_process::Capability;

use crate::create::LOG_DRIVER;
use crate::engine::{Engine, EngineError};
use crate::failure;

/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Older ones lack the log driver that keeps bytes as they are, among other things.
const OLDEST: (usize, usize) = (1, 41);

/// Asks the engine that DOCKER_HOST names.
pub async fn capability() -> Capability {
    let found = ask(&Engine::of_environment()).await;
    let name = "Docker engine";
    let without_it =
        "components with an `image` cannot be started, and what is asked of containers is unknown".into();
    match found {
        Ok(found) => Capability { name, available: true, found, without_it },
        Err(found) => Capability { name, available: false, found, without_it },
    }
}

async fn ask(engine: &Engine) -> Result<String, String> {
    let told = |err: EngineError| err.to_string();
    let client = engine.client().await.map_err(told)?;
    let info = engine.ask(PATIENCE, |client| async move { client.info().await }).await.map_err(told)?;
    let spoken = client.client_version();
    let version = (spoken.major_version, spoken.minor_version);
    let (major, minor) = version;
    let found = format!(
        "{} at {}, API {major}.{minor}, cgroup v{}",
        info.server_version.unwrap_or_else(|| "of no version".into()),
        engine.address(),
        info.cgroup_version.map_or_else(|| "?".into(), |version| version.to_string()),
    );
    if version < OLDEST {
        return Err(format!("{found}; API {}.{} is needed", OLDEST.0, OLDEST.1));
    }
    let drivers = info.plugins.and_then(|plugins| plugins.log).unwrap_or_default();
    if let Some(why) = lacks_log_driver(&drivers) {
        return Err(format!("{found}: {why}"));
    }
    let missing = missing(&[(info.memory_limit, "memory limits"), (info.cpu_cfs_quota, "cpu limits")]);
    let restores = match info.live_restore_enabled {
        Some(true) => "",
        Some(false) | None => "; containers end with it (no live-restore)",
    };
    Ok(format!("{found}{missing}{restores}"))
}

/// One that names none has some, as far as is known.
fn lacks_log_driver(offered: &[String]) -> Option<&'static str> {
    let lacks = !offered.is_empty() && !offered.iter().any(|driver| driver == LOG_DRIVER);
    lacks.then_some(failure::NO_LOG_DRIVER)
}

fn missing(offers: &[(Option<bool>, &str)]) -> String {
    let missing: Vec<&str> =
        offers.iter().filter(|(there, _)| *there == Some(false)).map(|(_, what)| *what).collect();
    if missing.is_empty() { String::new() } else { format!("; without {}", missing.join(" and ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_without_the_log_driver_that_is_needed_is_told() {
        let lacks = |drivers: &[&str]| {
            let drivers: Vec<String> = drivers.iter().map(|driver| (*driver).to_owned()).collect();
            lacks_log_driver(&drivers).is_some()
        };
        assert!(lacks(&["k8s-file", "none", "passthrough", "journald"]), "Podman");
        assert!(!lacks(&["awslogs", "json-file", "local", "syslog"]), "Docker");
        assert!(!lacks(&[]));
    }
}
