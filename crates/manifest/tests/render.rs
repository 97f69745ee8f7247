//! What a manifest becomes when it is written again: one form, and the same component.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use vitald_core::check::Check;
use vitald_core::spec::{
    Backoff, ComponentSpec, ContainerSpec, EnvValue, EnvVar, ExecAction, ExternalSpec, FoundBy,
    ImagePullPolicy, LogsSpec, Mount, OnDiskFull, Port, ProbeRole, ProbeSpec, ProcessSpec, Protocol,
    RestartPolicy, RestartSpec, Workload,
};
use vitald_manifest::{LoadOptions, Manifests, load, render};

fn load_path(path: &Path) -> Manifests {
    let registry = support::registry();
    let loaded = load(&[path.to_owned()], &LoadOptions { registry: &registry, env_path: None });
    loaded.unwrap_or_else(|err| panic!("{}", err.render(false)))
}

/// The components as one file, written by the library that `vitald` writes YAML with.
fn yaml(components: &[ComponentSpec]) -> String {
    let document = |component| format!("---\n{}", serde_yaml::to_string(&render(component)).unwrap());
    components.iter().map(document).collect()
}

/// Loads what is written in a folder that has nothing to do with where it came from.
fn reload(text: &str) -> Vec<ComponentSpec> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rendered.yaml");
    fs::write(&file, text).unwrap();
    load_path(&file).components
}

fn comes_back(components: &[ComponentSpec]) {
    let text = yaml(components);
    let mut again = reload(&text);
    for (component, was) in again.iter_mut().zip(components) {
        if let (Workload::Container(container), Workload::Container(was)) =
            (&mut component.workload, &was.workload)
        {
            // Where its manifest lies is in no manifest.
            container.folder.clone_from(&was.folder);
        }
    }
    assert_eq!(again, components, "{text}");
    assert_eq!(yaml(&again), text);
}

#[test]
fn good_manifests_come_back() {
    let mut seen = 0;
    for entry in fs::read_dir("tests/good").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            comes_back(&load_path(&path).components);
            seen += 1;
        }
    }
    assert!(seen >= 2, "only {seen} manifests");
}

#[test]
fn everything_in_the_order_of_the_reference() {
    let mut components = load_path(Path::new("tests/good/everything.yaml")).components;
    let here = std::path::absolute("tests/good").unwrap();
    let text = yaml(&components.split_off(1)).replace(here.to_str().unwrap(), "/HERE");
    insta::assert_snapshot!(text);
}

#[test]
fn containers_and_externals_in_the_order_of_the_reference() {
    let components = load_path(Path::new("tests/good/kinds.yaml")).components;
    let here = std::path::absolute("tests/good").unwrap();
    let text = yaml(&components).replace(here.to_str().unwrap(), "/HERE");
    insta::assert_snapshot!(text);
}

#[test]
fn little_is_written_where_there_is_little() {
    let text =
        "apiVersion: vitald/v1\nkind: Component\nmetadata: {name: a}\nspec: {command: [a], workingDir: /}";
    insta::assert_snapshot!(yaml(&reload(text)), @r"
    ---
    apiVersion: vitald/v1
    kind: Component
    metadata:
      name: a
    spec:
      command:
      - a
      workingDir: /
      inheritEnv: false
      securityContext:
        noNewPrivileges: false
      restartPolicy: Always
      restart:
        maxRestarts: 10
        windowSeconds: 600
        minUptimeSeconds: 10
        backoff:
          initialSeconds: 1
          maxSeconds: 60
          multiplier: 2
          jitter: 0
      terminationGracePeriodSeconds: 10
      logs:
        maxSize: 50Mi
        maxFiles: 5
        onDiskFull: Keep
    ");
}

/// However it was written, equal components look equal.
#[test]
fn one_form() {
    let manifest = |spec: &str| {
        yaml(&reload(&format!(
            "apiVersion: vitald/v1\nkind: Component\nmetadata: {{name: a}}\nspec:\n  workingDir: /\n  {spec}"
        )))
    };
    let one = manifest(
        "command: [a, b]
  resources: {limits: {memory: 1.5Gi, cpu: 0.5}}
  securityContext: {runAsUser: 1000}
  livenessProbe: {periodSeconds: 10, httpGet: {port: 80, path: /, host: h}}",
    );
    let other = manifest(
        "livenessProbe: {httpGet: {host: h, path: /, port: 80}, periodSeconds: 10.0}
  securityContext: {runAsUser: '1000', noNewPrivileges: false}
  resources: {limits: {cpu: 500m, memory: 1536Mi}}
  args: [b]
  command: [a]",
    );
    assert_eq!(one, other);
}

#[test]
fn the_values_of_secrets_are_not_in_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secrets.env"), "API_KEY=hunter2\n").unwrap();
    let file = dir.path().join("a.yaml");
    let text = "apiVersion: vitald/v1\nkind: Component\nmetadata: {name: a}\nspec:\n  command: [a]\n  envFrom: [{file: secrets.env}]\n  env: [{name: KEY, valueFrom: {fileKeyRef: {path: secrets.env, key: API_KEY}}}]";
    fs::write(&file, text).unwrap();
    let text = yaml(&load_path(&file).components);
    assert!(text.contains("key: API_KEY") && !text.contains("hunter2"), "{text}");
}

