//! The contract of a probe crate: [`ProbeKind`] declares it once, [`HealthProbe`] checks.
//!
//! ```
//! use serde::Deserialize;
//! use vitald_core::async_trait;
//! use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
//!
//! /// Healthy while a file exists.
//! #[derive(Debug, Deserialize, schemars::JsonSchema)]
//! #[serde(rename_all = "camelCase", deny_unknown_fields)]
//! pub struct FileSpec {
//!     /// Path of the file. It must be absolute.
//!     pub path: std::path::PathBuf,
//! }
//!
//! pub struct FileProbe(FileSpec);
//!
//! impl ProbeKind for FileProbe {
//!     const KEY: &'static str = "file";
//!     type Spec = FileSpec;
//!
//!     fn build(spec: FileSpec, _component: &ComponentContext) -> Result<Self, SpecError> {
//!         if spec.path.is_relative() {
//!             return Err(SpecError::new("must be absolute").at("path"));
//!         }
//!         Ok(Self(spec))
//!     }
//! }
//!
//! #[async_trait]
//! impl HealthProbe for FileProbe {
//!     async fn check(&self, _cx: &CheckContext) -> ProbeResult {
//!         match self.0.path.try_exists() {
//!             Ok(true) => ProbeResult::Success,
//!             Ok(false) => ProbeResult::failure(format!("{} does not exist", self.0.path.display())),
//!             Err(err) => ProbeResult::unknown(format!("{}: {err}", self.0.path.display())),
//!         }
//!     }
//! }
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::notify::RunNeeds;
use crate::restarter::{Executor, ProcessIdentity, RunView};
use crate::spec::ComponentKind;

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProbeResult {
    /// Asked, and the answer is good.
    Success,
    /// A success worth telling about (Kubernetes' `ProbeWarning`), such as a redirect to another host.
    Warning(String),
    /// Asked, and the answer is bad, or there was none: why, in one sentence.
    Failure(String),
    /// Could not ask: why, in one sentence. Never counts towards a restart.
    Unknown(String),
}

impl ProbeResult {
    /// A [`ProbeResult::Failure`] with its reason: lower case, no final full stop.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::Failure(message.into())
    }

    /// A [`ProbeResult::Unknown`] with its reason: lower case, no final full stop.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::Unknown(message.into())
    }

    /// The same verdict, with what was said beside it changed.
    pub fn map_message(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Success => Self::Success,
            Self::Warning(message) => Self::Warning(change(message)),
            Self::Failure(message) => Self::Failure(change(message)),
            Self::Unknown(message) => Self::Unknown(change(message)),
        }
    }

    /// What was said beside the verdict; empty for a plain success.
    pub fn message(&self) -> &str {
        match self {
            Self::Success => "",
            Self::Warning(message) | Self::Failure(message) | Self::Unknown(message) => message,
        }
    }
}

/// Checks once whether something is well.
///
/// A probe has no timing, no thresholds and no idea of what is done with its answer. The caller owns the
/// deadline: `check` may be dropped at any await. A fresh instance is built for every run of a component.
#[async_trait]
pub trait HealthProbe: Send + Sync + 'static {
    /// Asks once. Never called twice at the same time on one instance.
    async fn check(&self, cx: &CheckContext) -> ProbeResult;
}

/// Declares a kind of probe: its manifest key, its configuration, and how to build it.
///
/// From this one declaration come the manifest's parsing, errors and schema, `vitald check` and
/// `vitald probe list`.
pub trait ProbeKind: HealthProbe + Sized {
    /// The key under `livenessProbe` and its siblings, in camelCase.
    const KEY: &'static str;

    /// The configuration below the key. Derive `Deserialize` with `rename_all = "camelCase"` and
    /// `deny_unknown_fields`; its doc comments become the schema's descriptions, the first line of the
    /// struct's own the summary in `vitald probe list`.
    type Spec: DeserializeOwned + JsonSchema + 'static;

    /// Builds the probe for one run, or says which field is wrong. Does no I/O: it is called to validate
    /// manifests, too.
    fn build(spec: Self::Spec, component: &ComponentContext) -> Result<Self, SpecError>;

    /// What a run must be given so that the probe has something to ask: nothing, for most.
    fn needs(_spec: &Self::Spec) -> RunNeeds {
        RunNeeds::default()
    }
}

