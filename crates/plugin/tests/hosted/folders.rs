//! Which libraries are used, which are not, and what is said of them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use vitald_core::probe::ProbeResult;
use vitald_core::registry::Origin;
use vitald_plugin::{Folder, Limits, LoadError, Loading, Options, Plugins};

use crate::world::{World, ask, counted, folder, our_host};

#[tokio::test]
async fn the_first_to_have_a_key_has_it() {
    let dir = folder(&["liba.so", "libb.so"]);
    fs::write(dir.path().join("libc.so"), "no library").unwrap();
    fs::write(dir.path().join("README"), "no library either").unwrap();
    let world = World::of(dir.path());

    let first = dir.path().join("liba.so");
    let listed = world.plugins.list();
    let states: Vec<_> = listed.iter().map(|listed| listed.state).collect();
    assert_eq!(states, [Loading::Loaded, Loading::Refused, Loading::Refused]);
    let (a, b, c) = (&listed[0], &listed[1], &listed[2]);
    assert_eq!((&a.file, &*a.folder, a.reason.as_deref()), (&first, dir.path(), None));
    let about = a.about.as_ref().unwrap();
    assert_eq!((&*about.name, &*about.version, &*about.abi), ("odd-probes", "0.1.0", "1.0"));
    assert!(about.rustc.starts_with("rustc ") && !about.panic_aborts, "{about:?}");
    assert_eq!(a.probes, ["odd"]);
    let clash = format!(
        "its probe `odd` has the name of one of odd-probes ({}), which was found first",
        first.display()
    );
    assert_eq!(b.reason.as_deref(), Some(&*clash));
    let broken = c.reason.as_deref().unwrap();
    assert!(broken.starts_with(&format!("{} cannot be loaded: ", c.file.display())), "{broken}");

    assert_eq!(world.registry.origin("odd"), Some(Origin::Library(first)));
    let schema = serde_json::to_value(world.registry.schema("odd").unwrap()).unwrap();
    assert_eq!(schema["description"], "Does as it is told.");
    assert_eq!(ask(&*world.probe(json!("succeed"))).await, ProbeResult::Success);
}

/// Why a library is refused that behaves as its file's name says.
#[track_caller]
fn refused(name: &str, why: &str) {
    // One that is good lies beside it, and does not notice.
    let dir = folder(&[name, "libodd.so"]);
    let since = Instant::now();
    let world = World::of(dir.path());
    assert!(since.elapsed() < Duration::from_secs(12), "took {:?}", since.elapsed());
    let refusal = world.refusal();
    assert!(refusal.contains(why), "{refusal}");
    assert_eq!(world.plugins.kinds().len(), 1);
}

#[test]
fn one_that_never_says_what_it_is() {
    refused("libloops.so", "was ended, since it did not say within 8 s what it is");
}

#[test]
fn one_that_ends_before_it_has_said_what_it_is() {
    refused("libaborts.so", "was ended by SIGABRT");
}

#[test]
fn one_that_panics_when_it_is_asked_what_it_is() {
    refused("libpanics.so", "it panicked: no schema today");
}

#[test]
fn one_that_others_may_write_to() {
    let dir = folder(&["libodd.so"]);
    let file = dir.path().join("libodd.so");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let refusal = World::of(dir.path()).refusal();
    assert!(refusal.contains(&format!("`chmod go-w {}`", file.display())), "{refusal}");
    assert!(refusal.contains("--allow-unsafe-plugins"), "{refusal}");

    let allowed = load(&[Folder::named(dir.path())], |options| Options { allow_unsafe: true, ..options });
    assert_eq!(allowed.unwrap().list()[0].state, Loading::Loaded);
}

