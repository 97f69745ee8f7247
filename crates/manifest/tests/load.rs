//! What good manifests become, and what is odd about some.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vitald_core::check::Check;
use vitald_core::registry::Isolation;
use vitald_core::spec::{
    ComponentSpec, Condition, EnvValue, FoundBy, ImagePullPolicy, OnDiskFull, Port, Protocol, RestartPolicy,
    Workload,
};
use vitald_manifest::{Diagnostics, LoadOptions, Manifests, load};

fn load_with(path: &Path, env_path: Option<&str>) -> Result<Manifests, Diagnostics> {
    let registry = support::registry();
    load(&[path.to_owned()], &LoadOptions { registry: &registry, env_path: env_path.map(OsString::from) })
}

fn load_text(text: &str) -> Result<Manifests, Diagnostics> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    fs::write(&file, text).unwrap();
    load_with(&file, None)
}

fn component(name: &str, spec: &str) -> String {
    format!("---\napiVersion: vitald/v1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n")
}

fn process(component: &ComponentSpec) -> &vitald_core::spec::ProcessSpec {
    let Workload::Process(process) = &component.workload else { panic!("{component:?}") };
    process
}

#[test]
fn everything_arrives_in_the_model() {
    let manifests = load_with(Path::new("tests/good/everything.yaml"), Some("/bin:/usr/bin")).unwrap();
    assert_eq!(manifests.warnings, []);
    let names: Vec<&str> = manifests.components.iter().map(|component| &*component.name).collect();
    assert_eq!(names, ["temporal", "migrate", "workflow-runner"], "dependencies first");
    let dir = std::path::absolute("tests/good").unwrap();
    let runner = &manifests.components[2];
    let run = process(runner);
    assert_eq!(run.command, ["sleep", "60", "--address", "$(TEMPORAL_SERVICE_ADDRESS)"]);
    assert_eq!(run.working_dir, dir);
    assert_eq!(run.env_from, [dir.join("common.env")]);
    assert_eq!(run.env[2].value, EnvValue::Literal(String::new()));
    assert_eq!(
        run.env[1].value,
        EnvValue::FileKey { path: dir.join("secrets.env"), key: "API_KEY".to_owned(), optional: true }
    );
    assert_eq!((run.run_as_user.as_deref(), run.run_as_group.as_deref()), (Some("nobody"), Some("65534")));
    assert!(run.no_new_privileges && !run.inherit_env);
    assert_eq!(run.open_files, Some(4096));
    assert_eq!((run.memory_limit, run.cpu_limit_millis), (Some(3 << 29), Some(500)));
    assert_eq!(runner.depends_on[1].condition, Condition::Completed);
    assert_eq!(runner.restart.min_uptime, Duration::from_millis(250));
    assert_eq!((runner.logs.max_size, runner.logs.max_files), (1 << 20, 3));
    assert_eq!(runner.logs.on_disk_full, OnDiskFull::DropOldest);
    assert_eq!(runner.pre_stop.as_ref().unwrap().command, ["true", "now"]);
    let liveness = runner.liveness_probe.as_ref().unwrap();
    assert_eq!(liveness.period, Duration::from_millis(250));
    assert_eq!(liveness.termination_grace_period, Some(Duration::from_millis(500)));
    assert_eq!(liveness.check.handlers(), ["pid", "tcpSocket", "exec", "pid"]);
    let readiness = runner.readiness_probe.as_ref().unwrap();
    assert_eq!((readiness.success_threshold, readiness.failure_threshold), (2, 3));
    assert_eq!((readiness.period, readiness.timeout), (Duration::from_secs(5), Duration::from_secs(3)));
    assert_eq!(runner.startup_probe.as_ref().unwrap().failure_threshold, 60);
    let pid = Check::handler("pid", serde_json::json!({}));
    assert_eq!(manifests.components[0].liveness_probe.as_ref().unwrap().check, pid);
}

