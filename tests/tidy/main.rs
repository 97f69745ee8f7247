//! What must stay true of the sources, each with its reason. `docs/architecture.md` tells the same to people.

#![allow(clippy::unwrap_used)] // A check fails by panicking.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::sources::{Source, root, sources};

/// Which crates of ours a crate may use. Data goes one way; nothing reaches back.
fn allowed(package: &str) -> &'static [&'static str] {
    match package {
        "vitald" => &["*"],
        "vitald-control" => &["vitald-core", "vitald-supervisor"],
        "vitald-manifest" | "vitald-supervisor" | "vitald-client" | "vitald-sim" => &["vitald-core"],
        // What several probes share.
        "vitald-net" | "vitald-pattern" => &["vitald-core"],
        // Where a run begins in its log is known to who opens it.
        "vitald-process" => &["vitald-core", "vitald-log"],
        // It reads the component's log across rotations.
        "vitald-probe-log-growth" => &["vitald-core", "vitald-log", "vitald-pattern"],
        "vitald-probe-docker" => &["vitald-core", "vitald-pattern"],
        // Whom a pid file means is the same for who watches what others start.
        "vitald-probe-pid" => &["vitald-core", "vitald-process"],
        // Environment files, secrets, locks and what /proc tells are the same for both kinds.
        "vitald-container" => &["vitald-core", "vitald-log", "vitald-process"],
        "vitald-external" => &["vitald-core", "vitald-process"],
        "vitald-sdk" => &["vitald-core"],
        "vitald-plugin" => &["vitald-core", "vitald-sdk"],
        // What they speak is their own; how a connection comes about is the same for all.
        name if name.starts_with("vitald-probe-") => &["vitald-core", "vitald-net"],
        // Core knows nobody, nor do the logs; the demo and the tests know vitald only from outside.
        "vitald-core" | "vitald-log" | "vitald-demo" | "vitald-tests" | "xtask" => &[],
        other => panic!("{other} has no place in the table of arrows: give it one, and docs/architecture.md"),
    }
}

/// Files that may hold `unsafe`: what Linux offers only that way. Everything else is checked by the compiler.
/// The border to custom probe crates is C's.
const UNSAFE: &[&str] = &[
    "crates/process/src/inherited.rs",
    "crates/process/src/notify/receive.rs",
    "crates/process/src/pidfd.rs",
    "crates/process/src/spawn.rs",
    "crates/process/src/spawn/",
    "crates/sdk/src/abi.rs",
    "crates/sdk/src/answer.rs",
    "crates/sdk/src/bytes.rs",
    "crates/sdk/src/export.rs",
    "crates/sdk/src/glue.rs",
    "crates/sdk/src/glue/",
    "crates/sdk/src/services.rs",
    "crates/plugin/src/library.rs",
    "crates/plugin/src/library/",
    "crates/plugin/src/host/signals.rs",
    // What libraries that harm others are made of.
    "tests/plugins/misbehaving/src/deeds.rs",
    "tests/plugins/odd/",
];

/// Where probe kinds are named: nowhere else does adding one touch the product.
const LIST_OF_BUILTINS: &str = "crates/cli/src/builtin.rs";

/// What people read first.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/logs.md",
    "docs/stigmer.md",
    "docs/custom-probes.md",
    "examples/custom-probes/README.md",
];

/// What core may depend on: data, and the vocabulary of futures. No runtime, no system calls.
const CORE_MAY_USE: &[&str] =
    &["async-trait", "futures-util", "schemars", "serde", "serde_json", "thiserror"];

#[test]
fn arrows_between_crates_point_one_way() {
    for package in packages() {
        let allowed = allowed(&package.name);
        for dependency in package.used().filter(|dependency| dependency.path.is_some()) {
            assert!(
                allowed.contains(&"*") || allowed.contains(&dependency.name.as_str()),
                "{} must not depend on {}: it may use {allowed:?}",
                package.name,
                dependency.name,
            );
        }
    }
}

#[test]
fn core_does_no_io_and_has_no_clock() {
    let core = packages().into_iter().find(|package| package.name == "vitald-core").unwrap();
    for dependency in core.used() {
        assert!(CORE_MAY_USE.contains(&dependency.name.as_str()), "core must not use {}", dependency.name);
    }
    let impure = [
        "Instant",
        "SystemTime",
        "std::fs",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "ToSocketAddrs",
        "std::process",
        "std::thread",
        "std::env",
        "std::io::stdin",
        "std::io::stdout",
        "println!",
        "tokio",
    ];
    refuse("crates/core/src/", &impure, "core is a function of its arguments: take it as one");
}

