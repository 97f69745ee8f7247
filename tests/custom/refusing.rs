//! What is not loaded, and how that is told: files that are no libraries of ours, those that others may have written,
//! and those that claim what is taken.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use vitald_tests::{Supervisor, seconds, skip};

use crate::ward::{answers, libraries, listed, refusal};

const SLEEPER: &str = "
    metadata: {name: sleeper}
    spec: {command: [vitald-fixture, sleep]}
";

const ASKED: &str = "
    metadata: {name: asked}
    spec:
      command: [vitald-fixture, sleep]
      livenessProbe: {steady: {trace: beats}, periodSeconds: 0.1}
";

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// That a file in `plugins/` is refused in these words; others beside it are not, and supervising goes on.
#[track_caller]
fn refused(s: &Supervisor, file: &Path, words: &[&str]) -> String {
    let reason = refusal(s, file, &[]).unwrap_or_else(|| panic!("{} is loaded", file.display()));
    for word in words {
        assert!(reason.contains(word), "no `{word}` in `{reason}`");
    }
    assert!(!reason.contains('\n'), "more than one line: {reason}");
    reason
}

/// A place with `steady` in `plugins/` beside what a test puts there.
fn place() -> (Supervisor, PathBuf) {
    let s = Supervisor::prepare(ASKED);
    let steady = s.install(&libraries().library("steady"));
    (s, steady)
}

/// An ill library beside a good one: refused in these words, and the good one is used.
#[track_caller]
fn library_is_refused(name: &str, words: &[&str]) {
    let (s, steady) = place();
    let file = s.install(&libraries().library(name));
    refused(&s, &file, words);
    assert_eq!(refusal(&s, &steady, &[]), None, "a good one beside it is refused, too");
    s.up().expect(0);
    s.wait_for("asked", "an answer", seconds(10), |c| answers(c, "Success"));
    let inspected = s.cli(&["plugin", "inspect", &file.display().to_string()]);
    assert!(inspected.all().contains(&file.display().to_string()), "{inspected:?}");
}

#[test]
fn another_version_of_the_border_is_named_beside_ours() {
    library_is_refused("other_version", &["libother_version.so", "7.3", "1.0"]);
}

#[test]
fn a_symbol_that_is_something_else_is_not_ours() {
    library_is_refused("other_magic", &["libother_magic.so"]);
}

#[test]
fn a_library_without_probes_is_refused() {
    library_is_refused("none", &["libnone.so"]);
}

#[test]
fn a_table_that_is_too_small_is_refused() {
    library_is_refused("small", &["libsmall.so"]);
}

#[test]
fn a_table_that_is_not_there_is_refused() {
    library_is_refused("no_table", &["libno_table.so"]);
}

#[test]
fn a_library_that_crashes_while_it_is_loaded_is_refused_by_its_signal() {
    library_is_refused("init_crashes", &["libinit_crashes.so", "SIGSEGV"]);
}

#[test]
fn a_library_that_is_never_loaded_is_refused() {
    library_is_refused("init_hangs", &["libinit_hangs.so"]);
}

#[test]
fn a_library_that_exits_while_it_is_loaded_is_refused() {
    library_is_refused("init_exits", &["libinit_exits.so", "status 0"]);
}

#[test]
fn a_library_that_never_says_what_it_has_is_refused() {
    library_is_refused("describe_hangs", &["libdescribe_hangs.so"]);
}

#[test]
fn a_library_that_crashes_when_it_is_asked_what_it_has_is_refused() {
    library_is_refused("describe_crashes", &["libdescribe_crashes.so", "SIGSEGV"]);
}

#[test]
fn a_library_that_says_rubbish_of_itself_is_refused() {
    library_is_refused("describe_rubbish", &["describe_rubbish", "makes no sense"]);
}

#[test]
fn keys_that_no_manifest_could_name_are_refused() {
    library_is_refused("bad_key", &["Bad-Key"]);
}

#[test]
fn keys_that_built_ins_have_are_refused() {
    library_is_refused("key_of_exec", &["exec", "built-in"]);
}

#[test]
fn keys_of_combinations_are_refused() {
    library_is_refused("key_of_all_of", &["allOf"]);
}

#[test]
fn keys_of_fields_beside_handlers_are_refused() {
    library_is_refused("key_of_timing", &["periodSeconds"]);
}

#[test]
fn two_probes_of_one_key_are_refused() {
    library_is_refused("twice_the_same", &["twice"]);
}

#[test]
fn a_configuration_that_is_no_mapping_is_refused() {
    library_is_refused("text_schema", &["text"]);
}

#[test]
fn a_schema_that_refers_to_itself_is_refused() {
    library_is_refused("recursive_schema", &["nested"]);
}

