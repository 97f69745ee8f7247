//! Every entry of `tests/bad`: what is said about it, and that it is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use vitald_core::registry::Registry;
use vitald_manifest::{LoadOptions, Severity, load};

#[test]
fn each_mistake_is_told_at_its_place() {
    tell_all("tests/bad", "bad_snapshots", &support::registry(), 36);
}

#[test]
fn mistakes_about_custom_probes_are_told_at_their_places() {
    tell_all("tests/bad_custom", "bad_custom_snapshots", &support::registry_with_custom(), 5);
}

fn tell_all(folder: &str, snapshots: &str, registry: &Registry, least: usize) {
    let options = LoadOptions { registry, env_path: None };
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    assert!(entries.len() >= least, "only {} bad manifests", entries.len());

    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(snapshots);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in entries {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let diagnostics = load(std::slice::from_ref(&path), &options).expect_err(&name);
            assert!(diagnostics.error_count() > 0, "{name}");
            for diagnostic in &diagnostics.0 {
                assert!(Path::new(folder).join(&diagnostic.file).exists() || diagnostic.file.exists());
                assert!(diagnostic.code.starts_with("manifest::"));
                assert!(
                    diagnostic.severity == Severity::Error || diagnostics.error_count() > 0,
                    "{name}: {diagnostic}"
                );
            }
            insta::assert_snapshot!(name, diagnostics.render(false));
        }
    });
}
