//! What becomes of crates that export probes when they are linked together.

use std::fs;
use std::path::Path;
use std::process::Command;

use vitald_plugin::library::Library;

use crate::build;

fn keys(file: &Path) -> Vec<String> {
    let kinds = Library::open(file).unwrap().kinds().unwrap();
    kinds.into_iter().map(|kind| kind.key).collect()
}

/// A crate with a probe that is always healthy.
fn always(key: &str, kind: &str) -> String {
    format!(
        "use vitald_sdk::async_trait;
         use vitald_sdk::probe::{{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError}};

         #[derive(serde::Deserialize, schemars::JsonSchema)]
         pub struct {kind}Spec {{}}

         pub struct {kind};

         impl ProbeKind for {kind} {{
             const KEY: &'static str = \"{key}\";
             type Spec = {kind}Spec;
             fn build(_: {kind}Spec, _: &ComponentContext) -> Result<Self, SpecError> {{ Ok(Self) }}
         }}

         #[async_trait]
         impl HealthProbe for {kind} {{
             async fn check(&self, _: &CheckContext) -> ProbeResult {{ ProbeResult::Success }}
         }}

         vitald_sdk::export_probe!({kind});
        "
    )
}

#[test]
fn crates_with_probes_can_be_linked_into_one_program_or_library() {
    let one = build::rust("one-probe", "0.1.0", &always("one", "One"));
    let two = build::rust("two-probe", "0.1.0", &always("two", "Two"));
    assert_eq!((keys(&one), keys(&two)), (vec!["one".to_owned()], vec!["two".to_owned()]));

    // A library of one of both: its own export counts, not that of what it depends on.
    let both = "vitald_sdk::export_probe!(one_probe::One, two_probe::Two);\n";
    let both = build::rust_with("both-probes", "0.1.0", both, &["one-probe", "two-probe"]);
    assert_eq!(keys(&both), ["one", "two"]);
    assert_eq!(Library::open(&both).unwrap().info().name, "both-probes");

    // Whoever builds his own program names them as vitald names its own.
    let program = build::program(
        "own-program",
        "use vitald_core::registry::Registry;
         fn main() {
             let mut registry = Registry::new();
             registry.add::<one_probe::One>();
             registry.add::<two_probe::Two>();
             println!(\"{}\", registry.keys().collect::<Vec<_>>().join(\" \"));
         }",
        &["one-probe", "two-probe"],
    );
    let output = Command::new(program).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "one two\n");
}

#[test]
fn two_probes_with_one_key_do_not_compile() {
    let source = always("same", "One").replace("export_probe!(One)", "export_probe!(One, One)");
    let said = build::mistake("same-key", &source);
    assert!(said.contains("two probes have the same KEY"), "{said}");
}

#[test]
fn a_library_of_which_a_panic_aborts_says_so() {
    let aborts = build::aborting("aborting-probe", &always("aborting", "Aborting"));
    assert!(Library::open(&aborts).unwrap().info().panic_aborts);
    assert!(fs::metadata(aborts).unwrap().is_file());
}
