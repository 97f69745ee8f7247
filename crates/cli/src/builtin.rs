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
    use std::path::{Path, PathBuf};

    use serde::Deserialize;
    use serde_json::Value;
    use vitald_manifest::{LoadOptions, render};

    fn manifests() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests")
    }

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
        let mut seen = 0;
        for folder in folders() {
            let written: Vec<_> = load(&folder).iter().map(render).collect();
            let text: String = written.iter().map(|document| format!("---\n{document}\n")).collect();
            std::fs::write(&file, text).unwrap();
            assert_eq!(load(&file).iter().map(render).collect::<Vec<_>>(), written);
            seen += written.len();
        }
        assert!(seen > 20, "only {seen} components");
    }

    /// Those that manifests are in.
    fn folders() -> Vec<PathBuf> {
        let entries = std::fs::read_dir(manifests()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    }

    #[test]
    fn the_schema_of_the_repository_is_that_of_the_code() {
        let text = std::fs::read_to_string(manifests().join("schema.json")).unwrap_or_default();
        let own = serde_json::to_string_pretty(&vitald_manifest::schema(&registry())).unwrap();
        assert!(
            text == format!("{own}\n"),
            "manifests/schema.json is out of date: `cargo xtask schema` writes it"
        );
    }

    #[test]
    fn the_manifests_of_the_repository_name_their_schema_and_fit_it() {
        let text = std::fs::read_to_string(manifests().join("schema.json")).unwrap();
        let validator = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
        let mut seen = 0;
        let files = folders().into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
        for path in files.map(|entry| entry.unwrap().path()) {
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let first = text.lines().next().unwrap_or_default();
            assert_eq!(first, "# yaml-language-server: $schema=../schema.json", "{}", path.display());
            for document in serde_yaml::Deserializer::from_str(&text) {
                let document = Value::deserialize(document).unwrap();
                let mistakes: Vec<String> =
                    validator.iter_errors(&document).map(|err| err.to_string()).collect();
                assert!(mistakes.is_empty(), "{}: {mistakes:?}", path.display());
                seen += 1;
            }
        }
        assert!(seen > 20, "only {seen} documents");
    }
}
