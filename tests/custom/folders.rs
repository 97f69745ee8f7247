//! What a running supervisor was told of folders need not be told again to who speaks with it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use nix::sys::signal::Signal;
use vitald_tests::{Supervisor, seconds, skip};

use crate::ward::{answers, libraries, listed};

fn manifest(trace: &str) -> String {
    format!(
        "
        metadata: {{name: asked}}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe: {{steady: {trace}, periodSeconds: 0.1}}
        "
    )
}

/// `asked` by a library that lies where only its supervisor was told to look, by flag or by variable.
fn place(flag: bool) -> (Supervisor, PathBuf) {
    let s = Supervisor::prepare(&manifest("{trace: beats}"));
    let file = s.path("far/away/libsteady.so");
    fs::create_dir_all(s.path("far/away")).unwrap();
    fs::copy(libraries().library("steady"), &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let up = ["up", "-f", "manifests", "--plugin-dir", "far/away"];
    match flag {
        true => s.cli(&up).expect(0),
        false => s.clone_with_env("VITALD_PLUGIN_PATH", "far/away").cli(&up[..3]).expect(0),
    };
    s.wait_for("asked", "an answer", seconds(15), |c| answers(c, "Success"));
    (s, file)
}

#[test]
fn who_speaks_with_a_supervisor_knows_the_probes_that_it_knows() {
    for flag in [true, false] {
        let (s, file) = place(flag);
        s.cli(&["diff", "-f", "manifests"]).expect(0);
        s.write_manifests(&manifest("{trace: others}"));
        let diff = s.cli(&["diff", "-f", "manifests"]).expect(1);
        assert!(diff.stdout.contains("+") && diff.stdout.contains("others"), "{diff:?}");
        s.cli(&["apply", "-f", "manifests"]).expect(0);
        s.wait_for("asked", "an answer", seconds(15), |c| answers(c, "Success"));
        assert!(s.path("manifests/others").exists(), "the new configuration was not asked");
        // Also who brings up what is up, or only looks.
        s.up().expect(0);
        s.cli(&["validate", "-f", "manifests"]).expect(0);
        s.cli(&["check", "steady", "trace=beats"]).expect(0);
        let explained = s.cli(&["explain", "spec.livenessProbe.steady.trace"]).expect(0).stdout;
        assert!(explained.contains("File that gets a line for every check"), "{explained}");
        let schema = s.cli(&["schema"]).expect(0).stdout;
        assert!(schema.contains("File that gets a line for every check"), "{schema}");
        let probes = s.cli(&["probe", "list"]).expect(0).stdout;
        assert!(probes.lines().any(|line| line.starts_with("steady")), "{probes}");
        let list = listed(&s, &[]);
        assert_eq!(list[0]["file"], file.display().to_string(), "{list:?}");
        // And nobody, once there is no supervisor that could have said it.
        s.cli(&["down"]).expect(0);
        let told = s.cli(&["validate", "-f", "manifests"]).expect(2).stderr;
        assert!(told.contains("steady") && told.contains("vitald plugin list"), "{told}");
    }
}

#[test]
fn mistakes_are_shown_in_their_line_by_the_library_of_the_supervisor() {
    let (s, _) = place(true);
    for (trace, place_of_it, words) in [
        ("{trase: beats}", "test.yaml:6:28", &["trase", "trace"][..]),
        ("{trace: ''}", "test.yaml:6:35", &["must be the path of a file"]),
    ] {
        s.write_manifests(&manifest(trace));
        for command in ["diff", "apply", "up"] {
            let told = s.cli(&[command, "-f", "manifests"]).expect(2).stderr;
            assert!(told.contains(place_of_it), "{command}: no `{place_of_it}` in\n{told}");
            for word in words {
                assert!(told.contains(word), "{command}: no `{word}` in\n{told}");
            }
        }
    }
}

#[test]
fn what_a_supervisor_trusts_is_not_trusted_for_that() {
    let (s, file) = place(true);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let told = s.cli(&["diff", "-f", "manifests"]).expect(2).stderr;
    assert!(told.contains(&format!("chmod go-w {}", file.display())), "{told}");
    assert!(told.contains("test.yaml:6"), "{told}");
    s.cli(&["diff", "-f", "manifests", "--allow-unsafe-plugins"]).expect(0);
}

#[test]
fn what_is_named_goes_before_what_the_supervisor_has() {
    let (s, file) = place(true);
    fs::create_dir(s.path("near")).unwrap();
    let near = s.path("near/libsteady.so");
    fs::copy(&file, &near).unwrap();
    let list = listed(&s, &["--plugin-dir", "near"]);
    let of = |n: usize| (list[n]["file"].as_str().unwrap().to_owned(), list[n]["state"].as_str().unwrap());
    assert_eq!(of(0), (near.display().to_string(), "Loaded"));
    assert_eq!(of(1), (file.display().to_string(), "Refused"));
}

#[test]
fn a_supervisor_that_runs_does_not_change_whose_library_comes_first() {
    let s = Supervisor::prepare("metadata: {name: sleeper}\nspec: {command: [vitald-fixture, sleep]}");
    let own = s.install(&libraries().library("steady"));
    fs::create_dir(s.path("near")).unwrap();
    fs::copy(&own, s.path("near/libsteady.so")).unwrap();
    let here = s.clone_with_env("VITALD_PLUGIN_PATH", "near");
    let first = || {
        let list = listed(&here, &[]);
        assert_eq!((list[0]["state"].as_str(), list[1]["state"].as_str()), (Some("Loaded"), Some("Refused")));
        list[0]["file"].as_str().unwrap().to_owned()
    };
    let before = first();
    assert_eq!(before, s.path("near/libsteady.so").display().to_string());
    s.up().expect(0);
    assert_eq!(first(), before);
}

#[test]
fn a_supervisor_that_does_not_say_where_it_looks_is_told_of() {
    let (s, _) = place(true);
    let pid = s.pid();
    pid.signal(Signal::SIGSTOP);
    let told = s.cli(&["validate", "-f", "manifests"]);
    pid.signal(Signal::SIGCONT);
    let told = told.expect(2).stderr;
    assert!(told.contains("cannot be asked where it looks for custom probes"), "{told}");
}

#[test]
fn another_users_supervisor_is_not_asked() {
    if !nix::unistd::geteuid().is_root() {
        skip("only root reaches another user's supervisor");
        return;
    }
    let (s, file) = place(true);
    let own_by = |uid| chown(s.state_dir(), Some(uid), None).unwrap();
    own_by(65534);
    let (of_another, told) = (listed(&s, &[]), s.cli(&["diff", "-f", "manifests"]));
    own_by(0);
    assert!(of_another.is_empty(), "{of_another:?}");
    assert!(told.expect(2).stderr.contains("`vitald plugin list` shows where"));
    assert_eq!(listed(&s, &[])[0]["file"], file.display().to_string());
}
