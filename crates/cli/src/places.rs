//! Where manifests and state are: which supervisor a command means.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use vitald_supervisor::StateDir;

use crate::cli::PluginFlags;
use crate::exit::{Exit, Failure};
use crate::format::count;
use crate::known::fnv1a;
use crate::{known, output};

/// What of our surroundings says where things are.
#[derive(Debug)]
pub(crate) struct Places {
    /// The current folder.
    cwd: PathBuf,
    /// Where state dirs are that nobody chose: `$XDG_STATE_HOME/vitald`.
    base: PathBuf,
    /// `--state-dir`, or VITALD_STATE_DIR; absolute.
    chosen: Option<PathBuf>,
    /// Where else than in the state dir libraries of custom probes are.
    pub(crate) plugins: PluginFlags,
}

/// A running supervisor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it keeps its state.
    pub(crate) state_dir: StateDir,
    /// Whether it is not the current folder's, but only the one that there is.
    pub(crate) elsewhere: bool,
}

impl Found {
    /// The state dir for a command that changes something: whoever means another one is to see it.
    pub(crate) fn into_changed(self) -> StateDir {
        if self.elsewhere {
            output::note(&format!(
                "no supervisor of this folder runs; taking the one on {}",
                self.state_dir.path().display()
            ));
        }
        self.state_dir
    }
}

/// What names standard input among manifests.
pub(crate) const STDIN: &str = "-";

/// What to do where no state can be kept.
pub(crate) const ANOTHER_PLACE: &str = "--state-dir or VITALD_STATE_DIR names another folder";

/// The folder of manifests where none is named.
const DEFAULT_MANIFESTS: &str = "manifests";

impl Places {
    /// Looks around.
    ///
    /// # Errors
    /// There is no current folder, or no home where state could be kept.
    pub(crate) fn find(state_dir: Option<OsString>, plugins: PluginFlags) -> Result<Self, Failure> {
        let cwd =
            env::current_dir().map_err(|err| Failure::not(format!("the current folder is gone: {err}")))?;
        // An empty variable is none.
        let chosen = state_dir.filter(|dir| !dir.is_empty()).map(|dir| cwd.join(dir));
        // The base directory specification: what is not absolute is to be ignored.
        let xdg = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let base = xdg
            .or_else(|| Some(env::home_dir()?.join(".local/state")))
            .filter(|dir| dir.is_absolute())
            // Not needed then.
            .or_else(|| chosen.clone())
            .ok_or_else(|| {
                Failure::not("there is no home directory to keep state in; name a folder with --state-dir")
            })?
            .join("vitald");
        Ok(Self { cwd, base, chosen, plugins })
    }

    /// The manifests that a command is to load: those named, else `manifests/`.
    ///
    /// # Errors
    /// None is named, and there is no such folder.
    pub(crate) fn manifests(&self, named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        if !named.is_empty() {
            return Ok(named.to_vec());
        }
        match self.cwd.join(DEFAULT_MANIFESTS).is_dir() {
            true => Ok(vec![PathBuf::from(DEFAULT_MANIFESTS)]),
            false => Err(Failure::usage(format!(
                "there is no folder `{DEFAULT_MANIFESTS}` in {}; name a manifest or a folder with -f",
                self.cwd.display()
            ))),
        }
    }

