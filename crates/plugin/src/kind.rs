//! The probes of libraries, as everybody else sees them: kinds like any other.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use schemars::Schema;
use serde_json::Value;
use vitald_core::notify::RunNeeds;
use vitald_core::probe::{ComponentContext, HealthProbe, SpecError};
use vitald_core::registry::{AnyKind, Isolation, Origin};
use vitald_sdk::message::{BuildRequest, NeedsRequest};

use crate::background::Background;
use crate::host_client::{CallFailure, HostClient};
use crate::in_process::InProcess;
use crate::library::CallError;
use crate::model::About;
use crate::probe::PluginProbe;
use crate::silence::Silence;

/// Configurations whose needs are remembered, for each library.
const MOST_NEEDS: usize = 1024;

/// Most bytes of a message that are kept.
const LONGEST_MESSAGE: usize = 4096;

/// A library that is in use, in both ways that it may be run.
pub(crate) struct Loaded {
    pub(crate) file: PathBuf,
    pub(crate) about: About,
    pub(crate) client: HostClient,
    pub(crate) in_process: Arc<InProcess>,
    /// By key and configuration.
    pub(crate) needs: Mutex<HashMap<(String, String), RunNeeds>>,
    /// Whether it can be asked to build a probe, and what a run needs.
    pub(crate) builds: Silence,
    pub(crate) tells: Silence,
}

impl Loaded {
    /// What a run must be given for a probe with this configuration. Blocks for a few seconds at most, the first time.
    pub(crate) fn needs(&self, key: &str, config: &Value) -> RunNeeds {
        let config = settings(config);
        let probe = (key.to_owned(), config.to_string());
        if let Some(needs) = self.known_needs().get(&probe) {
            return *needs;
        }
        let request = NeedsRequest { key: key.to_owned(), config };
        let Some(asked) = self.tells.unless(|| self.client.needs(request)) else {
            return RunNeeds::default();
        };
        // A library that cannot tell is not asked again and again: each time may take seconds.
        let needs = asked.unwrap_or_default();
        let mut known = self.known_needs();
        if known.len() >= MOST_NEEDS {
            known.clear();
        }
        known.insert(probe, needs);
        needs
    }

    fn known_needs(&self) -> MutexGuard<'_, HashMap<(String, String), RunNeeds>> {
        self.needs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A kind, and the library that has it at present.
pub(crate) struct Slot {
    pub(crate) key: String,
    library: RwLock<Option<Arc<Loaded>>>,
    /// Ends with the last who might ask.
    _background: Arc<Background>,
}

impl Slot {
    pub(crate) fn new(key: String, background: Arc<Background>) -> Arc<Self> {
        Arc::new(Self { key, library: RwLock::default(), _background: background })
    }

    /// The library that has it from now on.
    pub(crate) fn put(&self, library: Option<Arc<Loaded>>) {
        *self.library.write().unwrap_or_else(PoisonError::into_inner) = library;
    }

