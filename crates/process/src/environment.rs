//! The environment of a component: what is inherited, what the manifest says, and the run's mark.

use std::collections::BTreeMap;
use std::path::PathBuf;

use vitald_core::restarter::StartError;
use vitald_core::spec::{EnvValue, EnvVar};

use crate::expand::expand;
use crate::{env_file, mark, user};

/// Names and values.
pub(crate) type Environment = BTreeMap<String, String>;

/// The environment of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Built {
    /// All of it, by name.
    pub all: BTreeMap<String, String>,
    /// The values in it that were read from files: nobody is to see them.
    pub secrets: Vec<String>,
}

const INHERITED: [&str; 8] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"];
const INHERITED_PREFIXES: [&str; 3] = ["LC_", "XDG_", "SSL_CERT_"];

/// What components inherit of our own environment: `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `LANG`,
/// `LC_*`, `TZ`, `TMPDIR`, `XDG_*` and `SSL_CERT_*`; with `all`, everything but what is addressed to us
/// alone (`NOTIFY_SOCKET`, `WATCHDOG_*`, `LISTEN_*`, and the `VITALD_…` that mark a component). What is
/// not UTF-8 is left out.
pub fn inherited_environment(all: bool) -> BTreeMap<String, String> {
    select(std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))), all)
}

fn select(ours: impl Iterator<Item = (String, String)>, all: bool) -> Environment {
    let usual = |name: &str| {
        INHERITED.contains(&name) || INHERITED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    ours.filter(|(name, _)| !mark::is_for_us_alone(name) && (all || usual(name))).collect()
}

/// Puts together the environment that a manifest describes: the files of `envFrom`, `env`, then `mark`, the
/// later over the earlier. Nothing is inherited. Files are read now.
///
/// # Errors
/// [`StartError::Environment`]: a file or a key is missing, or a name or value cannot be set.
pub fn described_environment(
    env_from: &[PathBuf],
    env: &[EnvVar],
    mark: &[(String, String)],
) -> Result<Built, StartError> {
    build(&Environment::new(), None, env_from, env, mark)
}

/// Puts together the environment of a run. Files are read now.
///
/// In this order, the later over the earlier: what is inherited (without `XDG_*` and `TMPDIR` where it runs as
/// another user), what follows the user (`HOME`, `USER`, `LOGNAME`, `SHELL`), the files of `envFrom`, `env`,
/// the mark. `$(NAME)` in a literal value stands for what NAME is by then.
pub(crate) fn build(
    inherited: &Environment,
    user: Option<&user::Identity>,
    env_from: &[PathBuf],
    env: &[EnvVar],
    mark: &[(String, String)],
) -> Result<Built, StartError> {
    let mut secrets = Vec::new();
    let mut all = inherited.clone();
    all.retain(|name, _| !user.is_some_and(|user| user.drops(name)));
    for (name, value) in user.iter().flat_map(|user| &user.environment) {
        match value {
            Some(value) => all.insert((*name).to_owned(), value.clone()),
            None => all.remove(*name),
        };
    }
    for file in env_from {
        let read = env_file::read(file).map_err(StartError::Environment)?;
        secrets.extend(read.iter().map(|(_, value)| value.clone()));
        all.extend(read);
    }
    // So that `$(VITALD_RUN)` can be used; put right again below, should anything set it.
    all.extend(mark.iter().cloned());
    for variable in env {
        if let Some(value) = value_of(variable, &all)? {
            if matches!(variable.value, EnvValue::FileKey { .. }) {
                secrets.push(value.clone());
            }
            all.insert(variable.name.clone(), value);
        }
    }
    all.extend(mark.iter().cloned());
    for (name, value) in &all {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(StartError::Environment(format!(
                "`{}` cannot be set: a name has no `=`, and neither name nor value a NUL",
                name.escape_default()
            )));
        }
    }
    Ok(Built { all, secrets })
}

fn value_of(variable: &EnvVar, so_far: &Environment) -> Result<Option<String>, StartError> {
    let (path, key, optional) = match &variable.value {
        EnvValue::Literal(text) => return Ok(Some(expand_with(text, so_far))),
        EnvValue::FileKey { path, key, optional } => (path, key, *optional),
    };
    if optional && !path.exists() {
        return Ok(None);
    }
    let refuse = |why| StartError::Environment(format!("`{}`: {why}", variable.name));
    let found = env_file::read(path).map_err(&refuse)?.into_iter().rfind(|(name, _)| name == key);
    match found {
        Some((_, value)) => Ok(Some(value)),
        None if optional => Ok(None),
        None => Err(refuse(format!("{} has no key `{key}`", path.display()))),
    }
}

/// Expands `$(NAME)` by an environment.
pub fn expand_with(text: &str, environment: &BTreeMap<String, String>) -> String {
    expand(text, |name| environment.get(name).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    fn literal(name: &str, value: &str) -> EnvVar {
        EnvVar { name: name.to_owned(), value: EnvValue::Literal(value.to_owned()) }
    }

    #[test]
    fn few_variables_are_inherited() {
        let ours = map(&[
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("XDG_RUNTIME_DIR", "/run"),
            ("SSL_CERT_FILE", "x"),
            ("SECRET", "s"),
            ("NOTIFY_SOCKET", "n"),
            ("VITALD_RUN", "7"),
        ]);
        let names = |all| select(ours.clone().into_iter(), all).into_keys().collect::<Vec<_>>();
        assert_eq!(names(false), ["LC_ALL", "PATH", "SSL_CERT_FILE", "XDG_RUNTIME_DIR"]);
        assert_eq!(names(true), ["LC_ALL", "PATH", "SECRET", "SSL_CERT_FILE", "XDG_RUNTIME_DIR"]);
    }

    #[test]
    fn the_manifest_wins_over_what_is_inherited_and_the_mark_over_all() {
        let built = build(
            &map(&[("PATH", "/bin"), ("A", "inherited")]),
            None,
            &[],
            &[
                literal("A", "$(PATH):/x"),
                literal("B", "<$(A)> $(LATER)"),
                literal("LATER", "1"),
                literal("VITALD_RUN", "9"),
            ],
            &[("VITALD_RUN".to_owned(), "2".to_owned())],
        );
        let expected = map(&[
            ("A", "/bin:/x"),
            ("B", "</bin:/x> $(LATER)"),
            ("LATER", "1"),
            ("PATH", "/bin"),
            ("VITALD_RUN", "2"),
        ]);
        assert_eq!(built, Ok(Built { all: expected, secrets: Vec::new() }));
    }

    #[test]
    fn a_value_that_cannot_be_set_is_refused_without_showing_it() {
        let built = build(&map(&[]), None, &[], &[literal("A", "secret\0")], &[]);
        let message = built.unwrap_err().to_string();
        assert!(message.contains("`A` cannot be set") && !message.contains("secret"), "{message}");
    }
}
