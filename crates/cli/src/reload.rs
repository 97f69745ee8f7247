//! SIGHUP: the manifests are read again and applied.

use std::path::Path;
use std::sync::Arc;

use vitald_core::lifecycle::EventReason;
use vitald_core::registry::Registry;
use vitald_core::status::{EventType, Plan};
use vitald_supervisor::SupervisorHandle;

use crate::places::STDIN;
use crate::{manifests, output};

/// Reads the manifests that the supervisor was given last, and applies them; the outcome becomes an event. Gives
/// what is wrong with them, for the account: then nothing has changed.
pub(crate) async fn reload(supervisor: &SupervisorHandle, registry: Arc<Registry>) -> Option<String> {
    let paths = supervisor.manifests();
    let unchanged = |why: String| {
        supervisor.tell(EventType::Warning, EventReason::Reloaded, format!("{why}; nothing was changed"));
    };
    if paths.iter().any(|path| path == Path::new(STDIN)) {
        unchanged("the manifests came from standard input, and cannot be read again".into());
        return None;
    }
    let read = tokio::task::spawn_blocking(move || manifests::read(&paths, &registry));
    match read.await {
        Ok(Ok(manifests)) => match supervisor.apply(manifests.components).await {
            Ok(plan) => supervisor.tell(EventType::Normal, EventReason::Reloaded, told(&plan)),
            Err(err) => unchanged(format!("the manifests were read again, but {err}")),
        },
        Ok(Err(mistakes)) => {
            unchanged(manifests::in_short(&mistakes));
            return Some(mistakes.render(output::colour()));
        }
        Err(err) => unchanged(format!("the manifests could not be read again: {err}")),
    }
    None
}

/// `the manifests were read again: web created, api changed`.
fn told(plan: &Plan) -> String {
    let Plan { created, changed, relabelled, removed, unchanged: _ } = plan;
    let parts: Vec<String> =
        [("created", created), ("changed", changed), ("relabelled", relabelled), ("removed", removed)]
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{} {what}", names.join(", ")))
            .collect();
    let what = if parts.is_empty() { "nothing has changed".to_owned() } else { parts.join("; ") };
    format!("the manifests were read again: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_told() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let plan = Plan { created: names(&["web", "api"]), removed: names(&["old"]), ..Plan::default() };
        assert_eq!(told(&plan), "the manifests were read again: web, api created; old removed");
        let same = Plan { unchanged: names(&["web"]), ..Plan::default() };
        assert_eq!(told(&same), "the manifests were read again: nothing has changed");
    }
}
