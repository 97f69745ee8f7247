//! What a new probe is called, in each of the places that have rules of their own.

use crate::builtin;

/// What a new crate and its probe are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The package and its folder: `disk-space`.
    pub(crate) package: String,
    /// What manifests say: `diskSpace`.
    pub(crate) key: String,
}

/// Longer names make longer lines than anybody reads.
const LONGEST: usize = 64;

/// Words of Rust, which no crate may be called.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// Crates that come with Rust, folders that cargo makes, and what the new crate depends on.
const TAKEN: &[&str] = &[
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "schemars",
    "serde",
    "std",
    "test",
    "tokio",
    "vitald",
    "vitald-core",
    "vitald-sdk",
];

impl Names {
    /// The names of a new crate. The probe's follows from the crate's, unless it is given.
    ///
    /// # Errors
    /// A name that cargo, Rust or a manifest cannot have, and why.
    pub(crate) fn of(package: &str, key: Option<&str>) -> Result<Self, String> {
        check_package(package)?;
        let key = key.map_or_else(|| camel(package), str::to_owned);
        check_key(&key)?;
        Ok(Self { package: package.to_owned(), key })
    }

    /// What Rust calls the crate, and the library's file after `lib`: `disk_space`.
    pub(crate) fn library(&self) -> String {
        self.package.replace('-', "_")
    }

    /// What its types are called, before `Spec` and `Probe`: `DiskSpace`.
    pub(crate) fn types(&self) -> String {
        let (first, rest) = self.key.split_at(1);
        let whole = format!("{}{rest}", first.to_uppercase());
        // `HealthProbe` is the trait.
        if whole == TRAIT {
            return format!("{TRAIT}Check");
        }
        let short = whole.strip_suffix("Probe").filter(|short| !short.is_empty() && *short != TRAIT);
        short.unwrap_or(&whole).to_owned()
    }
}

/// What a probe's type must not be called, before `Probe`.
const TRAIT: &str = "Health";

fn check_package(name: &str) -> Result<(), String> {
    let refuse = |why: String| Err(format!("`{name}` cannot be the name of a crate: {why}"));
    let suggestion = kebab(name);
    let hint = match suggestion.is_empty() || suggestion == name {
        true => String::new(),
        false => format!("; try `{suggestion}`"),
    };
    let well_formed = name
        .split('-')
        .all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    match name.chars().next() {
        None => return refuse("it is empty".to_owned()),
        Some(first) if first.is_ascii_digit() => return refuse("it begins with a digit".to_owned()),
        Some(_) => {}
    }
    if !well_formed {
        return refuse(format!(
            "it must be lower-case words of `a` to `z` and digits, with one `-` between them{hint}"
        ));
    }
    if name.len() > LONGEST {
        return refuse(format!("it is longer than {LONGEST} characters"));
    }
    if KEYWORDS.contains(&name) {
        return refuse(format!("it is a word of Rust; try `{name}-probe`"));
    }
    if TAKEN.contains(&name) {
        return refuse(format!("cargo or Rust has something of that name already; try `{name}-probe`"));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("`{key}` cannot be the name of a probe: {why}"));
    let mut letters = key.chars();
    let begins_well = letters.next().is_some_and(|first| first.is_ascii_lowercase());
    if !begins_well || !letters.all(|c| c.is_ascii_alphanumeric()) {
        return refuse("it must be letters and digits in camelCase, such as `diskSpace`");
    }
    let registry = builtin::registry();
    if registry.get(key).is_some() {
        return refuse("vitald has a probe of that name; choose another with `--probe KEY`");
    }
    if vitald_manifest::reserved().iter().any(|name| name == key) {
        return refuse("every probe has a field of that name; choose another with `--probe KEY`");
    }
    Ok(())
}

/// `disk-space` as `diskSpace`.
fn camel(package: &str) -> String {
    let mut words = package.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |key, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        format!("{key}{}{rest}", initial.to_uppercase())
    })
}

/// The nearest name in kebab-case: `disk-space` for `DiskSpace`, `disk_space` and `disk space`.
fn kebab(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        let begins = c.is_ascii_uppercase()
            && words.ends_with(|last: char| last.is_ascii_lowercase() || last.is_ascii_digit());
        let separates = !c.is_ascii_alphanumeric();
        if (begins || separates) && !words.is_empty() && !words.ends_with('-') {
            words.push('-');
        }
        if !separates {
            words.push(c.to_ascii_lowercase());
        }
    }
    words.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_leads_to_the_others() {
        let table = [
            ("disk-space", None, "diskSpace", "disk_space", "DiskSpace"),
            ("lease", None, "lease", "lease", "Lease"),
            ("http2-check-3", None, "http2Check3", "http2_check_3", "Http2Check3"),
            ("queue-probe", None, "queueProbe", "queue_probe", "Queue"),
            ("grpc-probe", Some("grpcStreams"), "grpcStreams", "grpc_probe", "GrpcStreams"),
            ("health", None, "health", "health", "HealthCheck"),
            ("health-probe", None, "healthProbe", "health_probe", "HealthProbe"),
            ("probe", None, "probe", "probe", "Probe"),
        ];
        for (package, key, expected, library, types) in table {
            let names = Names::of(package, key).unwrap();
            assert_eq!(
                (names.key.as_str(), names.library(), names.types()),
                (expected, library.into(), types.into())
            );
        }
    }

    #[test]
    fn names_that_something_else_cannot_have_are_refused() {
        let table = [
            ("", None, "it is empty"),
            ("2fa", None, "begins with a digit"),
            ("DiskSpace", None, "try `disk-space`"),
            ("disk_space", None, "try `disk-space`"),
            ("-disk--space-", None, "try `disk-space`"),
            ("../disk", None, "try `disk`"),
            ("größe", None, "must be lower-case words"),
            ("a/b", None, "try `a-b`"),
            ("fn", None, "a word of Rust; try `fn-probe`"),
            ("serde", None, "try `serde-probe`"),
            (
                "tcp-socket",
                None,
                "`tcpSocket` cannot be the name of a probe: vitald has a probe of that name",
            ),
            ("all-of", None, "`allOf` cannot be the name of a probe: every probe has a field of that name"),
            ("a", Some("periodSeconds"), "every probe has a field"),
            ("a", Some("DiskSpace"), "in camelCase"),
            ("a", Some("disk-space"), "in camelCase"),
            ("a", Some(""), "in camelCase"),
        ];
        for (package, key, why) in table {
            let refused = Names::of(package, key).unwrap_err();
            assert!(refused.contains(why), "{package}: {refused}");
        }
        assert!(Names::of(&"a".repeat(65), None).is_err());
    }
}