#[test]
fn probes_are_named_in_one_list_only() {
    let mut keys = BTreeSet::new();
    for probe in sources("probes") {
        for (_, line) in probe.code() {
            if let Some((_, rest)) = line.split_once("const KEY: &'static str = \"") {
                keys.extend(rest.split('"').next().map(str::to_owned));
            }
        }
    }
    assert!(keys.contains("tcpSocket") && keys.contains("pid"), "found only {keys:?} in probes/");
    // Ordinary words elsewhere: hooks have an `exec`, a status has a `pid`, a limit is one of `memory`.
    keys.remove("exec");
    keys.remove("pid");
    keys.remove("memory");

    let mut words: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
    words.push("vitald_probe_".to_owned());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for source in sources("crates").iter().filter(|source| source.path != LIST_OF_BUILTINS) {
        found.extend(source.mentions(&words));
    }
    assert!(found.is_empty(), "name probes only in {LIST_OF_BUILTINS}:\n{}", found.join("\n"));
}

#[test]
fn unsafe_stays_where_it_is_reviewed() {
    let mut found = Vec::new();
    for source in everything() {
        if !UNSAFE.iter().any(|place| source.path.starts_with(place)) {
            found.extend(source.mentions_anywhere(&["unsafe ", "unsafe{", "unsafe_code"]));
        }
    }
    // The end of a name such as `allow_unsafe` is none.
    found.retain(|line| line.replace("_unsafe", "_").contains("unsafe"));
    assert!(found.is_empty(), "unsafe belongs into {UNSAFE:?}:\n{}", found.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    // Written in pieces, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
    ];
    let found: Vec<_> = everything().iter().flat_map(|source| source.lines_with(&words)).collect();
    assert!(found.is_empty(), "finish it, or leave it out:\n{}", found.join("\n"));
}

#[test]
fn every_crate_takes_the_workspace_settings() {
    let shared = ["version", "edition", "rust-version", "license", "publish"];
    for package in packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} does without the workspace's lints",
            package.name
        );
        for key in shared {
            let line = format!("{key}.workspace = true");
            assert!(manifest.contains(&line), "{} lacks `{line}`", package.name);
        }
    }
}

#[test]
fn every_dependency_version_is_stated_once() {
    for package in packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        let mut in_dependencies = false;
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]");
            } else if in_dependencies && !line.is_empty() && !line.starts_with('#') {
                let shared = line.contains("workspace = true");
                assert!(shared, "{}: `{line}` belongs into the root Cargo.toml", package.name);
            }
        }
    }
}

#[test]
fn licences_are_there() {
    for (file, words) in
        [("LICENSE-MIT", "Permission is hereby granted"), ("LICENSE-APACHE", "Apache License")]
    {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        assert!(text.contains(words), "{file} is missing or something else");
    }
}

#[test]
fn sources_name_no_place_of_one_machine() {
    let words = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    let found: Vec<_> = everything().iter().flat_map(|source| source.lines_with(&words)).collect();
    assert!(found.is_empty(), "absolute paths are somebody's own:\n{}", found.join("\n"));
}

fn refuse(under: &str, words: &[&str], reason: &str) {
    let found: Vec<_> =
        everything().iter().filter(|s| s.path.starts_with(under)).flat_map(|s| s.mentions(words)).collect();
    assert!(found.is_empty(), "{reason}:\n{}", found.join("\n"));
}

fn everything() -> Vec<Source> {
    ["crates", "probes", "xtask", "tests", "examples"].into_iter().flat_map(sources).collect()
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or none for an ordinary one.
    kind: Option<String>,
    path: Option<String>,
}

impl Package {
    /// What the product is made of; tests may use more.
    fn used(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"))
    }
}

fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let packages = serde_json::from_slice::<Metadata>(&output.stdout).unwrap().packages;
    let names: BTreeMap<_, _> =
        packages.iter().map(|p| (p.name.as_str(), p.manifest_path.as_str())).collect();
    assert!(names.len() > 10, "these are not all: {names:?}");
    for (name, manifest) in names {
        assert!(Path::new(manifest).starts_with(root()), "{name} lies elsewhere: {manifest}");
    }
    packages
}

/// `<!-- example: FILE -->` above a block of code says that the block is that file, to the letter.
#[test]
fn examples_in_documents_are_the_files_they_name() {
    let mut examples = 0;
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for part in text.split("<!-- example: ").skip(1) {
            let (file, rest) = part.split_once(" -->").unwrap();
            let block = rest.split("```").nth(1).and_then(|block| block.split_once('\n')).unwrap().1;
            let file_text = std::fs::read_to_string(root().join(file)).unwrap();
            assert_eq!(block, file_text, "{document} shows {file} as it is not");
            examples += 1;
        }
    }
    assert!(examples > 0, "no document has an example");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in DOCUMENTS {
        let path = root().join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let local = !link.starts_with("http") && !link.starts_with('#');
            let target = path.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(!local || target.exists(), "{document} links to {link}, which is not there");
        }
    }
}
