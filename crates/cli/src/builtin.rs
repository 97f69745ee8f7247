//! The probes that come with vitald. A new one is a crate under `probes/` and a line here.

use vitald_core::registry::Registry;
use vitald_probe_docker::DockerProbe;
use vitald_probe_exec::ExecProbe;
use vitald_probe_grpc::GrpcProbe;
use vitald_probe_http_get::HttpGetProbe;
use vitald_probe_log_growth::LogGrowthProbe;
use vitald_probe_memory::MemoryProbe;
use vitald_probe_notify::NotifyProbe;
use vitald_probe_pid::PidProbe;
use vitald_probe_tcp_socket::TcpSocketProbe;
use vitald_probe_temporal::TemporalProbe;

/// All built-in probe kinds.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add::<ExecProbe>();
    registry.add::<HttpGetProbe>();
    registry.add::<TcpSocketProbe>();
    registry.add::<GrpcProbe>();
    registry.add::<PidProbe>();
    registry.add::<LogGrowthProbe>();
    registry.add::<MemoryProbe>();
    registry.add::<NotifyProbe>();
    registry.add::<TemporalProbe>();
    registry.add::<DockerProbe>();
    registry
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use vitald_manifest::{LoadOptions, render};

    #[test]
    fn the_manifests_of_the_repository_are_written_again_as_they_are() {
        let registry = registry();
        let load = |path: &Path| {
            let options = LoadOptions { registry: &registry, env_path: None };
            vitald_manifest::load(&[path.to_owned()], &options)
                .unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
                .components
        };
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("again.yaml");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests");
        let mut seen = 0;
        for folder in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            for component in load(&folder) {
                let written = render(&component);
                std::fs::write(&file, written.to_string()).unwrap();
                assert_eq!(render(&load(&file)[0]), written);
                seen += 1;
            }
        }
        assert!(seen > 20, "only {seen} components");
    }
}
