//! `vitald plugin reload`: another library takes over while all goes on, or nothing changes at all.

use std::fs;
use std::path::{Path, PathBuf};

use vitald_tests::{Component, Output, Supervisor, eventually, seconds};

use crate::ward::{Host, Ward, answers, host, hosts, libraries, listed};

/// `asked` by `steady`, which lies in `plugins/libsteady.so`.
struct Shelf {
    s: Supervisor,
    file: PathBuf,
    asked: Component,
}

impl Shelf {
    fn with(library: &str, isolation: &str) -> Self {
        let s = Supervisor::prepare(&manifest(isolation));
        let file = s.state_dir().join("plugins/libsteady.so");
        put(&s, library, &file);
        s.up().expect(0);
        let asked =
            s.wait_for("asked", "an answer", seconds(15), |c| answers(c, "Success") || answers(c, "Warning"));
        Self { s, file, asked }
    }

    /// Puts another library in the place of `steady`.
    fn put(&self, library: &str) {
        put(&self.s, library, &self.file);
    }

    fn reload(&self) -> Output {
        self.s.cli(&["plugin", "reload"])
    }

    #[track_caller]
    fn wait_says(&self, words: &str) {
        self.s.wait_for("asked", words, seconds(15), |c| c.probe("liveness").message.contains(words));
    }

    /// That the component goes on as it was.
    #[track_caller]
    fn assert_same(&self) {
        let now = self.s.component("asked");
        assert_eq!((now.pid, now.restart_count), (self.asked.pid, self.asked.restart_count));
        assert_eq!(now.restart_count, 0, "{now:?}");
    }
}

fn manifest(isolation: &str) -> String {
    format!(
        "
        metadata: {{name: asked}}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe:
            steady: {{trace: beats}}
            isolation: {isolation}
            periodSeconds: 0.1
            timeoutSeconds: 5
            failureThreshold: 1
        "
    )
}

/// As a person would: in one step.
fn put(s: &Supervisor, library: &str, file: &Path) {
    let installed = s.install(&libraries().library(library));
    if installed != file {
        fs::rename(installed, file).unwrap();
    }
}

fn beats(s: &Supervisor) -> usize {
    fs::read_to_string(s.path("manifests/beats")).unwrap_or_default().lines().count()
}

#[test]
fn a_replaced_library_answers_without_a_restart_of_anything() {
    for isolation in ["Process", "InProcess"] {
        let shelf = Shelf::with("steady", isolation);
        let first = hosts(&shelf.file);
        let supervisor = shelf.s.pid();
        shelf.put("steady_again");
        // Until it is told to, nothing changes.
        let before = beats(&shelf.s);
        eventually("checks", seconds(10), || (beats(&shelf.s) > before + 3).then_some(()), String::new);
        let reloaded = shelf.reload().expect(0);
        assert!(reloaded.stdout.contains("libsteady.so"), "{reloaded:?}");
        shelf.wait_says("steady again");
        shelf.assert_same();
        assert_eq!(shelf.s.pid(), supervisor);
        if isolation == "Process" {
            assert_ne!(vec![host(&shelf.file)], first);
        }
        let events = shelf.s.events();
        assert!(events.iter().any(|event| event.message.contains("libsteady.so")), "{events:?}");
        // Once more, and there is nothing to do.
        let again = shelf.reload().expect(0);
        assert!(!again.all().is_empty());
        shelf.assert_same();
    }
}

#[test]
fn a_check_that_is_under_way_ends_first() {
    let shelf = Shelf::with("steady_slow", "Process");
    let count = |word: &str| {
        let text = fs::read_to_string(shelf.s.path("manifests/beats")).unwrap();
        text.lines().filter(|line| *line == word).count()
    };
    let seen = count("begin");
    eventually("a check to begin", seconds(10), || (count("begin") > seen).then_some(()), String::new);
    shelf.put("steady_again");
    shelf.reload().expect(0);
    shelf.wait_says("steady again");
    assert_eq!(count("begin"), count("end"), "a check was cut off");
    shelf.assert_same();
    host(&shelf.file);
}

#[test]
fn a_library_that_cannot_be_used_changes_nothing() {
    for (library, words) in [
        ("steady_strict", &["strictness"][..]),
        ("init_crashes", &["SIGSEGV"]),
        ("other_version", &["7.3", "1.0"]),
        ("describe_hangs", &[]),
        ("everything", &["steady"]),
    ] {
        let shelf = Shelf::with("steady", "Process");
        let first = host(&shelf.file);
        shelf.put(library);
        let refused = shelf.reload().expect(1);
        assert!(refused.stderr.contains("libsteady.so"), "{library}: {refused:?}");
        for word in words {
            assert!(refused.stderr.contains(word), "{library}: {refused:?}");
        }
        let before = beats(&shelf.s);
        eventually("checks", seconds(10), || (beats(&shelf.s) > before + 3).then_some(()), String::new);
        assert_eq!(host(&shelf.file), first, "{library}");
        shelf.assert_same();
        // What was wrong is put right.
        shelf.put("steady_again");
        shelf.reload().expect(0);
        shelf.wait_says("steady again");
        shelf.assert_same();
    }
}

#[test]
fn what_only_the_new_schema_does_not_allow_is_refused_by_component_probe_and_field() {
    let shelf = Shelf::with("steady", "Process");
    let first = host(&shelf.file);
    // Its `build` would take everything.
    shelf.put("steady_choosy");
    let refused = shelf.reload().expect(1);
    for words in [
        "libsteady.so: refuses what component asked has: livenessProbe.steady.trace: ",
        "livenessProbe.steady.since: required",
        "nothing was changed",
    ] {
        assert!(refused.stderr.contains(words), "no `{words}` in {refused:?}");
    }
    let before = beats(&shelf.s);
    eventually("checks", seconds(10), || (beats(&shelf.s) > before + 3).then_some(()), String::new);
    assert_eq!(host(&shelf.file), first);
    shelf.assert_same();
    // One with the rules of before is taken.
    shelf.put("steady_again");
    shelf.reload().expect(0);
    shelf.wait_says("steady again");
}