/// What a string can look like, and what YAML or the expansion of variables could make of it. Not U+2028 and
/// U+2029, which the library writes as if they ended a line, as in YAML 1.1.
fn text() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "$(NAME)",
        "$$(NAME)",
        "$$",
        "$",
        "$(",
        "${A}",
        "%",
        "@",
        "`",
        "yes",
        "true",
        "null",
        "~",
        "=",
        "<<",
        "1",
        "0x1F",
        "0o17",
        "0b1",
        "0644",
        "1_000",
        ".5",
        "1.",
        "1e3",
        ".inf",
        ".nan",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "'",
        "\"",
        "\\",
        "\n",
        "a\nb\n",
        "a\n\n",
        " a\n",
        "\t",
        "\ta",
        "a\t",
        "\r\n",
        "---",
        "...",
        "{a}",
        "[a]",
        ",",
        "?",
        "? a",
        ":",
        "2026-11-22",
        "12:30:45",
        "é",
        "\u{1f600}",
        "\u{7f}",
        "\u{1}",
        "\u{1b}[0m",
        "\u{85}",
        "\u{a0}",
        "\u{feff}",
        "a  b",
        "x\u{200b}",
    ];
    prop_oneof![
        prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        prop::collection::vec(prop::sample::select(odd.to_vec()), 0..5).prop_map(|parts| parts.concat()),
        "[^\\x00\u{2028}\u{2029}]{0,12}",
    ]
}

/// As the model keeps it: to the nanosecond, and what a manifest can say.
fn seconds(least: f64, most: f64) -> impl Strategy<Value = Duration> {
    prop_oneof![
        (least..most).prop_map(Duration::from_secs_f64),
        (least.ceil() as u64..=most as u64).prop_map(Duration::from_secs),
        Just(Duration::from_secs_f64(least.max(1e-9))),
    ]
}

fn probe(role: ProbeRole) -> impl Strategy<Value = Option<ProbeSpec>> {
    let handler = |key: &str, config| Check::handler(key, config);
    let leaf = prop_oneof![
        Just(handler("pid", serde_json::json!({}))),
        (1u16..).prop_map(move |port| handler("tcpSocket", serde_json::json!({ "port": port }))),
        (text(), text()).prop_map(move |(path, value)| {
            let headers = serde_json::json!([{ "value": value, "name": "X-One" }]);
            handler("httpGet", serde_json::json!({ "port": 80, "path": path, "httpHeaders": headers }))
        }),
        prop::collection::vec(text(), 1..4)
            .prop_map(move |command| handler("exec", serde_json::json!({ "command": command }))),
    ];
    let check = leaf.prop_recursive(3, 8, 3, |inner| {
        let some = prop::collection::vec(inner, 1..4);
        (some, 0u8..3, any::<prop::sample::Index>()).prop_map(|(of, kind, count)| match kind {
            0 => Check::AllOf(of),
            1 => Check::AnyOf(of),
            _ => Check::AtLeast { count: count.index(of.len()) + 1, of },
        })
    });
    let timing = (seconds(0.0, 1e9), seconds(0.01, 1e9), seconds(0.001, 1e4), 1u32.., 1u32..);
    let grace = prop::option::of(seconds(0.001, 1e9));
    let probe = (check, timing, grace).prop_map(move |(check, timing, grace)| {
        let readiness = role == ProbeRole::Readiness;
        ProbeSpec {
            initial_delay: timing.0,
            period: timing.1,
            timeout: timing.2,
            success_threshold: if readiness { timing.3 } else { 1 },
            failure_threshold: timing.4,
            termination_grace_period: grace.filter(|_| !readiness),
            ..ProbeSpec::new(role, check)
        }
    });
    prop::option::of(probe)
}