/// What a probe may know about its component when it is built.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ComponentContext {
    /// The component's name.
    pub name: String,
    /// What it is. `None` where there is no component, or none that is known.
    #[serde(deserialize_with = "if_known")]
    pub kind: Option<ComponentKind>,
    /// The component's ports by name.
    pub ports: BTreeMap<String, u16>,
    /// The directory that relative paths in the spec start from: the component's working directory.
    pub working_dir: PathBuf,
    /// The component's own log, where it has one.
    pub log_file: Option<PathBuf>,
}

/// A kind of component that is newer than this program, such as a custom probe's library, is none that is known.
fn if_known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ComponentKind>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(deserializer)?).ok())
}

impl ComponentContext {
    /// Resolves a port given by number or name.
    pub fn port(&self, port: &PortRef) -> Result<u16, SpecError> {
        match port {
            PortRef::Number(number) => Ok(*number),
            PortRef::Name(name) => self.ports.get(name).copied().ok_or_else(|| {
                SpecError::not_found(format!("no port is named `{name}`"))
                    .with_known(self.ports.keys().cloned())
            }),
        }
    }
}

/// What a probe may use while it checks.
#[derive(Clone)]
pub struct CheckContext {
    /// How long this check may take. The caller drops it then; a protocol that carries deadlines may be
    /// told.
    pub timeout: Duration,
    /// The run that is checked; `None` outside a supervisor.
    pub run: Option<Arc<dyn RunView>>,
    /// Runs commands where the component runs, with its user and environment.
    pub executor: Arc<dyn Executor>,
}

impl CheckContext {
    /// The component's main process; `None` outside a supervisor.
    pub fn process(&self) -> Option<ProcessIdentity> {
        self.run.as_ref().map(|run| run.process())
    }
}

/// A port by number, or by the name it has in the component's `ports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PortRef {
    /// 1 to 65535.
    Number(u16),
    /// A name in `ports`.
    Name(String),
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for PortRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = PortRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port number from 1 to 65535, or the name of one of the component's ports")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<PortRef, E> {
                match u16::try_from(value) {
                    Ok(number) if number > 0 => Ok(PortRef::Number(number)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(value), &self)),
                }
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<PortRef, E> {
                u64::try_from(value)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
                    .and_then(|value| self.visit_u64(value))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<PortRef, E> {
                Ok(PortRef::Name(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for PortRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PortRef".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["integer", "string"], "minimum": 1, "maximum": 65535 })
    }
}

/// A mistake inside a probe's own configuration. Whoever reads the manifest adds file, line and column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpecError {
    /// Field inside the spec, such as `port` or `httpHeaders[0].name`; empty for the spec itself.
    #[serde(default)]
    pub path: String,
    /// What kind of mistake it is.
    #[serde(default)]
    pub kind: SpecErrorKind,
    /// What is wrong: lower case, no final full stop.
    pub message: String,
    /// Names that would have been right, where there is such a list.
    #[serde(default)]
    pub known: Vec<String>,
}

/// The kinds that a [`SpecError`] can have.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SpecErrorKind {
    /// The value names something that does not exist.
    NotFound,
    /// A field is missing.
    Required,
    /// A field must not be there.
    Forbidden,
    /// The value is out of range or makes no sense. Also what a newer library says that is none of these.
    #[default]
    #[serde(other)]
    Invalid,
}

impl SpecError {
    /// An invalid value: `must be …`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), kind: SpecErrorKind::Invalid, message: message.into(), known: Vec::new() }
    }

    /// A name that nothing has.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { kind: SpecErrorKind::NotFound, ..Self::new(message) }
    }

    /// A field that is missing.
    pub fn required(message: impl Into<String>) -> Self {
        Self { kind: SpecErrorKind::Required, ..Self::new(message) }
    }

    /// A field that must not be there.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { kind: SpecErrorKind::Forbidden, ..Self::new(message) }
    }

    /// Says which field; applied from the inside out, so that `err.at("port").at("tls")` is `tls.port`.
    pub fn at(mut self, field: impl AsRef<str>) -> Self {
        let field = field.as_ref();
        self.path = match self.path.as_str() {
            "" => field.to_owned(),
            rest if rest.starts_with('[') => format!("{field}{rest}"),
            rest => format!("{field}.{rest}"),
        };
        self
    }

    /// Adds the names that would have been right.
    pub fn with_known(mut self, known: impl IntoIterator<Item = String>) -> Self {
        self.known = known.into_iter().collect();
        self
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for SpecError {}
