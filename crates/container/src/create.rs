//! From a component's spec to what the engine is to create.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, ImageConfig, Mount as EngineMount, MountType,
    PortBinding, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use vitald_core::restarter::{RunId, StartError};
use vitald_core::spec::{ContainerSpec, LogsSpec, Port, Protocol};
use vitald_process::expand_with;

use crate::component::{Component, Environment};
use crate::labels;

/// Where a port is published unless the manifest says otherwise: this machine alone.
const HOST_IP: &str = "127.0.0.1";

/// The log driver that keeps bytes as they were written; `json-file` replaces what is no UTF-8.
pub(crate) const LOG_DRIVER: &str = "local";

/// The engine's own copy of the log is made no smaller, so that a burst is not dropped before it was copied.
const LEAST_LOG: u64 = 16 << 20;

/// What the engine is to create for a run. `image` is what the image says of itself.
pub(crate) fn body(
    component: &Component,
    environment: &Environment,
    instance: &str,
    run: RunId,
    image: &ImageConfig,
) -> ContainerCreateBody {
    let spec = &component.spec;
    let expanded = |words: &[String]| -> Vec<String> {
        words.iter().map(|word| expand_with(word, environment)).collect()
    };
    let said = |words: &[String]| (!words.is_empty()).then(|| expanded(words));
    let exposed = (!spec.host_network).then(|| component.ports.iter().map(engine_port).collect::<Vec<_>>());
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        // An entrypoint of ours leaves no place for the image's command; the engine sees to that.
        entrypoint: said(&spec.command),
        cmd: said(&spec.args),
        env: Some(environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: spec.working_dir.clone(),
        user: user(spec, image),
        labels: Some(labels::of_run(&component.name, instance, run, &component.paths.lock)),
        exposed_ports: exposed.filter(|ports| !ports.is_empty()),
        tty: Some(false),
        host_config: Some(host_config(spec, &component.ports, component.logs)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &ContainerSpec, ports: &[Port], logs: LogsSpec) -> HostConfig {
    let memory = spec.memory_limit.map(signed);
    let open_files = spec.open_files.map(|most| {
        vec![ResourcesUlimits {
            name: Some("nofile".into()),
            soft: Some(signed(most)),
            hard: Some(signed(most)),
        }]
    });
    HostConfig {
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        network_mode: spec.host_network.then(|| "host".into()),
        port_bindings: (!spec.host_network).then(|| published(ports)),
        mounts: Some(spec.mounts.iter().map(engine_mount).collect()),
        memory,
        // As much again of swap would make the limit another one.
        memory_swap: memory,
        nano_cpus: spec.cpu_limit_millis.map(|millis| i64::from(millis) * 1_000_000),
        ulimits: open_files,
        security_opt: spec.no_new_privileges.then(|| vec!["no-new-privileges".into()]),
        log_config: Some(HostConfigLogConfig {
            typ: Some(LOG_DRIVER.into()),
            config: Some(log_options(logs)),
        }),
        ..HostConfig::default()
    }
}

/// The engine keeps as much as we do: what it drops while nobody copies, we would have dropped, too.
fn log_options(logs: LogsSpec) -> HashMap<String, String> {
    let size = logs.max_size.max(LEAST_LOG);
    // With one file alone, a rotation would throw away what was not copied.
    let files = logs.max_files.max(2);
    [
        ("max-size", size.to_string()),
        ("max-file", files.to_string()),
        ("compress", "false".into()),
        // Whatever the engine's own defaults say: the other mode drops messages.
        ("mode", "blocking".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn published(ports: &[Port]) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut published: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in ports {
        let Some(host_port) = port.host_port else { continue };
        let binding = PortBinding {
            host_ip: Some(port.host_ip.clone().unwrap_or_else(|| HOST_IP.to_owned())),
            host_port: Some(host_port.to_string()),
        };
        published.entry(engine_port(port)).or_default().get_or_insert_default().push(binding);
    }
    published
}

/// `80/tcp`.
fn engine_port(port: &Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{}/{protocol}", port.container_port)
}

fn engine_mount(mount: &vitald_core::spec::Mount) -> EngineMount {
    EngineMount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.display().to_string()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..EngineMount::default()
    }
}

/// A group alone leaves the image its user.
fn user(spec: &ContainerSpec, image: &ImageConfig) -> Option<String> {
    let image_user =
        image.user.as_deref().and_then(|user| user.split(':').next()).filter(|user| !user.is_empty());
    match (&spec.run_as_user, &spec.run_as_group) {
        (None, None) => None,
        (Some(user), None) => Some(user.clone()),
        (Some(user), Some(group)) => Some(format!("{user}:{group}")),
        (None, Some(group)) => Some(format!("{}:{group}", image_user.unwrap_or("0"))),
    }
}

/// What is mounted must be there: the engine would make a folder of a missing one, as root.
pub(crate) fn check_mounts(spec: &ContainerSpec) -> Result<(), StartError> {
    let missing = |source: &Path| -> Option<String> {
        match source.try_exists() {
            Ok(true) => None,
            Ok(false) => Some("it does not exist; make it first".into()),
            Err(err) => Some(err.to_string()),
        }
    };
    for mount in &spec.mounts {
        if let Some(reason) = missing(&mount.source) {
            let doing = format!("mounting {} at {}", mount.source.display(), mount.target);
            return Err(StartError::System { doing, reason });
        }
    }
    Ok(())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_published_for_this_machine_alone_unless_it_is_said_otherwise() {
        let port = |container_port, host_port, host_ip: Option<&str>, protocol| Port {
            name: None,
            container_port,
            host_port,
            host_ip: host_ip.map(str::to_owned),
            protocol,
        };
        let published = published(&[
            port(80, Some(8080), None, Protocol::Tcp),
            port(80, Some(8081), Some("0.0.0.0"), Protocol::Tcp),
            port(53, Some(5353), None, Protocol::Udp),
            port(9, None, None, Protocol::Tcp),
        ]);
        let told = |port: &str| -> Vec<String> {
            let bindings = published.get(port).cloned().flatten().unwrap_or_default();
            let text = |text: Option<String>| text.unwrap_or_default();
            bindings.into_iter().map(|b| format!("{}:{}", text(b.host_ip), text(b.host_port))).collect()
        };
        assert_eq!(told("80/tcp"), ["127.0.0.1:8080", "0.0.0.0:8081"]);
        assert_eq!(told("53/udp"), ["127.0.0.1:5353"]);
        assert_eq!(published.len(), 2);
    }

    #[test]
    fn the_engine_keeps_as_much_as_we_do_and_never_one_file_alone() {
        let logs = LogsSpec { max_size: 1, max_files: 1, ..LogsSpec::default() };
        let options = log_options(logs);
        assert_eq!((options["max-size"].as_str(), options["max-file"].as_str()), ("16777216", "2"));
        let options = log_options(LogsSpec::default());
        assert_eq!((options["max-size"].as_str(), options["max-file"].as_str()), ("52428800", "5"));
        assert_eq!(options["mode"], "blocking");
    }
}