    pub(crate) fn library(&self) -> Option<Arc<Loaded>> {
        self.library.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A kind of a library.
pub(crate) struct PluginKind {
    pub(crate) slot: Arc<Slot>,
    pub(crate) file: PathBuf,
    pub(crate) schema: Schema,
}

impl PluginKind {
    fn library(&self) -> Result<Arc<Loaded>, SpecError> {
        self.slot.library().ok_or_else(|| SpecError::new(gone(&self.slot.key)))
    }
}

/// What is sent to a library: no settings are an empty table, as for those that are linked in.
fn settings(config: &Value) -> Value {
    if config.is_null() { serde_json::json!({}) } else { config.clone() }
}

pub(crate) fn gone(key: &str) -> String {
    format!("no library has the probe {key} any more")
}

/// Whether a probe of the library can be built. Blocks for a few seconds at most, and only until that was in vain once.
pub(crate) fn validate(
    library: &Loaded,
    key: &str,
    config: &Value,
    component: &ComponentContext,
) -> Result<(), SpecError> {
    let request =
        BuildRequest { key: key.to_owned(), config: settings(config), component: component.clone() };
    let Some(valid) = library.builds.unless(|| library.client.validate(request)) else {
        let why = library.builds.why();
        return Err(SpecError::new(clipped(format!("{why}; after that, this one was not tried"))));
    };
    valid.map_err(|failure| match failure {
        CallFailure::Library(CallError::Refused(err)) => SpecError {
            path: clipped(err.path),
            message: clipped(err.message),
            known: err.known.into_iter().map(clipped).collect(),
            ..err
        },
        failure => SpecError::new(clipped(sentence(key, &library.about.name, &failure))),
    })
}

/// Whether a library can run there.
///
/// # Errors
/// It would end this process with its first panic.
pub(crate) fn may_run(library: &About, isolation: Isolation) -> Result<(), SpecError> {
    if isolation == Isolation::InProcess && library.panic_aborts {
        return Err(SpecError::forbidden(format!(
            "{} is built with `panic = \"abort\"`, so that a panic in it would end the supervisor: it cannot be \
             run with `isolation: InProcess`",
            library.name
        )));
    }
    Ok(())
}

impl AnyKind for PluginKind {
    fn key(&self) -> &str {
        &self.slot.key
    }

    fn origin(&self) -> Origin {
        Origin::Library(self.file.clone())
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn validate(&self, config: &Value, component: &ComponentContext) -> Result<(), SpecError> {
        let library = self.library()?;
        validate(&library, &self.slot.key, config, component)?;
        // Asked for soon, and then by somebody who would rather not wait.
        library.needs(&self.slot.key, config);
        Ok(())
    }

    fn build(
        &self,
        config: &Value,
        component: &ComponentContext,
        isolation: Isolation,
    ) -> Result<Box<dyn HealthProbe>, SpecError> {
        let library = self.library()?;
        may_run(&library.about, isolation)?;
        let (key, config, component) = (self.slot.key.clone(), settings(config), component.clone());
        let request = BuildRequest { key, config, component };
        Ok(Box::new(PluginProbe::new(Arc::clone(&self.slot), request, isolation)))
    }

    fn ask_anew(&self) {
        if let Some(library) = self.slot.library() {
            library.builds.end();
            library.tells.end();
        }
    }

    fn needs(&self, config: &Value) -> RunNeeds {
        let library = self.slot.library();
        library.map(|library| library.needs(&self.slot.key, config)).unwrap_or_default()
    }
}

/// Not more than people read: it is kept, and told again and again. Nothing that would steer their terminals.
pub(crate) fn clipped(mut message: String) -> String {
    if message.contains(steers) {
        message = message.replace(steers, " ");
    }
    if message.len() > LONGEST_MESSAGE {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        message.push('…');
    }
    message
}

fn steers(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// Why there is no answer, for people.
pub(crate) fn sentence(key: &str, library: &str, failure: &CallFailure) -> String {
    match failure {
        CallFailure::Library(CallError::Refused(err)) => {
            format!("the {key} probe of {library} refuses its configuration: {err}")
        }
        CallFailure::Library(CallError::Panicked(message)) => {
            format!("the {key} probe of {library} panicked: {message}")
        }
        CallFailure::Library(CallError::Rubbish(what)) => {
            format!("the answer of the {key} probe of {library} makes no sense: {what}")
        }
        CallFailure::Library(CallError::Cancelled) => {
            format!("the {key} probe of {library} gave its check up without an answer")
        }
        CallFailure::Host(why) | CallFailure::Retired(why) => why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_library_says_is_no_longer_than_people_read_and_steers_no_terminal() {
        assert_eq!(clipped("a \u{1b}[2Jb\r\nc".to_owned()), "a  [2Jb \nc");
        let clipped = clipped("ä".repeat(LONGEST_MESSAGE));
        assert!(clipped.ends_with("ä…") && clipped.len() < LONGEST_MESSAGE + 4, "{}", clipped.len());
    }
}