fn process() -> impl Strategy<Value = ProcessSpec> {
    let command = ("[^\\x00\u{2028}\u{2029}]{1,9}", prop::collection::vec(text(), 0..4));
    let path = || {
        prop_oneof![Just("/".to_owned()), "/[a-z #:'é]{1,8}", "/\\.\\./a/\\.\\./[a-z]b"]
            .prop_map(PathBuf::from)
    };
    let value = prop_oneof![
        text().prop_map(EnvValue::Literal),
        (path(), "[A-Z$# ]{1,9}", any::<bool>()).prop_map(|(path, key, optional)| EnvValue::FileKey {
            path,
            key,
            optional
        }),
    ];
    let env = prop::collection::btree_map("[^\\x00=\u{2028}\u{2029}]{1,6}", value, 0..5);
    let account =
        || prop::option::of(prop_oneof!["[a-z0-9_]{1,5}", any::<u64>().prop_map(|id| id.to_string())]);
    let limits = (
        prop::option::of(1u64..),
        prop::option::of(1u64 << 20..1 << 63),
        prop::option::of(10u32..=4_294_967_295),
    );
    let flags = (any::<bool>(), any::<bool>());
    (command, path(), env, prop::collection::vec(path(), 0..3), account(), account(), limits, flags).prop_map(
        |((program, args), working_dir, env, env_from, run_as_user, run_as_group, limits, flags)| {
            ProcessSpec {
                command: [vec![program], args].concat(),
                working_dir,
                env: env.into_iter().map(|(name, value)| EnvVar { name, value }).collect(),
                env_from,
                inherit_env: flags.0,
                run_as_user,
                run_as_group,
                no_new_privileges: flags.1,
                open_files: limits.0,
                memory_limit: limits.1,
                cpu_limit_millis: limits.2,
            }
        },
    )
}

/// A program and its arguments.
fn command() -> impl Strategy<Value = Vec<String>> {
    let command = ("[^\\x00\u{2028}\u{2029}]{1,9}", prop::collection::vec(text(), 0..3));
    command.prop_map(|(program, args)| [vec![program], args].concat())
}

fn container() -> impl Strategy<Value = ContainerSpec> {
    let image = prop::sample::select(vec!["a", "a:latest", "ghcr.io/a/b-c:1.2", "localhost:5000/a"]);
    let policy = prop::sample::select(vec![
        ImagePullPolicy::Always,
        ImagePullPolicy::IfNotPresent,
        ImagePullPolicy::Never,
    ]);
    let words = prop::collection::vec(text(), 0..4);
    let mount = ("/[a-z #'é]{1,8}", any::<bool>()).prop_map(|(source, read_only)| (source, read_only));
    let mounts = prop::collection::btree_map("/[a-z][a-z #']{0,6}", mount, 0..4);
    let command = prop::option::of(command()).prop_map(Option::unwrap_or_default);
    let working_dir = prop::option::of("/[a-z #'é]{0,8}");
    let flags = (any::<bool>(), working_dir);
    (image, policy, command, words, mounts, flags, process()).prop_map(
        |(image, image_pull_policy, command, args, mounts, (host_network, working_dir), process)| {
            ContainerSpec {
                image: image.to_owned(),
                image_pull_policy,
                command,
                args,
                working_dir,
                folder: PathBuf::from("/"),
                env: process.env,
                env_from: process.env_from,
                host_network,
                mounts: mounts
                    .into_iter()
                    .map(|(target, (source, read_only))| Mount { source: source.into(), target, read_only })
                    .collect(),
                run_as_user: process.run_as_user,
                run_as_group: process.run_as_group,
                no_new_privileges: process.no_new_privileges,
                open_files: process.open_files,
                memory_limit: process.memory_limit,
                cpu_limit_millis: process.cpu_limit_millis,
            }
        },
    )
}

