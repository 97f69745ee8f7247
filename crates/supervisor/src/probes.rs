//! The probe kinds that a supervisor knows: those of custom crates may be exchanged while it runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use vitald_core::lifecycle::EventReason;
use vitald_core::probe::{ComponentContext, SpecError};
use vitald_core::registry::{Isolation, Origin, Registry};
use vitald_core::spec::{ComponentSpec, ProbeRole};
use vitald_core::status::{EventType, PluginChanges, PluginLimits, PluginStatus};

use crate::handle::CommandError;
use crate::supervisor::Shared;

/// Who loads the libraries of custom probes, as far as a supervisor has to know.
pub trait ProbeLibraries: Send + Sync {
    /// All libraries that were found, those that are refused included.
    fn list(&self) -> Vec<PluginStatus>;

    /// The folders that they are looked for in, in order.
    fn folders(&self) -> Vec<PathBuf>;

    /// What the process of each may use.
    fn limits(&self) -> PluginLimits;

    /// Looks for them again, and gives all kinds that there are now, the built-in ones included. It may take its
    /// time.
    ///
    /// # Errors
    /// Why nothing was changed, such as a library that does not take what is in use.
    fn reload(&self, in_use: Vec<ProbeInUse>) -> Result<(PluginChanges, Arc<Registry>), String>;
}

/// A custom probe that a component has.
#[derive(Debug, Clone)]
pub struct ProbeInUse {
    /// The key of its kind.
    pub key: String,
    /// Its configuration.
    pub config: serde_json::Value,
    /// Where its code runs.
    pub isolation: Isolation,
    /// Which probe of its component it is, or is a part of.
    pub role: ProbeRole,
    /// Of which component.
    pub component: ComponentContext,
}

/// The kinds, and who loads those of libraries.
pub(crate) struct Probes {
    registry: Mutex<Arc<Registry>>,
    libraries: Option<Arc<dyn ProbeLibraries>>,
    /// Held while libraries are looked for.
    reloading: tokio::sync::Mutex<()>,
}

impl Probes {
    pub(crate) fn new(registry: Arc<Registry>, libraries: Option<Arc<dyn ProbeLibraries>>) -> Self {
        Self { registry: Mutex::new(registry), libraries, reloading: tokio::sync::Mutex::default() }
    }

    /// Those there are now.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where libraries are looked for.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        self.libraries.as_ref().map(|libraries| libraries.folders()).unwrap_or_default()
    }

    /// What the process of each library may use, if any are loaded.
    pub(crate) fn limits(&self) -> Option<PluginLimits> {
        self.libraries.as_ref().map(|libraries| libraries.limits())
    }

    /// The libraries that were found.
    pub(crate) fn libraries(&self) -> Vec<PluginStatus> {
        self.libraries.as_ref().map(|libraries| libraries.list()).unwrap_or_default()
    }
}

/// Looks for libraries again, and tells what has become of them. Whatever happens, no component is touched.
///
/// # Errors
/// Why nothing was changed.
pub(crate) async fn reload(shared: &Arc<Shared>) -> Result<PluginChanges, CommandError> {
    let probes = &shared.nursery.probes;
    let one_at_a_time = probes.reloading.lock().await;
    if shared.shutdown.is_asked() {
        return Err(CommandError::ShuttingDown);
    }
    let Some(libraries) = probes.libraries.clone() else { return Ok(PluginChanges::default()) };
    let in_use = in_use(shared);
    let reloaded = tokio::task::spawn_blocking(move || libraries.reload(in_use)).await;
    let refused = match reloaded {
        Ok(Ok((changes, registry))) => {
            *probes.registry.lock().unwrap_or_else(PoisonError::into_inner) = registry;
            drop(one_at_a_time);
            shared.tell(EventType::Normal, EventReason::PluginsReloaded, told(&changes));
            for refused in &changes.refused {
                shared.tell(EventType::Warning, EventReason::PluginFailed, refused.clone());
            }
            return Ok(changes);
        }
        Ok(Err(why)) => why,
        Err(err) => format!("the libraries of custom probes could not be looked for: {err}"),
    };
    shared.tell(EventType::Warning, EventReason::PluginsReloaded, format!("{refused}; nothing was changed"));
    Err(CommandError::PluginsRefused(refused))
}