#[test]
fn where_custom_probes_run_arrives_in_the_model_and_comes_back() {
    let registry = support::registry_with_custom();
    let options = LoadOptions { registry: &registry, env_path: None };
    let load = |path: &Path| {
        let loaded = vitald_manifest::load(&[path.to_owned()], &options);
        loaded.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false))).components.remove(0)
    };
    let component = load(Path::new("tests/good_custom/isolation.yaml"));
    let disk = |path: &str, isolation| Check::Handler {
        key: "diskSpace".to_owned(),
        config: serde_json::json!({ "path": path }),
        isolation,
    };
    let check = |probe: &Option<vitald_core::spec::ProbeSpec>| probe.as_ref().unwrap().check.clone();
    assert_eq!(check(&component.startup_probe), disk("/", Isolation::Process));
    assert_eq!(check(&component.readiness_probe), disk("/", Isolation::InProcess));
    let pid = Check::handler("pid", serde_json::json!({}));
    let parts = [pid, disk("/srv", Isolation::Process), disk("/var", Isolation::InProcess)];
    assert_eq!(check(&component.liveness_probe), Check::AllOf(parts.into()));

    let rendered = vitald_manifest::render(&component);
    assert_eq!(rendered["spec"]["readinessProbe"]["isolation"], "InProcess");
    assert_eq!(rendered["spec"]["startupProbe"].get("isolation"), None);
    let temp = tempfile::tempdir().unwrap();
    let again = temp.path().join("again.yaml");
    std::fs::write(&again, rendered.to_string()).unwrap();
    assert_eq!(load(&again), component);
}

#[test]
fn containers_and_externals_arrive_in_the_model() {
    let manifests = load_with(Path::new("tests/good/kinds.yaml"), Some("/bin:/usr/bin")).unwrap();
    let told: Vec<String> = manifests.warnings.iter().map(|warning| warning.headline()).collect();
    assert_eq!(
        told,
        ["nginx: spec.external.pidFile: the folder \"HERE/run/..\" does not exist"
            .replace("HERE", std::path::absolute("tests/good").unwrap().to_str().unwrap())]
    );
    let dir = std::path::absolute("tests/good").unwrap();
    let [runner, proxy, nginx, postgres] = &manifests.components[..] else { panic!("{manifests:?}") };
    let kinds = manifests.components.iter().map(|component| component.workload.kind().as_str());
    assert_eq!(kinds.collect::<Vec<_>>(), ["container", "container", "external", "external"]);

    let Workload::Container(container) = &runner.workload else { panic!("{runner:?}") };
    assert_eq!(container.image, "stigmer/agent-runner:latest");
    assert_eq!(container.image_pull_policy, ImagePullPolicy::IfNotPresent);
    assert_eq!((&*container.command, container.args.len()), (&["tini".to_owned(), "--".to_owned()][..], 3));
    assert_eq!((container.working_dir.as_deref(), &container.folder), (Some("/workspace"), &dir));
    assert_eq!(container.env_from, [dir.join("common.env")]);
    let mounts = container.mounts.iter().map(|mount| (&*mount.source, &*mount.target, mount.read_only));
    assert_eq!(
        mounts.collect::<Vec<_>>(),
        [
            (&*dir, "/workspace", false),
            (&*dir, "/copy/", true),
            (&*dir.join("common.env"), "/etc/settings.env", false)
        ]
    );
    assert_eq!((container.run_as_user.as_deref(), container.no_new_privileges), (Some("nobody"), true));
    assert_eq!((container.memory_limit, container.cpu_limit_millis), (Some(512 << 20), Some(1000)));
    let port = |port: &Port| (port.container_port, port.host_port, port.host_ip.clone(), port.protocol);
    assert_eq!(port(&runner.ports[1]), (80, Some(8081), Some("192.0.2.1".to_owned()), Protocol::Tcp));
    assert_eq!(port(&runner.ports[2]), (53, Some(8081), None, Protocol::Udp));
    let Workload::Container(container) = &proxy.workload else { panic!("{proxy:?}") };
    assert!(container.host_network && container.command.is_empty());
    assert_eq!(container.image_pull_policy, ImagePullPolicy::Always, "it has no tag");

    let Workload::External(external) = &nginx.workload else { panic!("{nginx:?}") };
    assert_eq!(external.found_by, FoundBy::PidFile(dir.join("run/../common.pid")));
    assert_eq!(external.process_name.as_deref(), Some("nginx"));
    assert_eq!(external.start_command.as_deref().unwrap(), ["true", "start", "nginx"]);
    assert_eq!(external.restart_command.as_deref().unwrap()[1], "restart");
    assert!(external.commands.inherit_env && external.commands.command.is_empty());
    assert_eq!(external.commands.working_dir, dir);
    let Workload::External(external) = &postgres.workload else { panic!("{postgres:?}") };
    assert_eq!((&external.found_by, &external.stop_command), (&FoundBy::Port(5432), &None));
}