fn external() -> impl Strategy<Value = ExternalSpec> {
    let found_by = prop_oneof![
        "/[a-z #:'é]{1,8}".prop_map(|path| FoundBy::PidFile(path.into())),
        (1u16..).prop_map(FoundBy::Port),
    ];
    let name = prop::option::of("[^\\x00/\u{2028}\u{2029}]{1,9}");
    let command = || prop::option::of(command());
    (found_by, name, command(), command(), command(), process()).prop_map(
        |(found_by, process_name, start_command, stop_command, restart_command, process)| ExternalSpec {
            found_by,
            process_name,
            start_command,
            stop_command,
            restart_command,
            commands: ProcessSpec {
                command: Vec::new(),
                run_as_user: None,
                run_as_group: None,
                no_new_privileges: false,
                open_files: None,
                memory_limit: None,
                cpu_limit_millis: None,
                ..process
            },
        },
    )
}

/// The ports of a container with all that they may say; each is published on a port of its own.
fn publish(mut ports: Vec<Port>, workload: &Workload, (ip, protocol): (Option<&str>, Protocol)) -> Vec<Port> {
    let Workload::Container(container) = workload else { return ports };
    for (index, port) in ports.iter_mut().enumerate() {
        port.protocol = protocol;
        if !container.host_network {
            port.host_port = Some(8000 + index as u16);
            port.host_ip = ip.map(str::to_owned);
        }
    }
    ports
}

fn component() -> impl Strategy<Value = ComponentSpec> {
    let notes = || prop::collection::btree_map(text(), text(), 0..3);
    let backoff = (seconds(0.0, 1e4), seconds(1e4, 1e9), 1.0f64..1e12, 0.0f64..1.0);
    let backoff = backoff.prop_map(|(initial, max, multiplier, jitter)| {
        Backoff::try_new(initial, max, multiplier, jitter).unwrap()
    });
    let restart = (any::<u32>(), seconds(0.001, 1e9), seconds(0.0, 1e9), backoff);
    let restart = restart.prop_map(|(max_restarts, window, min_uptime, backoff)| RestartSpec {
        max_restarts,
        window,
        min_uptime,
        backoff,
    });
    let policy =
        prop::sample::select(vec![RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never]);
    let hook = || prop::option::of(command().prop_map(|command| ExecAction { command }));
    let ports = prop::collection::vec((any::<bool>(), 1u16..), 0..3).prop_map(|ports| {
        let port = |(index, (named, container_port)): (usize, (bool, u16))| Port {
            name: named.then(|| format!("0e{index}")),
            container_port,
            host_port: None,
            host_ip: None,
            protocol: Default::default(),
        };
        ports.into_iter().enumerate().map(port).collect()
    });
    let probes = (probe(ProbeRole::Startup), probe(ProbeRole::Liveness), probe(ProbeRole::Readiness));
    let logs =
        (16 << 10..1u64 << 63, 1u32.., prop::sample::select(vec![OnDiskFull::Keep, OnDiskFull::DropOldest]));
    let logs =
        logs.prop_map(|(max_size, max_files, on_disk_full)| LogsSpec { max_size, max_files, on_disk_full });
    let rest = (ports, policy, restart, seconds(0.0, 1e9), hook(), hook(), logs);
    let name = prop_oneof![Just("1e3"), Just("null"), Just("0x1f"), Just("true"), Just("a-b")];
    let workload = prop_oneof![
        process().prop_map(Workload::Process),
        container().prop_map(Workload::Container),
        external().prop_map(Workload::External),
    ];
    let published = (
        prop::sample::select(vec![None, Some("0.0.0.0"), Some("::1")]),
        prop::sample::select(vec![Protocol::Tcp, Protocol::Udp]),
    );
    (name, (notes(), notes()), workload, published, rest, probes).prop_map(
        |(name, (labels, annotations), workload, published, mut rest, probes)| ComponentSpec {
            name: name.to_owned(),
            labels,
            annotations,
            ports: publish(std::mem::take(&mut rest.0), &workload, published),
            workload,
            depends_on: Vec::new(),
            restart_policy: rest.1,
            restart: rest.2,
            termination_grace_period: rest.3,
            post_start: rest.4,
            pre_stop: rest.5,
            startup_probe: probes.0,
            liveness_probe: probes.1,
            readiness_probe: probes.2,
            logs: rest.6,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_component_comes_back(component in component()) {
        comes_back(std::slice::from_ref(&component));
    }
}
