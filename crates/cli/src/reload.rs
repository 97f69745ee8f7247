//! SIGHUP: the manifests are read again and applied.

use std::path::Path;

use vitald_core::lifecycle::EventReason;
use vitald_core::status::{EventType, Plan};
use vitald_supervisor::SupervisorHandle;

use crate::places::STDIN;
use crate::{manifests, output};

/// Reads the manifests that the supervisor was given last, and applies them; the outcome becomes an event. Gives
/// what is wrong with them, for the account: then nothing has changed.
pub(crate) async fn reload(supervisor: &SupervisorHandle) -> Option<String> {
    let paths = supervisor.manifests();
    let unchanged = |why: String| {
        supervisor.tell(EventType::Warning, EventReason::Reloaded, format!("{why}; nothing was changed"));
    };
    if paths.iter().any(|path| path == Path::new(STDIN)) {
        unchanged("the manifests came from standard input, and cannot be read again".into());
        return None;
    }
    let registry = supervisor.registry();
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
        [("created", created), ("changed", changed), ("changed in place", relabelled), ("removed", removed)]
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
    use crate::{plugins, wiring};
    use vitald_supervisor::{ShutdownMode, StateDir, Wanted};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_bad_edit_changes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let write = |spec: &str| {
            let text =
                format!("apiVersion: vitald/v1\nkind: Component\nmetadata: {{name: web}}\nspec: {spec}\n");
            std::fs::write(temp.path().join("web.yaml"), text).unwrap();
        };
        let state_dir = StateDir::new(temp.path().join("state"));
        let lock = state_dir.lock().unwrap();
        let wanted = Wanted::Manifests(Vec::new());
        let supervisor =
            wiring::supervise(state_dir.clone(), lock, wanted, plugins::none(), None).await.unwrap();
        supervisor.set_manifests(vec![temp.path().join("web.yaml")]);
        let last = || supervisor.events().0.pop().unwrap();

        write("{command: [sleep, '1000']}");
        assert_eq!(reload(&supervisor).await, None);
        let specs = supervisor.specs();
        assert_eq!(specs.len(), 1);

        write("{comand: [sleep, '1000']}");
        let mistakes = reload(&supervisor).await.unwrap();
        assert!(mistakes.contains("command"), "{mistakes}");
        assert_eq!(supervisor.specs(), specs);
        assert_eq!((last().kind, last().reason.as_str()), (EventType::Warning, "Reloaded"));
        assert!(last().message.ends_with("nothing was changed"), "{}", last().message);

        supervisor.set_manifests(vec![STDIN.into()]);
        assert_eq!(reload(&supervisor).await, None);
        assert!(last().message.contains("standard input"), "{}", last().message);
        supervisor.shutdown(ShutdownMode::Now);
        supervisor.finished().await;
    }

    #[test]
    fn what_has_changed_is_told() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let plan = Plan { created: names(&["web", "api"]), removed: names(&["old"]), ..Plan::default() };
        assert_eq!(told(&plan), "the manifests were read again: web, api created; old removed");
        let same = Plan { unchanged: names(&["web"]), ..Plan::default() };
        assert_eq!(told(&same), "the manifests were read again: nothing has changed");
    }
}
