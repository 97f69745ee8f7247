//! What lies in the folders, and whether it can be used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use schemars::Schema;

use crate::background::Background;
use crate::discover::{self, Folder};
use crate::host_client::{HostClient, Place};
use crate::in_process::InProcess;
use crate::kind::Loaded;
use crate::mark::Mark;
use crate::model::{Inspection, Listed, LoadError, Loading, Options, Probe, Refusal};
use crate::plugins::{kinds, mark};
use crate::trust;
use crate::wire::Hello;

/// Everything that was found, in order.
#[derive(Default, Clone)]
pub(super) struct Survey {
    found: Vec<Found>,
}

#[derive(Clone)]
struct Found {
    file: PathBuf,
    folder: PathBuf,
    /// What it says of itself, as far as it could be read.
    hello: Option<Hello>,
    used: Result<Used, String>,
}

/// A library that is used.
#[derive(Clone)]
pub(super) struct Used {
    mark: Mark,
    pub(super) loaded: Arc<Loaded>,
    /// Its kinds, by key.
    pub(super) kinds: BTreeMap<String, Schema>,
}

impl Survey {
    pub(super) fn used(&self) -> impl Iterator<Item = &Used> {
        self.found.iter().filter_map(|found| found.used.as_ref().ok())
    }

    pub(super) fn library(&self, file: &Path) -> Option<&Used> {
        self.used().find(|used| used.loaded.file == file)
    }

    /// The library that has a key.
    pub(super) fn with_key(&self, key: &str) -> Option<&Used> {
        self.used().find(|used| used.kinds.contains_key(key))
    }

    pub(super) fn list(&self) -> Vec<Listed> {
        self.found.iter().map(Found::listed).collect()
    }

    pub(super) fn refused(&self) -> Vec<Refusal> {
        let refused = |found: &Found| {
            let reason = found.used.as_ref().err()?.clone();
            Some(Refusal { file: found.file.clone(), reason })
        };
        self.found.iter().filter_map(refused).collect()
    }
}

impl Found {
    fn listed(&self) -> Listed {
        let kinds = self.hello.iter().flat_map(|hello| &hello.kinds);
        Listed {
            file: self.file.clone(),
            folder: self.folder.clone(),
            state: if self.used.is_ok() { Loading::Loaded } else { Loading::Refused },
            reason: self.used.as_ref().err().cloned(),
            about: self.hello.as_ref().map(|hello| hello.about.clone()),
            probes: kinds.map(|kind| kind.key.clone()).collect(),
        }
    }
}

/// Looks at everything that lies in the folders. What was used `before` and has not changed is used on.
///
/// # Errors
/// A folder that must be there cannot be read.
pub(super) fn survey(
    options: &Options,
    background: &Background,
    before: &Survey,
) -> Result<Survey, LoadError> {
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for folder in &options.folders {
        let found = discover::libraries(folder)
            .map_err(|source| LoadError::Folder { path: folder.path.clone(), source })?;
        // One folder may be named twice, or lie behind a link.
        let new = |file: &PathBuf| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone()));
        files.extend(found.into_iter().filter(new).map(|file| (file, folder)));
    }
    // All are started before the first is waited for.
    let looks: Vec<_> =
        files.into_iter().map(|(file, folder)| look(options, background, before, file, folder)).collect();
    let mut survey = Survey::default();
    for look in looks {
        let found = look.finish(options, &survey);
        survey.found.push(found);
    }
    Ok(survey)
}

/// A look at a library that has begun.
struct Look<'a> {
    file: PathBuf,
    folder: &'a Folder,
    stage: Stage,
}

enum Stage {
    /// It is used already.
    Used(Used),
    /// It is asked what it is.
    Asked(Mark, HostClient, Arc<InProcess>),
    Refused(String),
}

