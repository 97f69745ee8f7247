//! All libraries that are there: found, read, listed, and exchanged for newer ones.

mod kinds;
mod reload;
mod survey;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vitald_core::registry::AnyKind;

use crate::background::Background;
use crate::discover::Folder;
use crate::host::Limits;
use crate::kind::{PluginKind, Slot};
use crate::mark::Mark;
use crate::model::{Changes, InUse, Inspection, Listed, LoadError, Options, Refusal, Refusals};
use crate::plugins::survey::Survey;

/// The libraries that are there. Their processes end with the last of this, its kinds and their probes.
///
/// What takes time here blocks the thread that asks, and needs nothing of a runtime that it may be in.
pub struct Plugins {
    options: Options,
    background: Arc<Background>,
    state: Mutex<State>,
    /// Held for as long as one takes: two at once would exchange each other's.
    reloading: Mutex<()>,
}

#[derive(Default)]
struct State {
    survey: Survey,
    /// Every kind that there ever was.
    slots: BTreeMap<String, Arc<Slot>>,
}

impl Plugins {
    /// Finds the libraries and reads what they say of themselves, each in a process of its own, all at the same time.
    /// It takes ten seconds at most.
    ///
    /// # Errors
    /// A folder that must be there cannot be read. A library that cannot be used is no error: it is listed with its
    /// reason.
    pub fn load(options: Options) -> Result<Self, LoadError> {
        let background = Arc::new(Background::default());
        let survey = survey::survey(&options, &background, &Survey::default())?;
        let mut state = State::default();
        state.take(survey, &background);
        Ok(Self { options, background, state: Mutex::new(state), reloading: Mutex::default() })
    }

    /// The kinds of all libraries that are used, for a registry. No two have the same key, and none has one that is
    /// taken.
    pub fn kinds(&self) -> Vec<Arc<dyn AnyKind>> {
        let state = self.state();
        let mut kinds: Vec<Arc<dyn AnyKind>> = Vec::new();
        for found in state.survey.used() {
            for (key, schema) in &found.kinds {
                if let Some(slot) = state.slots.get(key) {
                    let (slot, file) = (Arc::clone(slot), found.loaded.file.clone());
                    kinds.push(Arc::new(PluginKind { slot, file, schema: schema.clone() }));
                }
            }
        }
        kinds
    }

    /// Where they are looked for, in order.
    pub fn folders(&self) -> &[Folder] {
        &self.options.folders
    }

    /// What the process of each may use.
    pub fn limits(&self) -> Limits {
        self.options.limits.allowed()
    }

    /// All that were found, in order.
    pub fn list(&self) -> Vec<Listed> {
        self.state().survey.list()
    }

    /// Those that were found and are not used.
    pub fn refused(&self) -> Vec<Refusal> {
        self.state().survey.refused()
    }

    /// Looks closely at a library, in a folder or not. It takes ten seconds at most.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn inspect(&self, file: &Path) -> Result<Inspection, Refusal> {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let survey = self.state().survey.clone();
        survey::inspect(&self.options, &self.background, &survey, &file)
    }

    /// Finds the libraries anew. What is new or has changed is read in fresh processes, and every configuration in use
    /// is checked against it. Only then are the libraries exchanged, all together: checks that are under way end where
    /// they began, later ones of the same probes are made by the new library. [`kinds`](Self::kinds) is another then.
    ///
    /// It takes its time, such as that of the libraries to answer.
    ///
    /// # Errors
    /// What is wrong with a library that is used; nothing has changed then.
    pub fn reload(&self, in_use: &[InUse]) -> Result<Changes, Refusals> {
        let _reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.state().survey.clone();
        let (survey, changes) = reload::prepare(&self.options, &self.background, &before, in_use)?;
        self.state().take(survey, &self.background);
        Ok(changes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Uses these libraries from now on, and retires the others.
    fn take(&mut self, survey: Survey, background: &Arc<Background>) {
        let mut used: BTreeMap<&str, _> = BTreeMap::new();
        for found in survey.used() {
            used.extend(found.kinds.keys().map(|key| (key.as_str(), &found.loaded)));
        }
        for (key, slot) in &self.slots {
            if !used.contains_key(key.as_str()) {
                slot.put(None);
            }
        }
        for (key, library) in used {
            let slot = self.slots.entry(key.to_owned());
            let slot = slot.or_insert_with(|| Slot::new(key.to_owned(), Arc::clone(background)));
            slot.put(Some(Arc::clone(library)));
        }
        for before in self.survey.used() {
            if !survey.used().any(|now| Arc::ptr_eq(&now.loaded, &before.loaded)) {
                before.loaded.client.retire();
            }
        }
        self.survey = survey;
    }
}

/// The file as it is now, if it can be looked at.
fn mark(file: &Path) -> Result<Mark, String> {
    Mark::of(file).map_err(|err| format!("it cannot be looked at: {err}"))
}
