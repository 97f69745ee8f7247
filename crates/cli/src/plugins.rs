//! The probes that a command knows: the built-in ones, and those of the libraries it finds.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use vitald_core::registry::Registry;
use vitald_core::status::{PluginAbout, PluginChanges, PluginLimits, PluginState, PluginStatus};
use vitald_plugin::{
    Folder, HostCommand, InUse, Limits, Listed, Loading, Objections, Options, Plugins, Refusal, Tell,
};
use vitald_supervisor::{ProbeInUse, ProbeLibraries, StateDir};

use crate::exit::{Exit, Failure};
use crate::format::plain;
use crate::places::Places;
use crate::{builtin, output, reach};

/// What this program is told to be for the process of a library. No command for people: nothing lists it.
pub(crate) const HOST: &str = "__probe-host";

/// The variable with folders of libraries, divided by `:`.
pub(crate) const PATH: &str = "VITALD_PLUGIN_PATH";

/// Where in a state dir libraries are.
const FOLDER: &str = "plugins";

/// How long a supervisor may take to say where it looks.
const ASKING: Duration = Duration::from_secs(10);

/// The probes that a command knows. Dropped, it takes the processes of libraries with it.
pub(crate) struct Probes {
    /// Built-in and custom.
    pub(crate) registry: Arc<Registry>,
    /// Where the custom ones are from, if they were looked for.
    pub(crate) libraries: Option<Arc<Libraries>>,
}

/// The libraries, as a supervisor knows them.
pub(crate) struct Libraries(Plugins);

/// The probes for a command that loads manifests: with the libraries of their state dir, and of the supervisor that
/// runs there. Those that are refused are told on stderr.
///
/// # Errors
/// A folder of libraries that was named is not there.
pub(crate) async fn of_manifests(places: &Places, manifests: &[PathBuf]) -> Result<Probes, Failure> {
    load(places, all_folders(places, &[places.of_manifests(manifests)]).await, say_on_stderr())
}

/// The same for a command that is about no manifests: with the libraries of the current folder's state dir.
///
/// # Errors
/// A folder of libraries that was named is not there.
pub(crate) async fn of_folder(places: &Places) -> Result<Probes, Failure> {
    load(places, all_folders(places, &places.own(&[])).await, say_on_stderr())
}

/// The same for a supervisor, which has its own way to tell of libraries.
///
/// # Errors
/// A folder of libraries that was named is not there.
pub(crate) fn of_supervisor(places: &Places, state_dir: &StateDir, tell: Tell) -> Result<Probes, Failure> {
    load(places, folders(places, std::slice::from_ref(state_dir)), tell)
}

fn load(places: &Places, folders: Vec<Folder>, tell: Tell) -> Result<Probes, Failure> {
    let plugins = find(places, folders, tell)?;
    for refused in plugins.refused() {
        output::note(&format!("warning: not used: {}", plain(&refused.to_string())));
    }
    let libraries = Arc::new(Libraries(plugins));
    Ok(Probes { registry: libraries.registry(), libraries: Some(libraries) })
}

/// The built-in probes alone, for who asks none.
pub(crate) fn none() -> Probes {
    Probes { registry: Arc::new(builtin::registry()), libraries: None }
}

/// Finds the libraries in these folders, and says nothing of those that are refused.
///
/// # Errors
/// A folder that was named is not there, or a variable makes no sense.
pub(crate) fn find(places: &Places, folders: Vec<Folder>, tell: Tell) -> Result<Plugins, Failure> {
    let host = HostCommand {
        // Still this very program when the file has been replaced by a newer build.
        program: "/proc/self/exe".into(),
        name: "vitald".into(),
        args: vec![HOST.into()],
    };
    let allow_unsafe = places.plugins.allow_unsafe_plugins;
    let objections: Objections = Arc::new(vitald_manifest::objections);
    let limits = places.plugins.limits()?;
    Plugins::load(Options { folders, allow_unsafe, host, limits, taken: taken(), objections, tell })
        .map_err(|err| Failure::usage(err.to_string()))
}