#[test]
fn a_library_that_is_gone_is_not_taken_from_who_uses_it() {
    let shelf = Shelf::with("steady", "Process");
    let first = host(&shelf.file);
    fs::remove_file(&shelf.file).unwrap();
    let refused = shelf.reload().expect(1);
    assert!(refused.stderr.contains("libsteady.so") && refused.stderr.contains("asked"), "{refused:?}");
    assert_eq!(host(&shelf.file), first);
    shelf.assert_same();
    // Its host can even be replaced.
    first.kill();
    first.wait_gone(seconds(5));
    shelf.s.wait_for("asked", "an answer", seconds(20), |c| answers(c, "Unknown") || answers(c, "Success"));
    shelf.put("steady_again");
    shelf.reload().expect(0);
    shelf.wait_says("steady again");
    shelf.assert_same();
}

#[test]
fn a_library_that_is_overwritten_in_place_harms_nobody() {
    for isolation in ["Process", "InProcess"] {
        let shelf = Shelf::with("steady", isolation);
        let (first, supervisor) = (hosts(&shelf.file), shelf.s.pid());
        // As `cp` and a linker do it: the same inode, truncated and written again.
        let other = fs::read(libraries().library("steady_again")).unwrap();
        fs::write(&shelf.file, b"").unwrap();
        let before = beats(&shelf.s);
        eventually("checks", seconds(10), || (beats(&shelf.s) > before + 5).then_some(()), String::new);
        fs::write(&shelf.file, &other[..other.len() / 2]).unwrap();
        let before = beats(&shelf.s);
        eventually("checks", seconds(10), || (beats(&shelf.s) > before + 5).then_some(()), String::new);
        assert_eq!(hosts(&shelf.file), first);
        shelf.reload().expect(1);
        fs::write(&shelf.file, &other).unwrap();
        shelf.reload().expect(0);
        shelf.wait_says("steady again");
        shelf.assert_same();
        assert_eq!(shelf.s.pid(), supervisor);
    }
}

#[test]
fn a_new_key_is_there_after_a_reload_and_can_be_applied() {
    let shelf = Shelf::with("steady", "Process");
    let with_more = manifest("Process").replace("steady: {trace: beats}", "more: {}");
    shelf.s.write_manifests(&with_more);
    // Neither the one who reads the manifest knows it …
    let unknown = shelf.s.cli(&["apply", "-f", "manifests"]).expect(2);
    assert!(unknown.stderr.contains("more"), "{unknown:?}");
    shelf.put("steady_more");
    // … nor, from now on, the supervisor alone: which says what to do.
    let unknown = shelf.s.cli(&["apply", "-f", "manifests"]);
    assert!(unknown.code != 0 && unknown.all().contains("vitald plugin reload"), "{unknown:?}");
    shelf.assert_same();
    shelf.reload().expect(0);
    shelf.wait_says("not alone");
    shelf.assert_same();
    shelf.s.cli(&["apply", "-f", "manifests"]).expect(0);
    shelf.s.wait_for("asked", "an answer of `more`", seconds(15), |c| {
        answers(c, "Success") && c.pid != shelf.asked.pid
    });
}

#[test]
fn a_check_that_never_ends_holds_nothing_up() {
    for how in ["Block", "Pending", "Stop", "Segfault"] {
        let ward = Ward::open(how);
        ward.infect();
        ward.wait_beats(5);
        // Another file of the same content is another library.
        ward.s.install(&libraries().library("misbehaving"));
        let told = ward.cli(&["plugin", "reload"]).expect(0);
        assert!(told.stdout.contains("libmisbehaving.so"), "{how}: {told:?}");
        ward.cure();
        ward.wait_well(Host::Another);
        ward.assert_nobody_noticed();
    }
}

#[test]
fn of_many_reloads_at_once_each_is_answered() {
    let shelf = Shelf::with("steady", "Process");
    shelf.put("steady_again");
    let told: Vec<Output> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| shelf.reload())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(told.iter().all(|output| output.code == 0), "{told:?}");
    shelf.wait_says("steady again");
    shelf.assert_same();
    host(&shelf.file);
}

#[test]
fn libraries_come_and_go() {
    let shelf = Shelf::with("steady", "Process");
    let everything = shelf.s.install(&libraries().library("everything"));
    let told = shelf.reload().expect(0);
    assert!(told.stdout.contains("libeverything.so"), "{told:?}");
    assert_eq!(listed(&shelf.s, &[]).len(), 2);
    let ill = shelf.s.install(&libraries().library("init_crashes"));
    let told = shelf.reload().expect(0);
    assert!(told.all().contains("libinit_crashes.so") && told.all().contains("SIGSEGV"), "{told:?}");
    fs::remove_file(&everything).unwrap();
    fs::remove_file(&ill).unwrap();
    let told = shelf.reload().expect(0);
    assert!(told.stdout.contains("libeverything.so"), "{told:?}");
    eventually("its host's end", seconds(10), || hosts(&everything).is_empty().then_some(()), String::new);
    shelf.assert_same();
}

#[test]
fn without_a_supervisor_there_is_nothing_to_reload() {
    let s = Supervisor::prepare(&manifest("Process"));
    s.cli(&["plugin", "reload"]).expect(3);
}
