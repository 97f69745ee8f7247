//! Who builds a library, and how, is the author's business: another release of the compiler, or no library at all.

use std::path::{Path, PathBuf};
use std::process::Command;

use vitald_tests::{Output, Stranger, Supervisor, free_port, skip};

/// The compiler that is not the one that built vitald; `None` where there is none, which has been told.
fn other_compiler() -> Option<PathBuf> {
    let named = std::env::var_os("VITALD_OTHER_RUSTC").map(PathBuf::from);
    let debians = || Some(PathBuf::from("/usr/bin/rustc")).filter(|rustc| rustc.exists());
    let found = named.or_else(debians).filter(|rustc| version(rustc) != version(Path::new("rustc")));
    if found.is_none() {
        skip("there is no second Rust compiler: `cargo xtask test plugins` installs one");
    }
    found
}

fn version(rustc: &Path) -> String {
    Output::of(Command::new(rustc).arg("--version")).expect(0).stdout.trim().to_owned()
}

#[test]
fn a_library_of_another_compiler_release_works() {
    let Some(rustc) = other_compiler() else { return };
    let library =
        Stranger::build_with("examples/custom-probes", "host-health", &rustc).library("host-health");
    let mut s = Supervisor::prepare(
        "
        metadata: {name: app}
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe:
            allOf:
              - diskSpace: {path: /, minFree: 1}
              - {fileAge: {path: fresh, maxAgeSeconds: 3600}, isolation: InProcess}
            periodSeconds: 0.2
        ",
    );
    s.write("manifests/fresh", "!");
    let library = s.install(&library);
    let about = s.cli(&["plugin", "inspect", library.to_str().unwrap()]).expect(0).all();
    assert!(about.contains(&version(&rustc)), "{about}");
    s.start();
    s.wait_ready("app");
}

#[test]
fn the_same_source_is_linked_into_a_program_of_ones_own() {
    let program = Stranger::build("examples/custom-probes").program("own-checks");
    let port = free_port();
    let s = Supervisor::prepare(
        &"
        metadata: {name: app}
        spec:
          command: [sleep, '1']
          livenessProbe: {tcpSocket: {port: PORT, host: 127.0.0.1}}
          readinessProbe: {anyOf: [{diskSpace: {path: /, minFree: 1}}, {fileAge: {path: x, maxAgeSeconds: 9}}]}
        "
        .replace("PORT", &port.to_string()),
    );
    let ask = || Output::of(Command::new(&program).arg(s.path("manifests")));
    let output = ask().expect(1);
    assert!(output.stdout.contains("app readiness Success"), "{output:?}");
    assert!(output.stdout.contains("app liveness Failure connection refused by 127.0.0.1"), "{output:?}");
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    ask().expect(0);

    // A mistake has its caret there, too.
    s.write("manifests/bad.yaml", "apiVersion: vitald/v1\nkind: Component\nmetadata: {name: bad}\nspec: {command: [a], readinessProbe: {fileAge: {path: x, maxAgeSeconds: 0}}}\n");
    let output = ask().expect(1);
    assert!(
        output.stderr.contains("fileAge.maxAgeSeconds: invalid value 0: must be greater than 0"),
        "{output:?}"
    );
}