/// Whether the probes of these are known here and take their configurations; of those that are as they were nothing
/// is asked. It takes as long as libraries take to answer.
///
/// # Errors
/// The first mistake.
pub(crate) fn check(shared: &Shared, specs: &[ComponentSpec]) -> Result<(), CommandError> {
    let registry = shared.nursery.probes.registry();
    registry.ask_anew();
    let members = shared.members();
    let is_same = |spec: &ComponentSpec| {
        members.iter().any(|member| member.name == spec.name && member.spec().runs_like(spec))
    };
    for spec in specs.iter().filter(|spec| !is_same(spec)) {
        let context = context(shared, spec);
        for role in ProbeRole::ALL {
            let Some(probe) = spec.probe(role) else { continue };
            if let Err(err) = probe.check.validate(&registry, &context) {
                let unknown = probe.check.handlers().into_iter().find(|key| registry.get(key).is_none());
                let why = refusal(&registry, unknown, &probe.check.handlers(), err, role);
                return Err(CommandError::BadProbe { component: spec.name.clone(), why });
            }
        }
    }
    Ok(())
}

/// Where the mistake is, what it is, and what to do, since whoever sends a spec has read it from a manifest by the
/// same rules.
fn refusal(
    registry: &Registry,
    unknown: Option<&str>,
    handlers: &[&str],
    err: SpecError,
    role: ProbeRole,
) -> String {
    if let Some(key) = unknown {
        return format!(
            "{}: this supervisor knows no probe named `{key}`; if a library that came later has it, `vitald plugin \
             reload` loads it. It looks into the folders that it was started with: `vitald plugin list --running` \
             shows what it has found there",
            role.field()
        );
    }
    let library = handlers.iter().find_map(|key| match registry.origin(key)? {
        Origin::Library(file) if err.path.split(['.', '[']).any(|step| step == *key) => Some(file),
        Origin::Library(_) | Origin::BuiltIn => None,
    });
    let err = err.at(role.field());
    match library {
        Some(file) => format!(
            "{err}; that is what {} says, as this supervisor has loaded it: if there is another version of it now, \
             `vitald plugin reload` loads that",
            file.display()
        ),
        None => err.to_string(),
    }
}

/// The custom probes that components have.
fn in_use(shared: &Shared) -> Vec<ProbeInUse> {
    let registry = shared.nursery.probes.registry();
    let mut in_use = Vec::new();
    for spec in shared.members().iter().map(|member| member.spec()) {
        let component = context(shared, &spec);
        for role in ProbeRole::ALL {
            let Some(probe) = spec.probe(role) else { continue };
            let custom = probe.check.configured().into_iter().filter(|(key, ..)| registry.is_custom(key));
            in_use.extend(custom.map(|(key, config, isolation)| ProbeInUse {
                key: key.to_owned(),
                config: config.clone(),
                isolation,
                role,
                component: component.clone(),
            }));
        }
    }
    in_use
}

fn context(shared: &Shared, spec: &ComponentSpec) -> ComponentContext {
    spec.context(Some(shared.nursery.state_dir.log(&spec.name)))
}

/// `libraries of custom probes: /plugins/libdisk_space.so replaced`.
fn told(changes: &PluginChanges) -> String {
    let PluginChanges { added, replaced, removed, refused: _ } = changes;
    let parts: Vec<String> = [("added", added), ("replaced", replaced), ("removed", removed)]
        .iter()
        .filter(|(_, files)| !files.is_empty())
        .map(|(what, files)| format!("{} {what}", files.join(", ")))
        .collect();
    let what = if parts.is_empty() { "nothing has changed".to_owned() } else { parts.join("; ") };
    format!("libraries of custom probes: {what}")
}
