//! The probe kinds that are there, without their types.

use std::collections::BTreeMap;

use crate::notify::RunNeeds;
use crate::probe::{ComponentContext, HealthProbe, ProbeKind, SpecError};

/// Every probe kind that manifests may name. Filled once, from a list that one can read.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Entry>,
}

struct Entry {
    schema: schemars::Schema,
    build: Build,
    needs: fn(&serde_json::Value) -> RunNeeds,
}

type Build = fn(&serde_json::Value, &ComponentContext) -> Result<Box<dyn HealthProbe>, SpecError>;

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
        let schema = schemars::generate::SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator()
            .into_root_schema_for::<K::Spec>();
        let taken =
            self.kinds.insert(K::KEY, Entry { schema, build: build::<K>, needs: needs::<K> }).is_some();
        assert!(!taken, "two probe kinds are named `{}`", K::KEY);
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.kinds.keys().copied()
    }

    /// The JSON Schema of a kind's configuration, self-contained (no `$ref`s).
    pub fn schema(&self, key: &str) -> Option<&schemars::Schema> {
        self.kinds.get(key).map(|entry| &entry.schema)
    }

    /// Builds a probe of the kind `key` from its configuration.
    ///
    /// # Errors
    /// No such kind, or a mistake in the configuration.
    pub fn build(
        &self,
        key: &str,
        config: &serde_json::Value,
        component: &ComponentContext,
    ) -> Result<Box<dyn HealthProbe>, SpecError> {
        let entry = self.kinds.get(key).ok_or_else(|| {
            SpecError::not_found(format!("no probe is named `{key}`"))
                .with_known(self.keys().map(str::to_owned))
        })?;
        (entry.build)(config, component)
    }

    /// What a run must be given for a probe of the kind `key` with this configuration. Nothing, where the kind
    /// is not known or the configuration wrong.
    pub fn needs(&self, key: &str, config: &serde_json::Value) -> RunNeeds {
        self.kinds.get(key).map(|entry| (entry.needs)(config)).unwrap_or_default()
    }
}

fn build<K: ProbeKind>(
    config: &serde_json::Value,
    component: &ComponentContext,
) -> Result<Box<dyn HealthProbe>, SpecError> {
    Ok(Box::new(K::build(read::<K>(config)?, component)?))
}

fn needs<K: ProbeKind>(config: &serde_json::Value) -> RunNeeds {
    read::<K>(config).map(|spec| K::needs(&spec)).unwrap_or_default()
}

fn read<K: ProbeKind>(config: &serde_json::Value) -> Result<K::Spec, SpecError> {
    // `grpc:` with nothing below it is YAML's null and means no settings.
    let config = if config.is_null() { serde_json::json!({}) } else { config.clone() };
    serde_json::from_value::<K::Spec>(config).map_err(|err| SpecError::new(err.to_string()))
}
