//! Whose polls count: anybody's, those of a pattern, or those of the component's own processes.
//!
//! A worker says who it is by its identity, which the SDKs make of pid and host: `4242@web`, with more after
//! another `@` in some. In a container the pid is the one in there, and the host the beginning of its id.

use std::fmt;
use std::fs;

use vitald_core::probe::{CheckContext, SpecError};
use vitald_core::wording::system_error;

/// Which identities count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    Any,
    Pid,
    Pattern(String),
}

impl Identity {
    pub(crate) fn parse(text: &str) -> Result<Self, SpecError> {
        match text {
            "Any" => Ok(Self::Any),
            "Pid" => Ok(Self::Pid),
            "" => Err(SpecError::new("must be `Any`, `Pid`, or a pattern such as `*@web`")),
            // As a pattern it would match nobody.
            text if text.eq_ignore_ascii_case("any") => Err(SpecError::new("must be spelt `Any`")),
            text if text.eq_ignore_ascii_case("pid") => Err(SpecError::new("must be spelt `Pid`")),
            text => Ok(Self::Pattern(text.to_owned())),
        }
    }

    /// Finds out what it stands for now, or says why that cannot be told.
    pub(crate) async fn resolve(&self, cx: &CheckContext) -> Result<Whose, String> {
        match self {
            Self::Any => Ok(Whose::Any),
            Self::Pattern(pattern) => Ok(Whose::Pattern(pattern.clone())),
            Self::Pid => {
                let Some(run) = &cx.run else {
                    return Err("`identity: Pid` is about a component that runs under vitald, and there is \
                                none here: give a pattern such as `4242@*`"
                        .to_owned());
                };
                let pids = run.pids().await.map_err(|err| {
                    format!("the component's processes cannot be told: {}", system_error(&err))
                })?;
                let host = fs::read_to_string("/proc/sys/kernel/hostname").map_err(|err| {
                    format!("this machine's host name cannot be read: {}", system_error(&err))
                })?;
                Ok(Whose::Run { pids, host: host.trim().to_owned(), container: run.container() })
            }
        }
    }
}

/// What an [`Identity`] stands for during one check.
#[derive(Debug)]
pub(crate) enum Whose {
    Any,
    Pattern(String),
    Run { pids: Vec<i32>, host: String, container: Option<String> },
}

impl Whose {
    /// Whether a worker of this identity is meant.
    pub(crate) fn is(&self, identity: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Pattern(pattern) => glob(pattern, identity),
            Self::Run { pids, host, container } => {
                let mut parts = identity.split('@');
                let pid = parts.next().and_then(|pid| pid.parse::<i32>().ok());
                let (Some(pid), Some(theirs)) = (pid, parts.next()) else { return false };
                if container.as_ref().is_some_and(|id| theirs.len() >= 12 && id.starts_with(theirs)) {
                    return true;
                }
                // A pid of another machine means nothing here.
                same_host(host, theirs)
                    && (pids.contains(&pid) || pids.iter().any(|own| numbers(*own).contains(&pid)))
            }
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any worker"),
            Self::Pattern(pattern) => write!(f, "a worker whose identity is like `{pattern}`"),
            Self::Run { pids, host, container } => {
                f.write_str("the component's own processes")?;
                let mut sorted = pids.clone();
                sorted.sort_unstable();
                let shown: Vec<_> = sorted.iter().take(5).map(i32::to_string).collect();
                let more = if sorted.len() > shown.len() { ", …" } else { "" };
                match container {
                    Some(id) => write!(f, " (container {})", id.get(..12).unwrap_or(id)),
                    None => write!(f, " ({}{more} on {host})", shown.join(", ")),
                }
            }
        }
    }
}

/// Some SDKs leave the domain out of a host's name, and some add it.
fn same_host(ours: &str, theirs: &str) -> bool {
    let within = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|domain| domain.is_empty() || domain.starts_with('.'))
    };
    let (ours, theirs) = (ours.to_ascii_lowercase(), theirs.to_ascii_lowercase());
    !theirs.is_empty() && (within(&ours, &theirs) || within(&theirs, &ours))
}

/// The numbers that a process has in the pid namespaces below ours: what it takes for its pid is the last.
fn numbers(pid: i32) -> Vec<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.unwrap_or_default().split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Whether the text is like the pattern, in which `*` stands for any characters, or none.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text) in [
            ("4242@web", "4242@web"),
            ("*@web", "4242@web"),
            ("*@web*", "4242@web@"),
            ("runner-*-eu", "runner-7-eu"),
            ("*", ""),
            ("a**b", "ab"),
            ("*a*a", "aa"),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("4242@web", "14242@web"),
            ("*@web", "4242@web2"),
            ("runner-*-eu", "runner-eu"),
            ("a*a", "a"),
            ("*a*a", "a"),
            ("a.c", "abc"),
        ] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_pid_counts_only_on_its_own_machine() {
        // A number that no process here has.
        let own = i32::MAX;
        let whose = Whose::Run { pids: vec![own], host: "web.example".to_owned(), container: None };
        for identity in ["@web.example", "@web.example@", "@web", "@WEB.example", "@web.example@q@x"] {
            assert!(whose.is(&format!("{own}{identity}")), "{identity}");
        }
        for identity in ["@web2", "@web.other", "@we", "@", "", "@db@web"] {
            assert!(!whose.is(&format!("{own}{identity}")), "{identity}");
        }
        assert!(!whose.is("1@web") && !whose.is("web@web") && !whose.is(""));
    }

    #[test]
    fn a_process_is_known_by_its_number_in_a_namespace_below() {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        assert!(numbers(own).contains(&own));
        assert!(numbers(i32::MAX).is_empty());
    }

    #[test]
    fn in_a_container_the_host_is_its_id() {
        let id = "0123456789abcdef0123456789abcdef".to_owned();
        let whose = Whose::Run { pids: vec![i32::MAX], host: "web".to_owned(), container: Some(id) };
        assert!(whose.is("1@0123456789ab") && whose.is("7@0123456789ab@"));
        assert!(!whose.is("1@0123456789ac") && !whose.is("1@0123") && !whose.is("1@web"));
    }

    #[test]
    fn any_and_pid_are_words_of_their_own() {
        assert_eq!(Identity::parse("Any"), Ok(Identity::Any));
        assert_eq!(Identity::parse("Pid"), Ok(Identity::Pid));
        assert_eq!(Identity::parse("pid-*"), Ok(Identity::Pattern("pid-*".to_owned())));
        for wrong in ["", "any", "PID"] {
            assert!(Identity::parse(wrong).is_err(), "{wrong}");
        }
    }
}
