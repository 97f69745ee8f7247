//! Input that wants to hurt: a plain error, soon, and never a panic.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use vitald_manifest::{Diagnostics, LoadOptions, load};

fn load_bytes(bytes: &[u8]) -> Result<vitald_manifest::Manifests, Diagnostics> {
    let registry = support::registry();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    fs::write(&file, bytes).unwrap();
    load(&[file], &LoadOptions { registry: &registry, env_path: None })
}

/// Loads what must be refused, and gives the codes of what is said about it.
fn refused(bytes: &[u8]) -> Vec<&'static str> {
    let start = Instant::now();
    let diagnostics = load_bytes(bytes).unwrap_err();
    let rendered = diagnostics.render(false);
    assert!(start.elapsed() < Duration::from_secs(60), "took {:?}", start.elapsed());
    assert!(rendered.len() < 2_000_000, "{} bytes of errors", rendered.len());
    diagnostics.0.iter().map(|diagnostic| diagnostic.code).collect()
}

const HEAD: &str = "apiVersion: vitald/v1\nkind: Component\nmetadata: {name: a}\nspec:\n  command: [a]\n";

#[test]
fn brackets() {
    assert_eq!(refused("[".repeat(20_000).as_bytes()), ["manifest::limit"]);
    assert_eq!(refused("{a: ".repeat(20_000).as_bytes()), ["manifest::limit"]);
    assert_eq!(refused("- ".repeat(20_000).as_bytes()), ["manifest::limit"]);
    assert_eq!(refused(format!("{HEAD}  args: {}", "[".repeat(20_000)).as_bytes()), ["manifest::limit"]);
    let deep: String = (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth.min(200)))).collect();
    assert!(!refused(deep.as_bytes()).is_empty());
}

#[test]
fn alias_bombs() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{below}]\n");
    }
    assert_eq!(refused(bomb.as_bytes()), ["manifest::limit"]);
    let mut merged = "a0: &a0 {k: v}\n".to_owned();
    for level in 1..60 {
        let below = level - 1;
        merged += &format!("a{level}: &a{level} {{x: *a{below}, y: *a{below}}}\n");
    }
    assert_eq!(refused(merged.as_bytes()), ["manifest::limit"]);
    let mut nested = "- &a0 [x]\n".to_owned();
    for level in 1..500 {
        nested += &format!("- &a{level} [*a{}]\n", level - 1);
    }
    assert_eq!(refused(nested.as_bytes()), ["manifest::limit"]);
    assert_eq!(refused(b"a: &a [*a]"), ["manifest::syntax"]);
}

#[test]
fn rubbish() {
    assert_eq!(refused(b"\x7fELF\x02\x01\x01\0\0\0\0\0"), ["manifest::unreadable"]);
    assert_eq!(refused(&[0; 1000]), ["manifest::unreadable"]);
    assert_eq!(refused(&[0xff, 0xfe, b'a', 0]), ["manifest::unreadable"]);
    assert_eq!(refused(&vec![b'x'; 2 << 20]), ["manifest::limit"]);
    assert_eq!(refused("x ".repeat(500_000).as_bytes()), ["manifest::invalid"]);
    assert_eq!(refused(format!("{HEAD}  args: [{}]", "a,".repeat(400_000)).as_bytes()), ["manifest::limit"]);
}

#[test]
fn more_mistakes_than_anybody_reads() {
    let unknown: String = (0..50_000).map(|i| format!("  field{i}: x\n")).collect();
    assert_eq!(refused(format!("{HEAD}{unknown}").as_bytes()).len(), 501);
    let wrong = format!("{HEAD}  env: [{}]", "{name: 1, value: 2}, ".repeat(20_000));
    assert_eq!(refused(wrong.as_bytes()).len(), 501);
    let broken = "---\n[\n".repeat(100_000);
    assert!(refused(broken.as_bytes()).len() <= 51);
    let empty = "---\n".repeat(90_000);
    assert!(refused(empty.as_bytes()).len() <= 501);
    let same = "a: 1\n".repeat(50_000);
    assert!(refused(same.as_bytes()).len() <= 501);
}

#[test]
fn many_components() {
    let chain: String = (0..3000)
        .map(|i| {
            let next = (i + 1) % 3000;
            format!("---\napiVersion: vitald/v1\nkind: Component\nmetadata: {{name: c{i}}}\nspec: {{command: [a], dependsOn: [{{name: c{next}}}]}}\n")
        })
        .collect();
    assert_eq!(refused(chain.as_bytes()), ["manifest::cycle"]);
}

fn yaml_ish() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "apiVersion",
        "vitald/v1",
        "kind",
        "Component",
        "metadata",
        "name",
        "spec",
        "command",
        "env",
        "value",
        "livenessProbe",
        "allOf",
        "atLeast",
        "count",
        "of",
        "pid",
        "httpGet",
        "port",
        "periodSeconds",
        "a",
        "*a",
        "&a",
        "<<",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\"",
        "'",
        "#",
        "|",
        ">",
        "!!str ",
        "!x ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "? ",
        "\t",
        "1",
        "-1",
        "1e999",
        "0.5",
        ".nan",
        "~",
        "null",
        "yes",
        "true",
        "é",
        "\u{1f600}",
        "\\0",
        "\r\n",
        "\u{feff}",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in yaml_ish()) {
        if let Err(diagnostics) = load_bytes(text.as_bytes()) {
            prop_assert!(diagnostics.error_count() > 0);
            prop_assert!(!diagnostics.render(true).is_empty());
        }
    }

    #[test]
    fn any_spec_is_read_or_refused(text in yaml_ish()) {
        if let Err(diagnostics) = load_bytes(format!("{HEAD}  {text}").as_bytes()) {
            prop_assert!(!diagnostics.render(false).is_empty());
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let diagnostics = load_bytes(&bytes).unwrap_err();
        prop_assert!(!diagnostics.render(false).is_empty());
    }

    /// Cut anywhere, a good manifest is still good, or refused with a place inside it.
    #[test]
    fn a_part_of_a_good_manifest(cut in 0usize..2400, hole in 0usize..40) {
        let text = fs::read_to_string("tests/good/everything.yaml").unwrap();
        let cut = cut.min(text.len());
        let rest = text.get(cut + hole..).unwrap_or_default();
        let text = format!("{}{rest}", &text[..cut]);
        if let Err(diagnostics) = load_bytes(text.as_bytes()) {
            for diagnostic in &diagnostics.0 {
                prop_assert!(diagnostic.span.end <= text.len());
                prop_assert!(diagnostic.line <= text.lines().count() + 1);
            }
        }
    }
}