/// Where libraries are looked for: as named on the command line, then in the environment, then in state dirs.
pub(crate) fn folders(places: &Places, state_dirs: &[StateDir]) -> Vec<Folder> {
    ordered(places, Vec::new(), state_dirs)
}

/// The same, and where our supervisors that run on these state dirs look, since they judge in the end. Of one that
/// does not say it soon that is told, and it is left out.
pub(crate) async fn all_folders(places: &Places, state_dirs: &[StateDir]) -> Vec<Folder> {
    let mut told = Vec::new();
    for state_dir in state_dirs.iter().filter(|dir| is_ours(dir) && dir.holder().is_some()) {
        let ask = async { reach::connect(state_dir).await?.plugin_folders().await.map_err(Failure::from) };
        match timeout(ASKING, ask).await {
            Ok(Ok(folders)) => told.extend(folders),
            Ok(Err(gone)) if gone.exit == Exit::NoSupervisor => {}
            Ok(Err(failure)) => say_unasked(state_dir, &failure.text),
            Err(_late) => say_unasked(state_dir, "it does not answer"),
        }
    }
    ordered(places, told, state_dirs)
}

/// Another user's supervisor could name what it likes, and we would load it with our rights.
fn is_ours(state_dir: &StateDir) -> bool {
    let us = rustix::process::geteuid().as_raw();
    fs::metadata(state_dir.path()).is_ok_and(|found| found.uid() == us && found.mode() & 0o022 == 0)
}

fn say_unasked(state_dir: &StateDir, why: &str) {
    output::note(&format!(
        "warning: the supervisor on {} cannot be asked where it looks for custom probes: {}",
        state_dir.path().display(),
        plain(why)
    ));
}

/// In the order in which the first of two with the same key counts: that of a supervisor, whose own folders of
/// flags and variables come after the flags here.
fn ordered(places: &Places, of_supervisors: Vec<PathBuf>, state_dirs: &[StateDir]) -> Vec<Folder> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let own: Vec<PathBuf> =
        state_dirs.iter().map(|dir| dir.path().join(FOLDER)).filter(|folder| can_be_there(folder)).collect();
    let named = places.plugins.plugin_dir.iter().map(|dir| Folder::named(places.absolute(dir)));
    // Its last one is the last one here, too.
    let is_own = |told: &PathBuf| own.iter().any(|own| real(own) == real(told));
    let told = of_supervisors.into_iter().filter(|told| !is_own(told));
    let listed = in_environment(places);
    let optional = told.chain(listed).chain(own.iter().cloned()).map(Folder::optional);
    let mut folders: Vec<Folder> = Vec::new();
    for folder in named.chain(optional) {
        // A library that is found twice would be in its own way.
        if !folders.iter().any(|other| real(&other.path) == real(&folder.path)) {
            folders.push(folder);
        }
    }
    folders
}

/// Whether we could know of a folder in a state dir. Where we may not enter the state dir (it is that of another user,
/// whose HOME we have), or it is none, that is told by whoever needs one.
fn can_be_there(folder: &Path) -> bool {
    let refusal = fs::metadata(folder).err().map(|err| err.kind());
    !matches!(refusal, Some(ErrorKind::PermissionDenied | ErrorKind::NotADirectory))
}

/// The folders of `VITALD_PLUGIN_PATH`, absolute.
pub(crate) fn in_environment(places: &Places) -> Vec<PathBuf> {
    let listed = env::var_os(PATH).unwrap_or_default();
    Folder::list(&listed).iter().map(|folder| places.absolute(&folder.path)).collect()
}

/// What libraries print, and what becomes of their processes, for a command that somebody looks at.
pub(crate) fn say_on_stderr() -> Tell {
    Arc::new(|notice| output::note(&format!("{}: {}", plain(&notice.library), plain(&notice.text))))
}