#[test]
fn one_with_a_name_that_is_taken() {
    let dir = folder(&["libodd.so"]);
    let taken = |mut options: Options| {
        options.taken.insert("odd".to_owned(), "a field of every probe".to_owned());
        options
    };
    let plugins = load(&[Folder::named(dir.path())], taken).unwrap();
    let reason = "its probe `odd` has the name of a field of every probe: it must have another one";
    assert_eq!(plugins.refused()[0].reason, reason);
    assert!(plugins.kinds().is_empty());
    // Whoever inspects it hears the same, and all else that there is to know.
    let inspection = plugins.inspect(&dir.path().join("libodd.so")).unwrap();
    assert_eq!(inspection.objections, [reason]);
    assert_eq!(inspection.probes[0].key, "odd");
}

#[test]
fn folders_are_looked_into_once_and_in_order() {
    let (one, two) = (folder(&["libodd.so"]), folder(&["libodd.so"]));
    std::os::unix::fs::symlink(one.path(), two.path().join("again")).unwrap();
    let again = two.path().join("again");
    let folders = [
        Folder::optional(one.path().join("missing")),
        Folder::named(one.path()),
        Folder::named(&again),
        Folder::optional(two.path()),
    ];
    let plugins = load(&folders, |options| options).unwrap();
    let listed: Vec<_> = plugins.list().iter().map(|listed| (listed.folder.clone(), listed.state)).collect();
    assert_eq!(listed, [(one.path().to_owned(), Loading::Loaded), (two.path().to_owned(), Loading::Refused)]);

    let missing = load(&[Folder::named(one.path().join("missing"))], |options| options);
    let Err(LoadError::Folder { path, .. }) = missing else { panic!("a folder that is not there was read") };
    assert_eq!(path, one.path().join("missing"));
}

#[test]
fn what_cannot_be_inspected_says_why() {
    let dir = folder(&[]);
    let world = World::of(dir.path());
    let refusal = world.plugins.inspect(&dir.path().join("libmissing.so")).unwrap_err().to_string();
    assert!(refusal.contains("libmissing.so: ") && refusal.contains("No such file"), "{refusal}");
    let refusal = world.plugins.inspect(dir.path()).unwrap_err().to_string();
    assert!(refusal.contains("is no regular file"), "{refusal}");
}

#[tokio::test]
async fn a_file_that_has_changed_is_not_loaded_by_accident() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let probe = world.probe(json!("count"));
    let (_, _, process) = counted(&*probe).await;
    let file = dir.path().join("libodd.so");
    crate::world::install(&file);
    // What runs, runs on; but what was never looked at does not take its place.
    assert_eq!(counted(&*probe).await.2, process);
    crate::world::kill(process, nix::sys::signal::Signal::SIGKILL);
    crate::world::wait_for("it has ended", || !crate::world::is_alive(process)).await;
    let unknown = async || crate::world::why(ask(&*probe).await);
    let mut why = unknown().await;
    if why.contains("SIGKILL") {
        why = unknown().await;
    }
    let expected = format!(
        "{} has changed since it was loaded (`vitald plugin reload` takes what is there now)",
        file.display()
    );
    assert_eq!(why, expected);
    assert_eq!(world.plugins.reload(&[]).unwrap().replaced, [file]);
    assert_eq!(counted(&*probe).await.0, 1);
}

fn load(folders: &[Folder], change: impl FnOnce(Options) -> Options) -> Result<Plugins, LoadError> {
    let options = Options {
        folders: folders.to_vec(),
        allow_unsafe: false,
        host: our_host(),
        limits: Limits::default(),
        taken: std::collections::BTreeMap::new(),
        objections: Arc::new(|_, _| Vec::new()),
        tell: Arc::new(|_| ()),
    };
    Plugins::load(change(options))
}

#[test]
fn a_pipe_is_waited_for_by_nobody() {
    let dir = folder(&[]);
    let pipe: &Path = &dir.path().join("libpipe.so");
    nix::unistd::mkfifo(pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let plugins =
        load(&[Folder::named(dir.path())], |options| Options { allow_unsafe: true, ..options }).unwrap();
    assert_eq!(plugins.refused()[0].reason, format!("{} is no regular file", pipe.display()));
}
