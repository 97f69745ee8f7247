//! The probe kinds that are there, without their types.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::Schema;
use serde::{Deserialize, Serialize};

use crate::notify::RunNeeds;
use crate::probe::{ComponentContext, HealthProbe, ProbeKind, SpecError};

/// Every probe kind that manifests may name. Filled once, from a list that one can read, and from what custom
/// probe crates declare. A clone shares the kinds.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<String, Arc<dyn AnyKind>>,
    /// Libraries that were refused.
    refused: Vec<PathBuf>,
}

/// A [`ProbeKind`] without its type, wherever its code is.
pub trait AnyKind: Send + Sync + 'static {
    /// The key under `livenessProbe` and its siblings.
    fn key(&self) -> &str;

    /// Where its code is from.
    fn origin(&self) -> Origin;

    /// The JSON Schema of its configuration, self-contained (no `$ref`s).
    fn schema(&self) -> &Schema;

    /// Whether a probe can be built from this configuration. Called while manifests are read: it may take its
    /// time, such as that of another process to answer.
    ///
    /// # Errors
    /// A mistake in the configuration.
    fn validate(&self, config: &serde_json::Value, component: &ComponentContext) -> Result<(), SpecError>;

    /// Somebody begins to validate. What was waited for in vain the last time is waited for again, once; whoever has
    /// many configurations to ask for does not wait for each.
    fn ask_anew(&self) {}

    /// Builds the probe for one run, and comes back at once: what would take time is put off until it is asked.
    ///
    /// # Errors
    /// A mistake in the configuration.
    fn build(
        &self,
        config: &serde_json::Value,
        component: &ComponentContext,
        isolation: Isolation,
    ) -> Result<Box<dyn HealthProbe>, SpecError>;

    /// What a run must be given, so that such a probe has something to ask. Nothing, where the configuration is
    /// wrong.
    fn needs(&self, config: &serde_json::Value) -> RunNeeds;
}

/// Where a probe's code is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// Linked into this program.
    BuiltIn,
    /// A custom probe crate's library.
    Library(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::Library(file) => file.display().fmt(f),
        }
    }
}

/// Where the code of a custom probe runs. Those that are linked in always run in the supervisor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// In a process of its library: whatever it does harms nobody else.
    #[default]
    Process,
    /// In the supervisor, for speed: what it does to memory, it does to the supervisor's.
    InProcess,
}

impl Isolation {
    /// Whether it is the default, and need not be said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Registry {
    /// A registry of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind under its own key.
    ///
    /// # Panics
    /// If the key is taken: two crates of one binary claim the same name.
    pub fn add<K: ProbeKind>(&mut self) {
        let taken = self.insert(Arc::new(Linked::<K>::new())).is_err();
        assert!(!taken, "two probe kinds are named `{}`", K::KEY);
    }

    /// Adds a kind whose type nobody knows.
    ///
    /// # Errors
    /// Its key is taken: where the other one is from.
    pub fn insert(&mut self, kind: Arc<dyn AnyKind>) -> Result<(), Origin> {
        if let Some(other) = self.kinds.get(kind.key()) {
            return Err(other.origin());
        }
        self.kinds.insert(kind.key().to_owned(), kind);
        Ok(())
    }

    /// Notes a library whose kinds are not here because it was refused, for whoever looks for one of them.
    pub fn note_refused(&mut self, library: PathBuf) {
        self.refused.push(library);
    }

    /// The libraries that were refused.
    pub fn refused(&self) -> &[PathBuf] {
        &self.refused
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// The kind of a key.
    pub fn get(&self, key: &str) -> Option<&Arc<dyn AnyKind>> {
        self.kinds.get(key)
    }

    /// The JSON Schema of a kind's configuration, self-contained (no `$ref`s).
    pub fn schema(&self, key: &str) -> Option<&Schema> {
        self.get(key).map(|kind| kind.schema())
    }

    /// Whether a key is that of a custom probe.
    pub fn is_custom(&self, key: &str) -> bool {
        matches!(self.origin(key), Some(Origin::Library(_)))
    }

    /// Where the code of a kind is from.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        self.get(key).map(|kind| kind.origin())
    }

    /// Begins to [`validate`](Self::validate) anew: see [`AnyKind::ask_anew`].
    pub fn ask_anew(&self) {
        self.kinds.values().for_each(|kind| kind.ask_anew());
    }

    /// Whether a probe of the kind `key` can be built from a configuration. It may take a while: see
    /// [`AnyKind::validate`].
    ///
    /// # Errors
    /// No such kind, or a mistake in the configuration.
    pub fn validate(
        &self,
        key: &str,
        config: &serde_json::Value,
        component: &ComponentContext,
    ) -> Result<(), SpecError> {
        self.known(key)?.validate(config, component)
    }

    /// Builds a probe of the kind `key` from its configuration, at once.
    ///
    /// # Errors
    /// No such kind, or a mistake in the configuration.
    pub fn build(
        &self,
        key: &str,
        config: &serde_json::Value,
        component: &ComponentContext,
        isolation: Isolation,
    ) -> Result<Box<dyn HealthProbe>, SpecError> {
        self.known(key)?.build(config, component, isolation)
    }

    /// What a run must be given for a probe of the kind `key` with this configuration. Nothing, where the kind
    /// is not known or the configuration wrong.
    pub fn needs(&self, key: &str, config: &serde_json::Value) -> RunNeeds {
        self.get(key).map(|kind| kind.needs(config)).unwrap_or_default()
    }

    fn known(&self, key: &str) -> Result<&Arc<dyn AnyKind>, SpecError> {
        self.get(key).ok_or_else(|| {
            SpecError::not_found(format!("no probe is named `{key}`"))
                .with_known(self.keys().map(str::to_owned))
        })
    }
}

/// The schema of a kind's configuration, self-contained (no `$ref`s).
pub fn schema_of<K: ProbeKind>() -> Schema {
    schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<K::Spec>()
}

/// A kind that is linked into this program.
pub struct Linked<K> {
    schema: Schema,
    kind: PhantomData<fn() -> K>,
}

impl<K: ProbeKind> Linked<K> {
    /// The kind, with its schema.
    pub fn new() -> Self {
        Self { schema: schema_of::<K>(), kind: PhantomData }
    }
}

impl<K: ProbeKind> Default for Linked<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: ProbeKind> AnyKind for Linked<K> {
    fn key(&self) -> &str {
        K::KEY
    }

    fn origin(&self) -> Origin {
        Origin::BuiltIn
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn validate(&self, config: &serde_json::Value, component: &ComponentContext) -> Result<(), SpecError> {
        K::build(read::<K>(config)?, component).map(drop)
    }

    fn build(
        &self,
        config: &serde_json::Value,
        component: &ComponentContext,
        _isolation: Isolation,
    ) -> Result<Box<dyn HealthProbe>, SpecError> {
        Ok(Box::new(K::build(read::<K>(config)?, component)?))
    }

    fn needs(&self, config: &serde_json::Value) -> RunNeeds {
        read::<K>(config).map(|spec| K::needs(&spec)).unwrap_or_default()
    }
}

fn read<K: ProbeKind>(config: &serde_json::Value) -> Result<K::Spec, SpecError> {
    // `grpc:` with nothing below it is YAML's null and means no settings.
    let config = if config.is_null() { serde_json::json!({}) } else { config.clone() };
    serde_json::from_value::<K::Spec>(config).map_err(|err| SpecError::new(err.to_string()))
}
