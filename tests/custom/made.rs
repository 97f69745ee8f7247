//! `vitald plugin new`: the crate that it makes, as whoever made it meets it.

use std::fs;
use std::path::Path;
use std::process::Command;

use vitald_tests::{Output, Stranger, Supervisor, repository};

const NOTHING: &str = "metadata: {name: none}\nspec: {command: [sleep, '1']}";

fn new(s: &Supervisor, args: &[&str]) -> Output {
    let work = s.path("work");
    s.cli(&[&["plugin", "new", "--dir", work.to_str().unwrap()], args].concat())
}

#[test]
fn what_is_made_builds_passes_its_tests_and_is_loaded_as_it_stands() {
    let mut s = Supervisor::prepare(
        "
        metadata: {name: app}
        spec:
          command: [vitald-fixture, sleep]
          workingDir: ..
          readinessProbe:
            leaseFile: {path: lease, maxAgeSeconds: 3600}
            periodSeconds: 0.2
        ",
    );
    // Somebody else's workspace, which would have it for a member.
    s.write("work/Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n");
    let output = new(&s, &["lease-file"]).expect(0);
    assert!(output.stdout.contains("&& cargo test\n  cargo build --release\n"), "{output:?}");
    let project = s.path("work/lease-file");

    let made = Stranger::try_build(&project, None).unwrap();
    let tests = Stranger::test(&project).expect(0);
    assert!(tests.all().contains("3 passed; 0 failed"), "{tests:?}");
    assert!(!tests.all().contains("warning"), "{tests:?}");

    let library = s.install(&made.library("lease-file"));
    let about = s.cli(&["plugin", "inspect", library.to_str().unwrap()]).expect(0).all();
    assert!(about.contains("leaseFile") && about.contains("maxAgeSeconds"), "{about}");
    let about = s.cli(&["explain", "spec.livenessProbe.leaseFile.maxAgeSeconds"]).expect(0).all();
    assert!(about.contains("DEFAULT: 60") && about.contains("RANGE: more than 0"), "{about}");
    let toml = format!("path={}", project.join("Cargo.toml").display());
    s.cli(&["check", "leaseFile", &toml, "maxAgeSeconds=1e9"]).expect(0);
    let old = s.cli(&["check", "leaseFile", &toml, "maxAgeSeconds=0.001"]).expect(1).all();
    assert!(old.contains(" s ago"), "{old}");

    s.start();
    s.wait_for("app", "its probe to fail", vitald_tests::seconds(10), |c| {
        c.probe("readiness").message.ends_with("lease is not there")
    });
    s.write("lease", "!");
    s.wait_ready("app");
}

#[test]
fn an_sdk_elsewhere_is_used_where_it_is() {
    let s = Supervisor::prepare(NOTHING);
    fs::create_dir(s.path("work")).unwrap();
    let sdk = repository();
    new(&s, &["own-check", "--probe", "ownThing", "--sdk", sdk.to_str().unwrap()]).expect(0);
    let project = s.path("work/own-check");
    assert!(!project.join("vitald").exists());
    let made = Stranger::try_build(&project, None).unwrap();
    let library = s.install(&made.library("own-check"));
    let about = s.cli(&["plugin", "inspect", library.to_str().unwrap()]).expect(0).all();
    assert!(about.contains("ownThing"), "{about}");

    // Linked into a program that is made of the same sources.
    let core = sdk.join("crates/core");
    let manifest = format!(
        "[package]\nname = \"linked-in\"\nedition = \"2024\"\n\n[dependencies]\nown-check = {{ path = \"../own-check\" }}\n\
         vitald-core = {{ path = {core:?} }}\n\n[workspace]\n"
    );
    s.write("work/linked-in/Cargo.toml", &manifest);
    s.write(
        "work/linked-in/src/lib.rs",
        "pub fn registry() -> vitald_core::registry::Registry {
            let mut registry = vitald_core::registry::Registry::new();
            registry.add::<own_check::OwnThingProbe>();
            registry
        }",
    );
    let main = "fn main() { println!(\"{:?}\", linked_in::registry().keys().collect::<Vec<_>>()); }";
    s.write("work/linked-in/src/main.rs", main);
    let program = Stranger::try_build(&s.path("work/linked-in"), None).unwrap().program("linked-in");
    let said = Output::of(&mut Command::new(program)).expect(0);
    assert_eq!(said.stdout, "[\"ownThing\"]\n");

    let refused = new(&s, &["other", "--sdk", "work"]).expect(2);
    assert!(refused.stderr.contains("--sdk work: the package `vitald-sdk` is not there"), "{refused:?}");
}

#[test]
fn names_and_folders_that_cannot_be_are_refused() {
    let s = Supervisor::prepare(NOTHING);
    fs::create_dir(s.path("work")).unwrap();
    let said = |code: i32, args: &[&str], words: &str| {
        let output = new(&s, args).expect(code);
        assert!(output.stderr.contains(words), "{words}: {output:?}");
    };
    said(2, &["Disk_Space"], "try `disk-space`");
    said(2, &["http-get"], "vitald has a probe of that name");
    said(2, &["x", "--probe", "isolation"], "every probe has a field of that name");
    assert_eq!(entries(&s.path("work")), 0, "something was made all the same");

    new(&s, &["lease"]).expect(0);
    s.write("work/lease/src/lib.rs", "mine");
    said(1, &["lease"], "lease is there already");
    assert_eq!(fs::read_to_string(s.path("work/lease/src/lib.rs")).unwrap(), "mine");
    fs::remove_dir_all(s.path("work")).unwrap();
    said(1, &["lease"], "there is no folder");
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}