#[test]
fn of_two_libraries_with_one_key_the_first_is_used_and_named() {
    let (s, steady) = place();
    let later = s.install(&libraries().library("steady_again"));
    refused(&s, &later, &["steady", &steady.display().to_string()]);
    assert_eq!(refusal(&s, &steady, &[]), None);
}

#[test]
fn a_library_that_prints_while_it_is_loaded_is_used() {
    let s = Supervisor::prepare(&ASKED.replace("steady: {trace: beats}", "well: {}"));
    let file = s.install(&libraries().library("init_prints"));
    assert_eq!(refusal(&s, &file, &[]), None);
    let up = s.up().expect(0);
    assert!(up.all().len() < 10_000, "{} bytes are passed on", up.all().len());
    s.wait_for("asked", "an answer", seconds(10), |c| answers(c, "Success"));
    let log = fs::metadata(s.state_dir().join("vitald.log")).map_or(0, |meta| meta.len());
    assert!(log < 200_000, "vitald's own log has {log} bytes");
}

#[test]
fn files_that_are_no_libraries_of_ours_are_refused_each_in_its_own_words() {
    let (s, steady) = place();
    let plugins = s.state_dir().join("plugins");
    let of = |name: &str| plugins.join(name);
    let foreign = fs::read_to_string("/proc/self/maps").unwrap();
    let foreign = foreign.split_whitespace().find(|word| word.contains("/libc.so")).unwrap();
    fs::copy(foreign, of("foreign.so")).unwrap();
    fs::write(of("text.so"), "a text\n").unwrap();
    fs::write(of("empty.so"), "").unwrap();
    let whole = fs::read(&steady).unwrap();
    fs::write(of("header.so"), &whole[..64]).unwrap();
    fs::write(of("half.so"), &whole[..whole.len() / 2]).unwrap();
    let mut scrambled = whole.clone();
    let middle = scrambled.len() / 2;
    scrambled[64..middle].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(of("scrambled.so"), &scrambled).unwrap();
    nix::unistd::mkfifo(&of("fifo.so"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    fs::create_dir(of("folder.so")).unwrap();
    symlink("/nowhere/at/all.so", of("dangling.so")).unwrap();
    symlink("/dev/zero", of("device.so")).unwrap();
    symlink("loop.so", of("loop.so")).unwrap();
    let files =
        ["foreign", "text", "empty", "header", "half", "scrambled", "fifo", "folder", "dangling", "device"];
    for name in files {
        let file = of(&format!("{name}.so"));
        if file.is_file() {
            mode(&file, 0o644);
        }
        let reason = refused(&s, &file, &[]);
        assert!(!reason.contains("memfd") && !reason.contains("/proc/"), "{name}: {reason}");
    }
    refused(&s, &of("foreign.so"), &["foreign.so"]);
    assert_eq!(refusal(&s, &steady, &[]), None);
    // All of it is a warning, and a file with another ending is none of ours.
    fs::write(of("notes.txt"), "").unwrap();
    let up = s.up().expect(0);
    for name in files {
        assert!(up.stderr.contains(&format!("{name}.so")), "{name} is passed over in silence: {up:?}");
    }
    assert!(!up.all().contains("notes.txt"), "{up:?}");
    s.wait_for("asked", "an answer", seconds(10), |c| answers(c, "Success"));
}

/// Those of the modes that let others write: an ordinary user may be alone in a group, root never is.
fn shared(modes: &[u32]) -> impl Iterator<Item = u32> {
    let is_root = nix::unistd::geteuid().is_root();
    modes.iter().copied().filter(move |bits| is_root || bits & 0o002 != 0)
}

#[test]
fn what_others_may_write_is_refused_unless_it_is_allowed() {
    let (s, file) = place();
    for bits in shared(&[0o666, 0o646, 0o664, 0o777]) {
        mode(&file, bits);
        let shown = format!("{bits:04o}");
        refused(&s, &file, &[&file.display().to_string(), "chmod go-w", shown.trim_start_matches('0')]);
        assert_eq!(refusal(&s, &file, &["--allow-unsafe-plugins"]), None);
    }
    let refused_up = s.cli(&["up", "-f", "manifests"]).expect(2);
    let told = refused_up.stderr;
    assert!(told.contains("steady") && told.contains("chmod go-w"), "{told}");
    s.cli(&["up", "-f", "manifests", "--allow-unsafe-plugins"]).expect(0);
    s.wait_for("asked", "an answer", seconds(10), |c| answers(c, "Success"));
    mode(&file, 0o755);
    assert_eq!(refusal(&s, &file, &[]), None);
}

#[test]
fn a_folder_that_others_may_write_is_refused_at_any_height() {
    let s = Supervisor::prepare(SLEEPER);
    let folder = s.path("high/middle/low");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("libsteady.so");
    fs::copy(libraries().library("steady"), &file).unwrap();
    mode(&file, 0o644);
    let high = s.path("high");
    let flag = ["--plugin-dir", folder.to_str().unwrap()];
    assert_eq!(refusal(&s, &file, &flag), None);
    for at_fault in [&high, &s.path("high/middle"), &folder] {
        for bits in shared(&[0o775, 0o757, 0o777]) {
            mode(at_fault, bits);
            let reason =
                refusal(&s, &file, &flag).unwrap_or_else(|| panic!("{bits:o} {}", at_fault.display()));
            let words = format!("chmod go-w {}", at_fault.display());
            assert!(reason.contains(&words), "no `{words}` in `{reason}`");
            let allowed = [flag[0], flag[1], "--allow-unsafe-plugins"];
            assert_eq!(refusal(&s, &file, &allowed), None);
            mode(at_fault, 0o755);
        }
    }
    // As /tmp: who may write there may not exchange what lies there; but may put libraries there.
    mode(&high, 0o1777);
    assert_eq!(refusal(&s, &file, &flag), None);
    mode(&folder, 0o1777);
    assert!(refusal(&s, &file, &flag).is_some(), "a sticky folder holds what anybody has put there");
}

#[test]
fn a_link_is_as_safe_as_where_it_leads() {
    let s = Supervisor::prepare(SLEEPER);
    let (safe, open) = (s.path("safe"), s.path("open"));
    fs::create_dir_all(&safe).unwrap();
    fs::create_dir_all(&open).unwrap();
    let library = libraries().library("steady");
    for folder in [&safe, &open] {
        fs::copy(&library, folder.join("real.library")).unwrap();
        mode(&folder.join("real.library"), 0o644);
    }
    mode(&open, 0o777);
    let link = safe.join("linked.so");
    let flag = ["--plugin-dir", safe.to_str().unwrap()];
    symlink(open.join("real.library"), &link).unwrap();
    let reason = refusal(&s, &link, &flag).expect("a link to a place that others may write");
    assert!(reason.contains(open.to_str().unwrap()), "{reason}");
    fs::remove_file(&link).unwrap();
    symlink(safe.join("real.library"), &link).unwrap();
    assert_eq!(refusal(&s, &link, &flag), None);
    // A folder that is a link.
    let to_open = s.path("to-open");
    fs::rename(open.join("real.library"), open.join("real.so")).unwrap();
    symlink(&open, &to_open).unwrap();
    let flag = ["--plugin-dir", to_open.to_str().unwrap()];
    let found = listed(&s, &flag);
    assert!(found.iter().all(|plugin| plugin["state"] == "Refused"), "{found:?}");
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can give a file away");
    }
    let (s, file) = place();
    std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
    refused(&s, &file, &[&file.display().to_string(), "65534"]);
    std::os::unix::fs::chown(&file, Some(0), None).unwrap();
    let folder = file.parent().unwrap();
    std::os::unix::fs::chown(folder, Some(65534), None).unwrap();
    refused(&s, &file, &[&folder.display().to_string(), "65534"]);
    std::os::unix::fs::chown(folder, Some(0), None).unwrap();
    assert_eq!(refusal(&s, &file, &[]), None);
}

#[test]
fn folders_are_looked_through_in_order_and_must_be_there_if_they_are_named() {
    let s = Supervisor::prepare(ASKED);
    let library = libraries().library("steady");
    let put = |folder: &str| {
        let file = s.path(folder).join("libsteady.so");
        fs::create_dir_all(s.path(folder)).unwrap();
        fs::copy(&library, &file).unwrap();
        mode(&file, 0o644);
        file
    };
    let (first, second, third) = (put("first"), put("second"), put("third"));
    let fourth = s.install(&library);
    let path = format!("{}:{}:{}", s.path("nowhere").display(), second.parent().unwrap().display(), "");
    let place = s.clone_with_env("VITALD_PLUGIN_PATH", &path);
    let flags = ["--plugin-dir", "first", "--plugin-dir", "third"];
    let list = listed(&place, &flags);
    let files: Vec<_> = list.iter().map(|plugin| plugin["file"].as_str().unwrap().to_owned()).collect();
    let wanted = [&first, &third, &second, &fourth].map(|file| file.display().to_string());
    assert_eq!(files, wanted);
    assert_eq!(list[0]["state"], "Loaded");
    assert!(list[1..].iter().all(|plugin| plugin["state"] == "Refused"), "the same key again: {list:?}");
    // A folder that a flag names is there; relative ones are the supervisor's, too.
    let gone = place.cli(&["plugin", "list", "--plugin-dir", "nowhere"]);
    assert!(gone.code == 2 && gone.stderr.contains("nowhere"), "{gone:?}");
    fs::remove_file(&fourth).unwrap();
    s.cli(&["up", "-f", "manifests", "--plugin-dir", "first"]).expect(0);
    s.wait_for("asked", "an answer", seconds(10), |c| answers(c, "Success"));
}
