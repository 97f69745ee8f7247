//! The files of a new crate, and the sources of the SDK that it is given.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use rust_embed::RustEmbed;
use toml_edit::{Array, DocumentMut, Item, Table};

use crate::new_probe::{ALONG, Names, Sdk};

/// What the SDK's package is made of, without its tests.
#[derive(RustEmbed)]
#[folder = "../sdk"]
#[include = "Cargo.toml"]
#[include = "build.rs"]
#[include = "src/*"]
#[exclude = "*/tests*"]
struct SdkSources;

/// What core is made of, without its tests.
#[derive(RustEmbed)]
#[folder = "../core"]
#[include = "Cargo.toml"]
#[include = "src/*"]
#[exclude = "*/tests*"]
struct CoreSources;

const ROOT: &str = include_str!("../../../../Cargo.toml");
const LICENCES: [(&str, &str); 2] = [
    ("LICENSE-APACHE", include_str!("../../../../LICENSE-APACHE")),
    ("LICENSE-MIT", include_str!("../../../../LICENSE-MIT")),
];

/// The files of the crate as they stand in the template, and where each comes from there.
const TEMPLATE: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("../../templates/probe/Cargo.toml")),
    ("src/lib.rs", include_str!("../../templates/probe/src/lib.rs")),
    ("README.md", include_str!("../../templates/probe/README.md")),
    (".gitignore", include_str!("../../templates/probe/gitignore")),
];

/// Every file of a new crate, by its path.
///
/// # Errors
/// Sources of ours are not what they should be.
pub(crate) fn files(names: &Names, sdk: &Sdk) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for (path, text) in TEMPLATE {
        let mut text = named(text, names);
        if path == "Cargo.toml" {
            text = manifest(&text, sdk)?;
        }
        if matches!(sdk, Sdk::At(_)) && path == "README.md" {
            text = without_last_paragraph(&text);
        }
        files.push((path.to_owned(), text.into_bytes()));
    }
    if matches!(sdk, Sdk::Along) {
        files.extend(sdk_sources()?.into_iter().map(|(path, text)| (format!("{ALONG}/{path}"), text)));
    }
    Ok(files)
}

/// With the new names in place of the template's.
fn named(text: &str, names: &Names) -> String {
    text.replace("heartbeat-file", &names.package)
        .replace("heartbeat_file", &names.library())
        .replace("heartbeatFile", &names.key)
        .replace("HeartbeatFile", &names.types())
}

/// Said of the SDK's sources, where there are none.
fn without_last_paragraph(text: &str) -> String {
    text.trim_end().rsplit_once("\n\n").map_or_else(|| text.to_owned(), |(rest, _)| format!("{rest}\n"))
}

/// With the versions that the SDK is built with, and the SDK where it is.
fn manifest(text: &str, sdk: &Sdk) -> io::Result<String> {
    let root = parse(ROOT)?;
    let mut manifest = parse(text)?;
    for section in ["dependencies", "dev-dependencies"] {
        let Some(dependencies) = manifest[section].as_table_mut() else { continue };
        for (name, dependency) in dependencies.iter_mut() {
            let shared = &root["workspace"]["dependencies"][name.get()];
            let version = shared.get("version").unwrap_or(shared).as_str();
            if let Some(version) = version {
                let place = match dependency.as_table_like_mut() {
                    Some(table) => table.entry("version").or_insert(Item::None),
                    None => dependency,
                };
                *place = toml_edit::value(version);
            }
        }
    }
    if let Sdk::At(folder) = sdk {
        manifest["dependencies"]["vitald-sdk"]["path"] = toml_edit::value(folder.display().to_string());
        // Nothing lies below it that is a workspace of its own.
        manifest["workspace"] = Item::Table(Table::new());
    }
    Ok(manifest.to_string())
}

/// The SDK and core as a workspace of their own.
fn sdk_sources() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut needed = BTreeSet::new();
    for (package, path, text) in embedded() {
        let text = if path == "Cargo.toml" { package_manifest(&text, &mut needed)? } else { text };
        files.push((format!("crates/{package}/{path}"), text.into_owned()));
    }
    files.push(("Cargo.toml".to_owned(), workspace(&needed)?.into_bytes()));
    files.extend(LICENCES.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())));
    Ok(files)
}

fn embedded() -> impl Iterator<Item = (&'static str, Cow<'static, str>, Cow<'static, [u8]>)> {
    let sdk =
        SdkSources::iter().filter_map(|path| SdkSources::get(&path).map(|file| ("sdk", path, file.data)));
    let core =
        CoreSources::iter().filter_map(|path| CoreSources::get(&path).map(|file| ("core", path, file.data)));
    sdk.chain(core)
}

/// Without what its tests need; what is left, it needs.
fn package_manifest(text: &[u8], needed: &mut BTreeSet<String>) -> io::Result<Cow<'static, [u8]>> {
    let mut manifest = parse(&String::from_utf8_lossy(text))?;
    manifest.remove("dev-dependencies");
    for section in ["dependencies", "build-dependencies"] {
        let dependencies = manifest.get(section).and_then(Item::as_table).into_iter().flatten();
        needed.extend(dependencies.map(|(name, _)| name.to_owned()));
    }
    Ok(Cow::Owned(manifest.to_string().into_bytes()))
}

/// The root manifest, for those two packages only.
fn workspace(needed: &BTreeSet<String>) -> io::Result<String> {
    let mut manifest = parse(ROOT)?;
    manifest.retain(|name, _| name == "workspace");
    if let Some(workspace) = manifest["workspace"].as_table_mut() {
        for gone in ["exclude", "default-members"] {
            workspace.remove(gone);
        }
        workspace["members"] = toml_edit::value(Array::from_iter(["crates/core", "crates/sdk"]));
        if let Some(dependencies) = workspace["dependencies"].as_table_mut() {
            dependencies.retain(|name, _| needed.contains(name));
        }
    }
    Ok(format!(
        "# The sources of the SDK of vitald {}, for a probe crate that `vitald plugin new` has made.\n{manifest}",
        env!("CARGO_PKG_VERSION")
    ))
}

fn parse(text: &str) -> io::Result<DocumentMut> {
    text.parse().map_err(|err: toml_edit::TomlError| io::Error::other(format!("our own sources: {err}")))
}

/// Whether a folder has the SDK's package.
pub(crate) fn is_sdk(folder: &Path) -> bool {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).ok();
    let manifest = manifest.and_then(|text| text.parse::<DocumentMut>().ok());
    manifest.is_some_and(|manifest| {
        let name = manifest.get("package").and_then(|package| package.get("name"));
        name.and_then(Item::as_str) == Some("vitald-sdk")
    })
}