#[test]
fn what_is_odd_about_containers_and_externals_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    let warnings = |spec: &str| {
        fs::write(&file, component("api", spec)).unwrap();
        let manifests = load_with(&file, Some("/bin:/usr/bin")).unwrap();
        manifests.warnings.iter().map(|warning| warning.headline()).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(warnings("image: a\n  command: [nosuch]\n  workingDir: /no/such"), "", "it has its own");
    assert_eq!(
        warnings(
            "image: a\n  volumes: [{name: a, hostPath: {path: no/such}}, {name: b, hostPath: {path: .}}]\n  volumeMounts: [{name: a, mountPath: /a}]"
        ),
        "spec.volumes[0].hostPath.path: the path \"no/such\" does not exist\n\
         spec.volumes[1].name: the volume `b` is not mounted"
    );
    assert_eq!(
        warnings("image: a\n  envFrom: [{file: no.env}]\n  resources: {limits: {cpu: 1m}}"),
        "spec.envFrom[0].file: the file \"no.env\" does not exist\n\
         spec.resources.limits.cpu: 1m is taken for 10m"
    );
    assert_eq!(
        warnings("external: {port: 1, startCommand: [nosuch], stopCommand: [./a.sh], restartCommand: [sh]}"),
        "spec.external.startCommand[0]: `nosuch` is not on PATH\n\
         spec.external.stopCommand[0]: the program \"./a.sh\" does not exist"
    );
    assert_eq!(
        warnings("external: {pidFile: a.pid}\n  workingDir: x"),
        "spec.workingDir: the directory \"x\" does not exist"
    );
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let manifests = load_with(Path::new("tests/good/anchors.yml"), None).unwrap();
    let one = &manifests.components[0];
    assert_eq!(one.restart_policy, RestartPolicy::Never);
    let readiness = one.readiness_probe.as_ref().unwrap();
    assert_eq!(readiness.check.handlers(), ["tcpSocket"]);
    assert_eq!((readiness.period, readiness.failure_threshold), (Duration::from_secs(5), 1));
}

#[test]
fn defaults_are_those_of_the_contract() {
    let text = component(
        "api",
        "command: [api]\n  startupProbe: {pid: {}}\n  livenessProbe: {pid: {}}\n  readinessProbe: {pid: {}}",
    );
    let manifests = load_text(&text).unwrap();
    let api = &manifests.components[0];
    let timing = |probe: &Option<vitald_core::spec::ProbeSpec>| {
        let probe = probe.as_ref().unwrap();
        (
            probe.initial_delay,
            probe.period.as_secs(),
            probe.timeout.as_secs(),
            probe.success_threshold,
            probe.failure_threshold,
        )
    };
    assert_eq!(timing(&api.startup_probe), (Duration::ZERO, 1, 1, 1, 30));
    assert_eq!(timing(&api.liveness_probe), (Duration::ZERO, 10, 3, 1, 3));
    assert_eq!(timing(&api.readiness_probe), (Duration::ZERO, 5, 3, 1, 3));
    assert_eq!(api.termination_grace_period, Duration::from_secs(10));
    assert_eq!(api.restart, vitald_core::spec::RestartSpec::default());
    assert_eq!(api.restart_policy, RestartPolicy::Always);
}