    /// The path from everywhere; `-` is standard input.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        if path == Path::new(STDIN) { path.to_owned() } else { self.cwd.join(path) }
    }

    /// All of them.
    pub(crate) fn all_absolute(&self, paths: &[PathBuf]) -> Vec<PathBuf> {
        paths.iter().map(|path| self.absolute(path)).collect()
    }

    /// The state dir of a supervisor of these manifests.
    pub(crate) fn of_manifests(&self, paths: &[PathBuf]) -> StateDir {
        let first = paths.first().map_or(DEFAULT_MANIFESTS.as_ref(), PathBuf::as_path);
        let dir = self.chosen.clone().unwrap_or_else(|| self.base.join(folder_key(&self.cwd.join(first))));
        StateDir::new(dir)
    }

    /// Where state is kept: the state dir that was chosen, else the folder of all.
    pub(crate) fn state(&self) -> PathBuf {
        self.chosen.clone().unwrap_or_else(|| self.base.clone())
    }

    /// The running supervisor that a command means: the one chosen, that of the manifests named, that of the
    /// current folder, or, in a folder that has never had one, the only one that runs.
    ///
    /// # Errors
    /// It does not run, or there are several, or what is named does not exist.
    pub(crate) fn running(&self, named: &[PathBuf]) -> Result<Found, Failure> {
        self.find_running(named)?.ok_or_else(|| {
            let own = self.own(named);
            if let Some((dir, left)) = own.iter().map(|dir| (dir, known::left_running(dir))).find(|(_, n)| *n > 0) {
                return Failure::no_supervisor(format!(
                    "the supervisor on {} has died and left {} running; `vitald up` takes over, `vitald down` \
                     ends what is left",
                    dir.path().display(),
                    count(left, "component")
                ));
            }
            let place = match self.is_chosen(named) {
                true => format!("on {}", self.of_manifests(named).path().display()),
                false if self.had_one() => format!("in {}", self.cwd.display()),
                false => "here or elsewhere".to_owned(),
            };
            Failure::no_supervisor(format!(
                "no supervisor runs {place}; `vitald up` or `vitald run` starts one"
            ))
        })
    }

    /// The same for a command that can do without.
    ///
    /// # Errors
    /// There are several, or what is named does not exist, or its state dir is another user's.
    pub(crate) fn find_running(&self, named: &[PathBuf]) -> Result<Option<Found>, Failure> {
        self.check_named(named)?;
        let own = self.own(named);
        if let Some((dir, err)) = own.iter().find_map(|dir| Some((dir, dir.hidden()?))) {
            return Err(Failure::not(format!(
                "whether a supervisor runs on {} cannot be seen: {err}; it is private to the user whose it is",
                dir.path().display()
            )));
        }
        let own = own.into_iter().find(|dir| dir.holder().is_some());
        if own.is_some() || self.is_chosen(named) || self.had_one() {
            return Ok(own.map(|state_dir| Found { state_dir, elsewhere: false }));
        }
        let mut others = self.all().into_iter().filter(|dir| dir.holder().is_some()).collect::<Vec<_>>();
        if others.len() <= 1 {
            return Ok(others.pop().map(|state_dir| Found { state_dir, elsewhere: true }));
        }
        let list: String =
            others.iter().map(|dir| format!("\n  --state-dir {}", dir.path().display())).collect();
        Err(Failure::no_supervisor(format!(
            "no supervisor of this folder runs, but several others do; name one:{list}"
        )))
    }

    /// The state dir whose files a command wants to read, running or not.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn readable(&self, named: &[PathBuf]) -> Result<StateDir, Failure> {
        self.running(named).map(|found| found.state_dir).or_else(|failure| {
            let is_there =
                |dir: &StateDir| failure.exit == Exit::NoSupervisor && dir.path().join("logs").is_dir();
            self.own(named).into_iter().find(is_there).ok_or(failure)
        })
    }

    /// The state dirs that are meant without looking at what runs: the one chosen, that of the manifests named,
    /// else those of the current folder: of its manifests, and of itself as a folder of manifests.
    pub(crate) fn own(&self, named: &[PathBuf]) -> Vec<StateDir> {
        if self.is_chosen(named) {
            return vec![self.of_manifests(named)];
        }
        [self.cwd.join(DEFAULT_MANIFESTS), self.cwd.clone()]
            .into_iter()
            .filter(|folder| folder.is_dir())
            .map(|folder| StateDir::new(self.base.join(folder_key(&folder))))
            .collect()
    }

    /// Whether it was said which supervisor is meant.
    fn is_chosen(&self, named: &[PathBuf]) -> bool {
        self.chosen.is_some() || !named.is_empty()
    }

    /// Whether the current folder has had a supervisor: what is asked for here then concerns no other, so
    /// that a second `down` in one project does not end another.
    fn had_one(&self) -> bool {
        self.own(&[]).iter().any(|dir| dir.path().is_dir())
    }

    /// A path that was mistyped leads to no supervisor. Where the state dir is chosen, it need not.
    fn check_named(&self, named: &[PathBuf]) -> Result<(), Failure> {
        let missing = |path: &&PathBuf| {
            self.chosen.is_none() && path.as_os_str() != STDIN && !self.cwd.join(path).exists()
        };
        named.iter().find(missing).map_or(Ok(()), |path| {
            Err(Failure::usage(format!(
                "there is no file or folder {}; should it be gone, name the supervisor's state dir with --state-dir",
                path.display()
            )))
        })
    }

    /// All state dirs of this user, in name order, and the one that was chosen.
    pub(crate) fn all(&self) -> Vec<StateDir> {
        let mut all = known::all(&self.base);
        if let Some(chosen) = self.chosen.clone().map(StateDir::new).filter(|dir| !all.contains(dir)) {
            all.push(chosen);
        }
        all
    }

    /// Makes a state dir known to [`all`](Self::all), if somebody chose it. Whoever has no place for that can do
    /// without.
    pub(crate) fn remember(&self, dir: &StateDir) {
        if self.has_base() {
            let _ = known::remember(&self.base, dir);
        }
    }

    /// Takes that back: nothing of it runs any more.
    pub(crate) fn forget(&self, dir: &StateDir) {
        if self.has_base() {
            known::forget(&self.base, dir);
        }
    }

    /// Whether the base is not only a stand-in for the state dir that was chosen.
    fn has_base(&self) -> bool {
        self.chosen.as_ref().is_none_or(|dir| !self.base.starts_with(dir))
    }
}

