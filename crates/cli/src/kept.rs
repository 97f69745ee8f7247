//! What a supervisor was told of libraries of custom probes when it was started, and keeps to its end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;
use vitald_client::Client;
use vitald_core::quantity::show_bytes;
use vitald_core::status::PluginLimits;

use crate::exit::Failure;
use crate::places::Places;
use crate::{output, plugins, reach};

/// How long a supervisor may take to say what it allows.
const ASKING: Duration = Duration::from_secs(10);

/// What flags and variables say, as far as they say anything.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    memory: Option<u64>,
    open_files: Option<u64>,
    /// Those that are there, absolute.
    folders: Vec<PathBuf>,
}

impl Wanted {
    /// Reads them, for a supervisor that may run already.
    ///
    /// # Errors
    /// A variable makes no sense.
    pub(crate) fn of(places: &Places) -> Result<Self, Failure> {
        let flags = &places.plugins;
        let allowed = flags.limits()?.allowed();
        let named = places.all_absolute(&flags.plugin_dir).into_iter();
        let folders = named.chain(plugins::in_environment(places)).filter(|folder| folder.is_dir());
        Ok(Self {
            memory: flags.memory()?.map(|_| allowed.memory),
            open_files: flags.open_files()?.map(|_| allowed.open_files),
            folders: folders.collect(),
        })
    }

    /// Says on stderr what of it the supervisor that runs goes on without. Of one that cannot be asked, such as one
    /// that is too old to know, nothing is said.
    pub(crate) async fn compare(&self, client: &Client, pid: u32) {
        let Self { memory, open_files, folders } = self;
        if memory.is_none() && open_files.is_none() && folders.is_empty() {
            return;
        }
        let limits = client.plugin_limits().await.ok().flatten();
        let looked_into = client.plugin_folders().await.ok();
        if let Some(missing) = self.missing(limits, looked_into.as_deref()) {
            output::note(&format!(
                "warning: the supervisor (pid {pid}) was started with {missing}; that holds from its start to its \
                 end: `vitald down`, then `vitald up` with the same flags changes it"
            ));
        }
    }

    fn missing(&self, limits: Option<PluginLimits>, looked_into: Option<&[PathBuf]>) -> Option<String> {
        let mut missing = Vec::new();
        if let Some(PluginLimits { memory, open_files }) = limits {
            if let Some(wanted) = self.memory.filter(|wanted| *wanted != memory) {
                let (has, wanted) = (show_bytes(memory), show_bytes(wanted));
                missing.push(format!(
                    "{has} of memory, not {wanted}, for the process of each library of custom probes"
                ));
            }
            if let Some(wanted) = self.open_files.filter(|wanted| *wanted != open_files) {
                missing
                    .push(format!("{open_files} open files, not {wanted}, for the process of each library"));
            }
        }
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_known =
            |folder: &Path, known: &[PathBuf]| known.iter().any(|known| real(known) == real(folder));
        for folder in &self.folders {
            if looked_into.is_some_and(|known| !is_known(folder, known)) {
                missing.push(format!("other folders of libraries than {}", folder.display()));
            }
        }
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

/// What the supervisor of the current folder allows the process of each library, if one runs and says so.
pub(crate) async fn limits_of_running(places: &Places) -> Option<PluginLimits> {
    let state_dir = places.own(&[]).into_iter().find(|dir| dir.holder().is_some())?;
    let ask = async { reach::connect(&state_dir).await.ok()?.plugin_limits().await.ok()? };
    timeout(ASKING, ask).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_and_is_otherwise_is_told() {
        let limits = Some(PluginLimits { memory: 512 << 20, open_files: 256 });
        let known = [PathBuf::from("/a")];
        let missing = |memory, open_files, folders: &[&str]| {
            let folders = folders.iter().map(PathBuf::from).collect();
            Wanted { memory, open_files, folders }.missing(limits, Some(&known))
        };
        assert_eq!(missing(None, None, &[]), None);
        assert_eq!(missing(Some(512 << 20), Some(256), &["/a/"]), None);
        assert_eq!(
            missing(Some(1 << 30), Some(1500), &["/b", "/a"]).unwrap(),
            "512Mi of memory, not 1Gi, for the process of each library of custom probes, 256 open files, not 1500, \
             for the process of each library, other folders of libraries than /b"
        );
        let unknown = Wanted { memory: Some(1), open_files: None, folders: vec!["/b".into()] };
        assert_eq!(unknown.missing(None, None), None);
    }
}