#[test]
fn warnings_tell_what_is_odd_and_let_it_pass() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let tool = bin.join("tool");
    fs::write(&tool, "").unwrap();
    let file = dir.path().join("a.yaml");
    let warnings = |spec: &str| {
        fs::write(&file, component("api", spec)).unwrap();
        let manifests = load_with(&file, Some("bin")).unwrap();
        manifests.warnings.iter().map(|warning| warning.headline()).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        warnings("command: [./bin/tool]"),
        "spec.command[0]: the program \"./bin/tool\" is not executable"
    );
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(warnings("command: [./bin/tool]"), "");
    assert_eq!(warnings("command: [tool]"), "", "a relative PATH begins at the working directory");
    assert_eq!(warnings("command: [nosuch]"), "spec.command[0]: `nosuch` is not on PATH");
    assert_eq!(warnings("command: [$(TOOL)]"), "");
    assert_eq!(warnings("command: [nosuch]\n  env: [{name: PATH, value: $(HOME)/bin}]"), "");
    let own = format!("command: [tool]\n  env: [{{name: PATH, value: {}}}]", bin.display());
    assert_eq!(warnings(&own), "");
    assert_eq!(
        warnings("command: [tool]\n  env: [{name: PATH, value: /nowhere}]"),
        "spec.command[0]: `tool` is not on PATH"
    );
    assert_eq!(
        warnings("command: [tool]\n  envFrom: [{file: no.env}]"),
        "spec.envFrom[0].file: the file \"no.env\" does not exist"
    );
    let fifo = std::process::Command::new("mkfifo").arg(dir.path().join("pipe.env")).status().unwrap();
    assert!(fifo.success());
    assert_eq!(warnings("command: [tool]\n  envFrom: [{file: pipe.env}]"), "", "nobody waits for a writer");
    assert_eq!(
        warnings(
            "command: [tool]\n  livenessProbe: {pid: {}, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 1}"
        ),
        "spec.livenessProbe.timeoutSeconds: timeoutSeconds (5) is longer than periodSeconds (2)\n\
         spec.livenessProbe.failureThreshold: failureThreshold 1 restarts the component for a single failed check"
    );
    assert_eq!(
        warnings("command: [tool]\n  livenessProbe: {pid: {}, periodSeconds: 2}"),
        "spec.livenessProbe.periodSeconds: timeoutSeconds (3, by default) is longer than periodSeconds (2)"
    );
    assert_eq!(warnings("command: [tool]\n  startupProbe: {pid: {}, failureThreshold: 1}"), "");
    assert_eq!(
        warnings("command: [tool]\n  livenessProbe:\n    # pid: {}"),
        "spec.livenessProbe: livenessProbe is empty: no liveness probe is run"
    );
    assert_eq!(
        warnings(
            "command: [./tool]\n  workingDir: nosuch\n  livenessProbe: {exec: {command: [a], workingDir: x}}"
        ),
        "spec.workingDir: the directory \"nosuch\" does not exist"
    );
    assert_eq!(
        warnings("command: [bin/tool]\n  workingDir: ./.."),
        "spec.command[0]: the program \"bin/tool\" does not exist"
    );
    assert_eq!(warnings("command: [./tool]\n  workingDir: bin"), "");
    assert_eq!(
        warnings("command: [tool]\n  env: [{name: PATH, value: .}]\n  workingDir: bin/tool"),
        "spec.workingDir: the directory \"bin/tool\" is none"
    );
    assert_eq!(
        warnings(
            "command: [tool]\n  livenessProbe: {allOf: [{pid: }, {exec: {command: [a], workingDir: bin}}, {exec: {command: [a], workingDir: x}}]}"
        ),
        "spec.livenessProbe.allOf[2].exec.workingDir: the directory \"x\" does not exist"
    );
}

#[test]
fn resources_that_mean_little_on_one_machine_are_told() {
    let load = |resources: &str| {
        let text = component("api", &format!("command: [a]\n  resources: {resources}"));
        let manifests = load_text(&text).unwrap();
        let told: Vec<String> = manifests.warnings.iter().map(|warning| warning.headline()).collect();
        (told.join("\n"), process(&manifests.components[0]).cpu_limit_millis)
    };
    let passed_over = "spec.resources.requests: `requests` is passed over: there is one machine";
    assert_eq!(load("{requests: {cpu: 250m, memory: 64Mi}}"), (passed_over.to_owned(), None));
    assert_eq!(load("{requests: {}, limits: }"), (String::new(), None));
    // What Linux cannot keep to, as the kubelet has it.
    let raised = "spec.resources.limits.cpu: 1m is taken for 10m";
    assert_eq!(load("{limits: {cpu: 0.001}}"), (raised.to_owned(), Some(10)));
    assert_eq!(load("{limits: {cpu: 10m}}"), (String::new(), Some(10)));
    assert_eq!(load("{limits: {cpu: 2}}"), (String::new(), Some(2000)));
}