/// `FOLDER-HASH` of the folder that a manifest is in, or of a folder of manifests: for people the name, for
/// uniqueness a hash of the canonical path.
fn folder_key(path: &Path) -> String {
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = match canonical.is_dir() {
        true => canonical.as_path(),
        false => canonical.parent().unwrap_or(&canonical),
    };
    let name: String = folder
        .file_name()
        .map_or("root".into(), |name| name.to_string_lossy())
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .collect();
    let hash = fnv1a(folder.as_os_str().as_encoded_bytes());
    format!("{name}-{:010x}", hash & 0xff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(cwd: &Path) -> Places {
        Places {
            cwd: cwd.to_owned(),
            base: cwd.join("state/vitald"),
            chosen: None,
            plugins: PluginFlags::default(),
        }
    }

    #[test]
    fn a_manifest_its_folder_and_a_way_around_mean_the_same() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("my app");
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::write(dir.join("a.yaml"), "").unwrap();
        let key = folder_key(&dir);
        assert_eq!(key, folder_key(&dir.join("a.yaml")));
        assert_eq!(key, folder_key(&dir.join("sub/..")));
        assert!(key.starts_with("my-app-") && key.len() == "my-app-".len() + 10, "{key}");
        assert_ne!(key, folder_key(&dir.join("sub")));
    }

    #[test]
    fn a_chosen_state_dir_wins() {
        let chosen = Places { chosen: Some("/s".into()), ..places(Path::new("/")) };
        assert_eq!(chosen.of_manifests(&["x".into()]).path(), Path::new("/s"));
    }

    #[test]
    fn without_manifests_one_is_told_what_to_name() {
        let temp = tempfile::tempdir().unwrap();
        let failure = places(temp.path()).manifests(&[]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        std::fs::create_dir(temp.path().join("manifests")).unwrap();
        assert_eq!(places(temp.path()).manifests(&[]).unwrap(), [PathBuf::from("manifests")]);
    }

    #[test]
    fn the_supervisor_meant_is_that_of_the_folder() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("manifests")).unwrap();
        let places = places(temp.path());
        let other = StateDir::new(places.base.join("other"));
        let _other = other.lock().unwrap();
        let own = places.of_manifests(&[]);
        drop(own.lock().unwrap());
        // Not another's, even if it is the only one.
        assert_eq!(places.running(&[]).unwrap_err().exit, Exit::NoSupervisor);

        let _own = own.lock().unwrap();
        let found = Found { state_dir: own, elsewhere: false };
        assert_eq!(places.running(&[]).unwrap(), found);
        assert_eq!(places.running(&["manifests".into()]).unwrap(), found);
    }

    #[test]
    fn where_none_has_been_the_supervisor_meant_is_the_only_one() {
        // Manifests alone are no claim: another of the folder's supervisors may be the one that runs.
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("manifests")).unwrap();
        let places = places(temp.path());
        assert_eq!(places.running(&[]).unwrap_err().exit, Exit::NoSupervisor);

        let other = StateDir::new(places.base.join("other"));
        let _other = other.lock().unwrap();
        assert_eq!(places.running(&[]).unwrap(), Found { state_dir: other, elsewhere: true });

        let third = StateDir::new(places.base.join("third"));
        let _third = third.lock().unwrap();
        let several = places.running(&[]).unwrap_err();
        assert_eq!(several.exit, Exit::NoSupervisor);
        assert!(several.text.contains("/other\n") && several.text.ends_with("/third"), "{}", several.text);

        // A folder whose supervisor has ended is not without one.
        let own = StateDir::new(places.base.join(folder_key(temp.path())));
        drop(own.lock().unwrap());
        assert_eq!(places.running(&[]).unwrap_err().exit, Exit::NoSupervisor);
        assert_eq!(places.readable(&[]).unwrap(), own);
    }

    #[test]
    fn of_a_dead_supervisor_one_is_told_what_it_left() {
        let temp = tempfile::tempdir().unwrap();
        let places = places(temp.path());
        let own = StateDir::new(places.base.join(folder_key(temp.path())));
        drop(own.lock().unwrap());
        let left = std::fs::File::create(own.component_lock("web")).unwrap();
        left.lock().unwrap();
        let failure = places.running(&[]).unwrap_err();
        assert_eq!(failure.exit, Exit::NoSupervisor);
        assert!(failure.text.contains("has died and left 1 component running"), "{}", failure.text);
    }

    #[test]
    fn what_does_not_exist_names_no_supervisor() {
        let temp = tempfile::tempdir().unwrap();
        let missing = ["no/such".into()];
        let places = places(temp.path());
        assert_eq!(places.running(&missing).unwrap_err().exit, Exit::Usage);
        assert_eq!(places.readable(&missing).unwrap_err().exit, Exit::Usage);
        let chosen = Places { chosen: Some(temp.path().join("s")), ..places };
        assert_eq!(chosen.running(&missing).unwrap_err().exit, Exit::NoSupervisor);
    }
}