fn look<'a>(
    options: &Options,
    background: &Background,
    before: &Survey,
    file: PathBuf,
    folder: &'a Folder,
) -> Look<'a> {
    let begin = || {
        let mark = mark(&file)?;
        trusted(options, &file)?;
        if let Some(used) = before.library(&file).filter(|used| used.mark == mark) {
            return Ok(Stage::Used(used.clone()));
        }
        let (client, in_process) = open(options, background, &file, &mark)?;
        client.begin();
        Ok(Stage::Asked(mark, client, in_process))
    };
    let stage = begin().unwrap_or_else(Stage::Refused);
    Look { file, folder, stage }
}

fn trusted(options: &Options, file: &Path) -> Result<(), String> {
    let Options { allow_unsafe: whoever_wrote_it, .. } = options;
    let checked = if *whoever_wrote_it { trust::is_file(file) } else { trust::check(file) };
    checked.map_err(|err| err.to_string())
}

fn open(
    options: &Options,
    background: &Background,
    file: &Path,
    mark: &Mark,
) -> Result<(HostClient, Arc<InProcess>), String> {
    let handle = background.handle().map_err(|err| format!("custom probes cannot be run: {err}"))?;
    let place = Arc::new(Place {
        file: file.to_owned(),
        mark: mark.clone(),
        command: options.host.clone(),
        limits: options.limits,
        children: Arc::clone(&background.children),
        tell: Arc::clone(&options.tell),
        hello: OnceLock::new(),
    });
    let in_process = InProcess::new(Arc::clone(&place), handle.clone());
    Ok((HostClient::new(place, &handle), in_process))
}

impl Look<'_> {
    /// Waits for what the library says, and judges it. `earlier` are those that have its keys, if they have them.
    fn finish(self, options: &Options, earlier: &Survey) -> Found {
        let (file, folder) = (self.file, self.folder.path.clone());
        let mut hello = None;
        let used = match self.stage {
            Stage::Refused(reason) => Err(reason),
            Stage::Used(used) => {
                hello = used.loaded.client.place.hello.get().cloned();
                let taken = objections(options, earlier, hello.as_ref(), &file);
                taken.into_iter().next().map_or(Ok(used), Err)
            }
            Stage::Asked(mark, client, in_process) => client.hello().and_then(|said| {
                hello = Some(said.clone());
                let kinds = kinds::of(&said)?;
                if let Some(objection) = objections(options, earlier, Some(&said), &file).into_iter().next() {
                    return Err(objection);
                }
                let (file, about) = (file.clone(), said.about);
                let needs = Mutex::default();
                let (builds, tells) = Default::default();
                let loaded = Loaded { file, about, client, in_process, needs, builds, tells };
                Ok(Used { mark, loaded: Arc::new(loaded), kinds })
            }),
        };
        Found { file, folder, hello, used }
    }
}

/// Which of its names are taken.
fn objections(options: &Options, earlier: &Survey, hello: Option<&Hello>, file: &Path) -> Vec<String> {
    let mut objections = Vec::new();
    for kind in hello.iter().flat_map(|hello| &hello.kinds) {
        let key = &kind.key;
        if let Some(what) = options.taken.get(key) {
            objections.push(format!("its probe `{key}` has the name of {what}: it must have another one"));
        } else if let Some(other) = earlier.with_key(key).filter(|other| other.loaded.file != file) {
            let (name, file) = (&other.loaded.about.name, other.loaded.file.display());
            objections.push(format!(
                "its probe `{key}` has the name of one of {name} ({file}), which was found first"
            ));
        }
    }
    objections
}

/// Looks closely at one file.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn inspect(
    options: &Options,
    background: &Background,
    others: &Survey,
    file: &Path,
) -> Result<Inspection, Refusal> {
    let look = || {
        let mark = mark(file)?;
        trusted(options, file)?;
        let hello = open(options, background, file, &mark)?.0.hello()?;
        let objections = objections(options, others, Some(&hello), file);
        let probes = kinds::of(&hello)?.into_iter().map(|(key, schema)| Probe { key, schema }).collect();
        Ok(Inspection { file: file.to_owned(), about: hello.about, probes, objections })
    };
    look().map_err(|reason| Refusal { file: file.to_owned(), reason })
}