/// The ranges of the contract, from inside and from outside.
#[test]
fn ranges_are_those_of_the_contract() {
    let check = |spec: &str, good: &[&str], bad: &[&str]| {
        for (values, expected) in [(good, true), (bad, false)] {
            for value in values {
                let spec = format!("command: [a]\n  {}", spec.replace('#', value));
                let loaded = load_text(&component("api", &spec));
                assert_eq!(loaded.is_ok(), expected, "{spec}\n{loaded:?}");
            }
        }
    };
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let field = |name: &str| format!("{probe}: {{pid: {{}}, {name}: #}}");
        check(&field("initialDelaySeconds"), &["0", "0.25", "90"], &["-1", "-0.1", ".nan", ".inf", "\"1\""]);
        check(&field("periodSeconds"), &["0.01", "0.25", "3600"], &["0", "0.009", "-1", ".inf"]);
        check(&field("timeoutSeconds"), &["0.001", "0.25", "3600"], &["0", "-1", ".inf"]);
        check(&field("failureThreshold"), &["1", "60"], &["0", "-1", "1.5", "4294967296"]);
        let readiness = probe == "readinessProbe";
        check(&field("successThreshold"), &["1"], &["0", "-1", "1.5"]);
        check(
            &field("successThreshold"),
            if readiness { &["2"] } else { &[] },
            if readiness { &[] } else { &["2"] },
        );
        let grace = field("terminationGracePeriodSeconds");
        if readiness {
            check(&grace, &[], &["1"]);
        } else {
            check(&grace, &["0.001", "30"], &["0", "-1"]);
        }
    }
    check("terminationGracePeriodSeconds: #", &["0", "0.5", "30"], &["-1"]);
    check("logs: {maxFiles: #}", &["1", "5", "null"], &["0", "-1", "1.5", "many"]);
    check(
        "logs: {maxSize: #}",
        &["16Ki", "50Mi", "1.5G", "16384", "7Ei"],
        &["0", "-1", "16383", "8Ei", "50MB"],
    );
    check("logs: {onDiskFull: #}", &["Keep", "DropOldest"], &["keep", "Drop"]);
    check("restart: {maxRestarts: #}", &["0", "10"], &["-1", "1.5"]);
    check("restart: {windowSeconds: #}", &["0.1", "600"], &["0", "-1"]);
    check("restart: {minUptimeSeconds: #}", &["0", "0.25", "10"], &["-1"]);
    check("restart: {backoff: {initialSeconds: #}}", &["0", "0.5", "60"], &["-1", "60.5"]);
    check("restart: {backoff: {initialSeconds: 5, maxSeconds: #}}", &["5", "600"], &["-1", "4.9"]);
    check("restart: {backoff: {multiplier: #}}", &["1", "1.5", "10"], &["0.9", "0", "-2", ".inf"]);
    check("restart: {backoff: {jitter: #}}", &["0", "0.5", "1"], &["-0.1", "1.1"]);
    check(
        "resources: {limits: {memory: #}}",
        &["1Mi", "1048576", "1.5Gi", ".5G", "1e9", "\"512Mi\"", "2Ti"],
        &["0", "1Ki", "1048575", "-1Gi", "512m", "512MB", "512 Mi", "8Ei", "1e99", ".inf", "true", "\"\""],
    );
    check(
        "resources: {limits: {cpu: #}}",
        &["1", "\"1\"", "0.5", "500m", "1m", "0.0001", "4294967"],
        &["0", "\"0\"", "-1", "500M", "4294968", "1 core", "50%", ".nan", "false", "\"\""],
    );
    check("resources: {requests: {memory: #}}", &["64Mi", "1"], &["[]", "true"]);
    check("ports: [{containerPort: #}]", &["1", "65535"], &["0", "65536", "-1", "80.5", "\"80\""]);
    check("livenessProbe: {tcpSocket: {port: #}}", &["1", "65535"], &["0", "65536", "-1", "80.5", "\"80\""]);
    check("env: [{name: A, value: #}]", &["\"5\"", "x", "\"\""], &["5", "true", "0.5"]);
}

