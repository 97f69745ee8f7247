//! What is said of libraries, and what is to be said to load them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::Schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use vitald_core::probe::{ComponentContext, SpecError};
use vitald_core::registry::Isolation;
use vitald_core::spec::ProbeRole;

use crate::discover::Folder;
use crate::host::Limits;
use crate::library::Info;

/// Where libraries are looked for, and how they are run.
#[derive(Clone)]
pub struct Options {
    /// The folders, in order.
    pub folders: Vec<Folder>,
    /// Load also what others may have written.
    pub allow_unsafe: bool,
    /// What a library's own process is started with.
    pub host: HostCommand,
    /// What it may use.
    pub limits: Limits,
    /// Keys that no library may use, and what has each: `a built-in probe`, `a field of every probe`.
    pub taken: BTreeMap<String, String>,
    /// Says what of a configuration a schema does not allow, as where manifests are read.
    pub objections: Objections,
    /// Is told what people should hear of. Called from a thread of its own; it must come back soon.
    pub tell: Tell,
}

/// A program that calls [`host::serve`](crate::host::serve) with what is appended to these arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCommand {
    /// The program: for vitald, `/proc/self/exe`.
    pub program: PathBuf,
    /// What `ps` shows as its name.
    pub name: OsString,
    /// The arguments before those for the process: for vitald, `__probe-host`.
    pub args: Vec<OsString>,
}

/// Every mistake in a configuration, by the schema of its kind alone.
pub type Objections = Arc<dyn Fn(&Schema, &Value) -> Vec<SpecError> + Send + Sync>;

/// Takes what people should hear of.
pub type Tell = Arc<dyn Fn(Notice) + Send + Sync>;

/// What people should hear of a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its file.
    pub file: PathBuf,
    /// Its name.
    pub library: String,
    /// What this is.
    pub kind: NoticeKind,
    /// In one sentence, or a line of output.
    pub text: String,
}

/// The kinds of [`Notice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// It has printed a line.
    Output,
    /// Its process has ended, or was ended.
    Ended,
    /// Its probes do not run in this process any more.
    Moved,
}

/// A library that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Its file.
    pub file: PathBuf,
    /// The folder that it was found in.
    pub folder: PathBuf,
    /// Whether its probes can be used.
    pub state: Loading,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it says of itself, as far as it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// The keys of its probes.
    #[serde(default)]
    pub probes: Vec<String>,
}

/// What became of a library that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loading {
    /// Its probes can be used.
    Loaded,
    /// It is not used.
    Refused,
}

impl fmt::Display for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Loaded => "Loaded",
            Self::Refused => "Refused",
        })
    }
}

/// What a library says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The crate's name.
    pub name: String,
    /// The crate's version.
    pub version: String,
    /// The version of the border that it speaks: `1.0`.
    pub abi: String,
    /// The version of the SDK that it was built with.
    pub sdk: String,
    /// The compiler that built it.
    pub rustc: String,
    /// Whether a panic in it ends its process, so that it cannot run in this one.
    pub panic_aborts: bool,
}

impl From<&Info> for About {
    fn from(info: &Info) -> Self {
        Self {
            name: info.name.clone(),
            version: info.version.clone(),
            abi: info.abi.to_string(),
            sdk: info.sdk.clone(),
            rustc: info.rustc.clone(),
            panic_aborts: info.panic_aborts,
        }
    }
}

/// A library, looked at closely.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Its file.
    pub file: PathBuf,
    /// What it says of itself.
    pub about: About,
    /// Its probes.
    pub probes: Vec<Probe>,
    /// What would keep its probes from being used here, if it lay in one of the folders: names that are taken.
    pub objections: Vec<String>,
}

/// A probe of a library.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Its key in manifests.
    pub key: String,
    /// The JSON Schema of its configuration.
    pub schema: Schema,
}

/// Why a library is not used.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[error("{}", sentence(file, reason))]
pub struct Refusal {
    /// Its file.
    pub file: PathBuf,
    /// Why, in a sentence.
    pub reason: String,
}

/// Most reasons name the file themselves.
fn sentence(file: &Path, reason: &str) -> String {
    let file = file.display().to_string();
    if reason.contains(&file) { reason.to_owned() } else { format!("{file}: {reason}") }
}

/// Why no libraries were looked for.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A folder that must be there cannot be read.
    #[error("folder {} for custom probes cannot be read: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's word for why.
        #[source]
        source: std::io::Error,
    },
}

/// A configuration of a custom probe that is in use.
#[derive(Debug, Clone)]
pub struct InUse {
    /// The probe's key.
    pub key: String,
    /// Its configuration.
    pub config: Value,
    /// Where its code runs.
    pub isolation: Isolation,
    /// Which probe of its component it is, or is a part of.
    pub role: ProbeRole,
    /// Of which component.
    pub component: ComponentContext,
}

/// What a [`Plugins::reload`](crate::Plugins::reload) has changed: files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Changes {
    /// Libraries that were not used before.
    pub added: Vec<PathBuf>,
    /// Libraries that there is another version of now.
    pub replaced: Vec<PathBuf>,
    /// Libraries that are not used any more.
    pub removed: Vec<PathBuf>,
    /// Libraries that were found and are not used, and were not before either.
    pub refused: Vec<Refusal>,
}

impl Changes {
    /// Whether the same probes are there as before.
    pub fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.replaced.is_empty() && self.removed.is_empty()
    }
}

/// Why a [`Plugins::reload`](crate::Plugins::reload) has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(Refusal::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Refusals(pub Vec<Refusal>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_file_once() {
        let told = |reason: &str| Refusal { file: "/p/a.so".into(), reason: reason.to_owned() }.to_string();
        assert_eq!(told("a-probes has no probes"), "/p/a.so: a-probes has no probes");
        assert_eq!(
            told("/p/a.so cannot be loaded: it is cut off"),
            "/p/a.so cannot be loaded: it is cut off"
        );
    }
}
