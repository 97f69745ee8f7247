//! What a library says of itself, and those that are refused.

use std::fs;
use std::path::Path;

use vitald_plugin::library::{CallError, Library, LoadError, OURS};
use vitald_sdk::message::BuildRequest;

use crate::build;

#[test]
fn a_library_says_what_it_is() {
    let library = Library::open(build::probes()).unwrap();
    let info = library.info();
    assert_eq!((&*info.name, &*info.version), ("border-probes", "1.2.3"));
    assert_eq!(info.sdk, env!("CARGO_PKG_VERSION"));
    assert!(info.rustc.starts_with("rustc 1."), "{}", info.rustc);
    assert_eq!((info.abi, info.panic_aborts), (OURS, false));

    let kinds = library.kinds().unwrap();
    let keys: Vec<_> = kinds.iter().map(|kind| &*kind.key).collect();
    assert_eq!(keys, ["never", "obedient"]);
    assert_eq!(kinds[1].schema["description"], "Does as it is told.");
}

#[test]
fn a_library_may_be_written_in_c() {
    let library = Library::open(&build::c("GOOD")).unwrap();
    let info = library.info();
    assert_eq!((&*info.name, &*info.version, &*info.rustc), ("even-in-c", "0.9", "a C compiler"));
    assert_eq!(library.kinds().unwrap()[0].key, "even");
}

#[test]
fn a_library_for_a_later_minor_version_works_as_far_as_that_is_known() {
    let library = Library::open(&build::c("NEWER")).unwrap();
    assert_eq!((library.info().abi.major, library.info().abi.minor), (OURS.major, 9));
    assert_eq!(&*library.info().name, "even-in-c");
    assert_eq!(library.kinds().unwrap()[0].key, "even");
}

#[test]
fn a_file_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{}ü.so", "x".repeat(250)));
    fs::copy(build::c("GOOD"), &file).unwrap();
    assert_eq!(&*Library::open(&file).unwrap().info().name, "even-in-c");
}

/// The refusal of a file, without its name, which it must begin with.
fn refusal(file: &Path) -> String {
    let Err(refused) = Library::open(file) else { panic!("{} was loaded", file.display()) };
    let said = refused.to_string();
    let name = file.display().to_string();
    assert!(said.starts_with(&name), "{said}");
    said[name.len()..].trim_start().to_owned()
}

#[test]
fn a_library_for_another_border_is_refused_with_both_versions() {
    assert_eq!(
        refusal(&build::c("OLD_BORDER")),
        format!(
            "(even-in-c 0.9, vitald-sdk 6.6.6) speaks version 7.0 of the border between vitald and libraries of \
             probes, this vitald speaks {OURS}: build it again with this vitald's SDK"
        )
    );
}

#[test]
fn what_is_no_library_of_probes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        file
    };
    let missing = refusal(&folder.path().join("missing.so"));
    assert_eq!(missing, "cannot be read: No such file or directory (os error 2)");
    assert_eq!(refusal(folder.path()), "cannot be read: it is no regular file");

    // What the loader says names our copy, which nobody knows.
    let text =
        refusal(&file("text.so", b"no library at all, but long enough for the loader to look at it closer"));
    assert_eq!(text, "cannot be loaded: invalid ELF header");
    assert_eq!(refusal(&file("empty.so", b"")), "cannot be loaded: file too short");
    let whole = fs::read(build::probes()).unwrap();
    let half = refusal(&file("half.so", &whole[..whole.len() / 2]));
    assert!(half.starts_with("cannot be loaded: it is cut off: "), "{half}");

    // A library, and none of ours.
    let none = "is no library of probes: it has no `vitald_plugin`";
    let other = build::rust("other-library", "0.1.0", "#[no_mangle]\npub extern \"C\" fn other() {}\n");
    assert!(refusal(&other).starts_with(none), "{}", refusal(&other));
    assert!(refusal(&build::c("WRONG_MAGIC")).starts_with(none));

    // One whose author forgot the last line.
    let forgot = build::rust("forgot", "0.1.0", "pub use vitald_sdk::kit::check;\n");
    assert!(refusal(&forgot).starts_with("exports no probes: "), "{}", refusal(&forgot));
    assert!(refusal(&build::c("NO_INFO")).starts_with("exports no probes: "));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_called() {
    let said = |bad: &str| {
        let said = refusal(&build::c(bad));
        let said = said.strip_prefix("says of itself what cannot be: ");
        said.unwrap_or_else(|| panic!("{bad}: {said:?}")).to_owned()
    };
    assert_eq!(said("SHORT_TABLE"), "its table has 16 bytes, and 56 are the least");
    assert_eq!(said("NO_FUNCTION"), "a function of its table is missing");
    assert_eq!(said("NO_TABLE"), "it can do nothing");
    assert_eq!(said("NO_TEXT"), "its name is no text");
    assert_eq!(said("HUGE_TEXT"), "its name is no text");
    assert_eq!(said("SHORT_INFO"), "it has 24 bytes to say, and that is too few");
    assert_eq!(said("NULL_INFO"), "it points nowhere");
    assert_eq!(said("TORN"), "where it begins and ends do not fit together");
}

#[test]
fn answers_that_make_no_sense_are_told_as_such() {
    let rubbish = |bad: &str| match Library::open(&build::c(bad)).unwrap().kinds() {
        Err(CallError::Rubbish(what)) => what,
        other => panic!("{bad}: {other:?}"),
    };
    let said = rubbish("ANSWERS_RUBBISH");
    assert!(
        said.starts_with("expected value at line 1 column 1, in `") && said.contains("rubbish"),
        "{said}"
    );
    assert_eq!(rubbish("ANSWERS_HUGE"), "it cannot have as many bytes as it says");
    assert_eq!(rubbish("NULL_BYTES"), "it cannot have as many bytes as it says");
    assert_eq!(rubbish("ODD_OUTCOME"), "there is no outcome 77");

    let library = Library::open(&build::c("NO_INSTANCE")).unwrap();
    let request = BuildRequest {
        key: "even".to_owned(),
        config: serde_json::json!({}),
        component: vitald_core::probe::ComponentContext::default(),
    };
    let Err(CallError::Rubbish(what)) = library.build(&request) else { panic!("built nothing") };
    assert_eq!(what, "it says that it has built a probe, and there is none");
}

#[test]
fn a_file_is_loaded_as_it_was_whatever_becomes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("libeven.so");
    fs::copy(build::c("GOOD"), &file).unwrap();
    let first = Library::open(&file).unwrap();
    // Overwritten in its place, which a mapped file would not survive.
    fs::write(&file, vec![0; fs::metadata(&file).unwrap().len() as usize]).unwrap();
    assert_eq!(first.kinds().unwrap()[0].key, "even");
    assert!(matches!(Library::open(&file), Err(LoadError::Load { .. })));
    // Another one of the same name is another library.
    fs::copy(build::probes(), &file).unwrap();
    let second = Library::open(&file).unwrap();
    assert_eq!(second.info().name, "border-probes");
    assert_eq!(second.kinds().unwrap().len(), 2);
    assert_eq!(first.kinds().unwrap().len(), 1);
}