#[test]
fn two_components_that_want_one_port_are_told() {
    let port = "command: [a]\n  ports: [{containerPort: 80}]";
    let manifests = load_text(&(component("a", port) + &component("b", port))).unwrap();
    let told: Vec<String> = manifests.warnings.iter().map(|warning| warning.headline()).collect();
    assert_eq!(told, ["b: spec.ports[0].containerPort: `a` wants port 80, too"]);

    let told = |one: &str, other: &str| {
        let manifests = load_text(&(component("a", one) + &component("b", other))).unwrap();
        manifests.warnings.iter().map(|warning| warning.headline()).collect::<Vec<_>>().join("\n")
    };
    let published = "image: a\n  ports: [{containerPort: 8080, hostPort: 80}]";
    assert_eq!(told(port, published), "b: spec.ports[0].hostPort: `a` wants port 80, too");
    assert_eq!(told(published, "external: {port: 80}"), "b: spec.external.port: `a` wants port 80, too");
    let inside = "image: a\n  ports: [{containerPort: 80}]";
    assert_eq!(told(port, inside), "", "it has a network of its own");
    let with_ours = "image: a\n  hostNetwork: true\n  ports: [{containerPort: 80}]";
    assert_eq!(told(port, with_ours), "b: spec.ports[0].containerPort: `a` wants port 80, too");
    let udp = "command: [a]\n  ports: [{containerPort: 80, protocol: UDP}]";
    assert_eq!(told(port, udp), "", "TCP and UDP have ports of their own");
    let on = |ip: &str| format!("image: a\n  ports: [{{containerPort: 8080, hostPort: 80, hostIP: {ip}}}]");
    assert_eq!(told(published, &on("192.0.2.1")), "");
    assert_eq!(told(&on("192.0.2.1"), &on("0.0.0.0")), "b: spec.ports[0].hostPort: `a` wants port 80, too");
    assert_eq!(told("external: {port: 80}\n  ports: [{containerPort: 80}]", "command: [a]"), "");
}

#[test]
fn directories_are_read_in_the_order_of_names() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, component_name: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, component(component_name, "command: [a]")).unwrap();
    };
    put("20-web.yaml", "web");
    put("10-db/b.yml", "b");
    put("10-db/a.yaml", "a");
    put("notes.txt", "notes");
    put(".hidden.yaml", "hidden");
    put(".git/x.yaml", "git");
    std::os::unix::fs::symlink(dir.path(), dir.path().join("10-db/loop")).unwrap();
    let manifests = load_with(dir.path(), None).unwrap();
    let names: Vec<&str> = manifests.components.iter().map(|component| &*component.name).collect();
    assert_eq!(names, ["a", "b", "web"]);

    let registry = support::registry();
    let twice = [dir.path().to_owned(), dir.path().join("20-web.yaml")];
    let manifests = load(&twice, &LoadOptions { registry: &registry, env_path: None }).unwrap();
    assert_eq!(manifests.components.len(), 3, "a file that is meant twice is read once");
}