/// The names that no custom probe may have, and whose they are.
fn taken() -> BTreeMap<String, String> {
    let builtin = builtin::registry();
    let builtin = builtin.keys().map(|key| (key.to_owned(), "a built-in probe".to_owned()));
    let reserved = vitald_manifest::reserved().into_iter();
    builtin.chain(reserved.map(|name| (name, "a field of every probe".to_owned()))).collect()
}

impl Libraries {
    /// All kinds that there are now.
    fn registry(&self) -> Arc<Registry> {
        let mut registry = builtin::registry();
        for kind in self.0.kinds() {
            // Names that are taken were refused.
            let _ = registry.insert(kind);
        }
        for refused in self.0.refused() {
            // For people only, who are told its name.
            registry.note_refused(plain(&refused.file.display().to_string()).into());
        }
        Arc::new(registry)
    }
}

impl ProbeLibraries for Libraries {
    fn folders(&self) -> Vec<PathBuf> {
        self.0.folders().iter().map(|folder| folder.path.clone()).collect()
    }

    fn limits(&self) -> PluginLimits {
        limits(self.0.limits())
    }

    fn list(&self) -> Vec<PluginStatus> {
        self.0.list().into_iter().map(status).collect()
    }

    fn reload(&self, in_use: Vec<ProbeInUse>) -> Result<(PluginChanges, Arc<Registry>), String> {
        let in_use: Vec<InUse> = in_use
            .into_iter()
            .map(|ProbeInUse { key, config, isolation, role, component }| InUse {
                key,
                config,
                isolation,
                role,
                component,
            })
            .collect();
        let changes = self.0.reload(&in_use).map_err(|refusals| {
            let refusals: Vec<String> = refusals.0.iter().map(Refusal::to_string).collect();
            plain(&refusals.join("; "))
        })?;
        let files = |files: Vec<PathBuf>| files.iter().map(|file| file.display().to_string()).collect();
        let changes = PluginChanges {
            added: files(changes.added),
            replaced: files(changes.replaced),
            removed: files(changes.removed),
            refused: changes.refused.iter().map(|refused| plain(&refused.to_string())).collect(),
        };
        Ok((changes, self.registry()))
    }
}

/// What the process of a library may use, as people see it.
pub(crate) fn limits(limits: Limits) -> PluginLimits {
    let Limits { memory, open_files } = limits;
    PluginLimits { memory, open_files }
}

/// A library, as people see it.
pub(crate) fn status(listed: Listed) -> PluginStatus {
    PluginStatus {
        file: listed.file.display().to_string(),
        state: match listed.state {
            Loading::Loaded => PluginState::Loaded,
            Loading::Refused => PluginState::Refused,
        },
        message: listed.reason.map(|reason| plain(&reason)).unwrap_or_default(),
        probes: listed.probes,
        about: listed.about.map(about),
    }
}

/// What a library says of itself, as people see it.
pub(crate) fn about(about: vitald_plugin::About) -> PluginAbout {
    let vitald_plugin::About { name, version, abi, sdk, rustc, panic_aborts } = about;
    PluginAbout { name, version, abi, sdk, rustc, panic_aborts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_taken() {
        let taken = taken();
        for name in ["tcpSocket", "periodSeconds", "terminationGracePeriodSeconds", "atLeast", "isolation"] {
            assert!(taken.contains_key(name), "{name}");
        }
    }

    #[test]
    fn folders_are_absolute_and_each_is_there_once() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("state/plugins")).unwrap();
        std::os::unix::fs::symlink(temp.path().join("state/plugins"), temp.path().join("link")).unwrap();
        let flags = crate::cli::PluginFlags {
            plugin_dir: vec![
                temp.path().join("state/../state/plugins"),
                temp.path().join("link"),
                "a".into(),
            ],
            ..crate::cli::PluginFlags::default()
        };
        let places = Places::find(Some(temp.path().join("state").into()), flags).unwrap();
        let folders = folders(&places, &places.own(&[]));
        let here = env::current_dir().unwrap().join("a");
        assert_eq!(folders, [Folder::named(temp.path().join("state/../state/plugins")), Folder::named(here)]);
    }
}
