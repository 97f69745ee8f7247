//! What a library says of itself, and those that are refused.

use vitald_plugin::library::{Library, OURS};

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