#[test]
fn paths_that_lead_nowhere_are_told() {
    let registry = support::registry();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("nothing/at/all")).unwrap();
    let paths = [PathBuf::from("no/such.yaml"), dir.path().to_owned()];
    let diagnostics = load(&paths, &LoadOptions { registry: &registry, env_path: None }).unwrap_err();
    let told: Vec<String> = diagnostics.0.iter().map(ToString::to_string).collect();
    assert_eq!(
        told[0],
        "no/such.yaml: error[manifest::unreadable]: cannot be read: no such file or directory"
    );
    assert!(told[1].contains("manifest::empty") && told[1].contains("no manifest in this directory"));
    assert_eq!((told.len(), diagnostics.error_count(), diagnostics.warning_count()), (2, 2, 0));
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let registry = support::registry();
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo.yaml");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let socket = dir.path().join("socket.yaml");
    // The folder's own path may be too long for an address.
    let folder = fs::File::open(dir.path()).unwrap();
    let address = format!("/proc/self/fd/{}/socket.yaml", folder.as_raw_fd());
    let _listener = std::os::unix::net::UnixListener::bind(address).unwrap();
    let paths = [fifo, socket, PathBuf::from("/dev/zero")];
    let diagnostics = load(&paths, &LoadOptions { registry: &registry, env_path: None }).unwrap_err();
    let told: Vec<&str> = diagnostics.0.iter().map(|diagnostic| &*diagnostic.message).collect();
    assert_eq!(told, ["is a FIFO, no file", "is a socket, no file", "is a device, no file"]);
    assert_eq!(diagnostics.0[0].help.as_deref(), Some("`-f -` reads from standard input"));
}

/// The test program runs itself, since standard input cannot be changed from inside.
#[test]
fn standard_input_is_read() {
    use std::io::Write;
    use std::process::{Command, Stdio};

    const PATH: &str = "VITALD_TEST_MANIFEST";
    if let Some(path) = std::env::var_os(PATH) {
        let manifests = load_with(Path::new(&path), None).unwrap();
        let process = process(&manifests.components[0]);
        assert_eq!(process.working_dir, std::env::current_dir().unwrap().join("sub"));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    for path in ["-", "/dev/stdin", "/dev/fd/0"] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "standard_input_is_read"])
            .env(PATH, path)
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let text = component("api", "command: [a]\n  workingDir: sub");
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn what_follows_from_a_mistake_is_not_told() {
    let told = |text: &str| {
        let diagnostics = load_text(text).unwrap_err();
        diagnostics.0.iter().map(|d| format!("{}: {}", d.code, d.path)).collect::<Vec<_>>().join(", ")
    };
    // The name is there, in a document that cannot be read.
    let broken =
        component("a", "command: [a]\n  dependsOn: [{name: db}]") + &component("db", "command: [\"x]");
    assert_eq!(told(&broken), "manifest::syntax: ");
    // The port is there, with a wrong number.
    let port =
        "command: [a]\n  ports: [{name: http, containerPort: 0}]\n  livenessProbe: {tcpSocket: {port: http}}";
    assert_eq!(told(&component("a", port)), "manifest::invalid: spec.ports[0].containerPort");
    // Its restart policy is there, but misspelt.
    let policy = component("a", "command: [a]\n  dependsOn: [{name: b, condition: Completed}]")
        + &component("b", "command: [a]\n  restartPolicy: never");
    assert_eq!(told(&policy), "manifest::unsupported: spec.restartPolicy");
    // The component is there, with its `name` misspelt.
    let nameless = component("a", "command: [a]\n  dependsOn: [{name: db}]")
        + &component("db", "command: [a]").replace("name: db", "nmae: db");
    assert_eq!(told(&nameless), "manifest::unknown-field: metadata.nmae");
    // One bad item does not hide what is wrong with the others.
    let items = "command: [a]\n  env: [{nam: A, value: a}, {name: 'B=', value: b}]\n  dependsOn: [{name: x}]";
    assert_eq!(
        told(&component("a", items)),
        "manifest::unknown-field: spec.env[0].nam, manifest::invalid: spec.env[1].name, manifest::not-found: spec.dependsOn[0].name"
    );
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let diagnostics = load_text("- a").unwrap_err();
    assert!(!diagnostics.render(false).contains('\u{1b}'));
    assert!(diagnostics.render(true).contains('\u{1b}'));
}

#[test]
fn whatever_way_leads_to_a_folder_its_components_are_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("manifests");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("a.yaml"), component("web", "command: [sleep]")).unwrap();
    std::os::unix::fs::symlink(&dir, temp.path().join("link")).unwrap();
    let straight = load_with(&dir, None).unwrap().components;
    for way in ["manifests/a.yaml", "manifests/sub/..", "link", "link/a.yaml"] {
        assert_eq!(load_with(&temp.path().join(way), None).unwrap().components, straight, "{way}");
    }
}
