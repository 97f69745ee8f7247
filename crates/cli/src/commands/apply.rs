//! `vitald apply`.

use vitald_core::spec::ComponentSpec;
use vitald_core::status::{ComponentStatus, Plan, Reason, State};

use crate::cli::Selector;
use crate::commands::names;
use crate::exit::{Exit, Outcome};
use crate::places::Places;
use crate::{format, manifests, output, plugins, reach};

/// Makes the components what the manifests say, and tells what became of each.
pub(crate) async fn run(args: &Selector, places: &Places) -> Outcome {
    let paths = places.manifests(&args.filename)?;
    let components = manifests::load(&paths, &plugins::of_manifests(places, &paths).await?.registry)?;
    // Never another folder's supervisor, whose components would all be stopped.
    let client = reach::supervisor(places, &paths).await?;
    let plan = client.apply(&components, Some(&places.all_absolute(&paths))).await?;
    let status = client.status().await?.components;
    for line in lines(&plan, &components, &status) {
        output::say(line)?;
    }
    let touched = |c: &&ComponentStatus| plan.created.contains(&c.name) || plan.changed.contains(&c.name);
    let failed: Vec<_> = status.iter().filter(touched).filter(|c| !has_begun(c)).collect();
    for component in &failed {
        output::say(names::line(component))?;
    }
    Ok(if failed.is_empty() { Exit::Done } else { Exit::Not })
}

/// What became of each component: a line each, in start order; what has gone at the end.
pub(crate) fn lines(plan: &Plan, specs: &[ComponentSpec], status: &[ComponentStatus]) -> Vec<String> {
    let line = |name: &String| {
        let now = status.iter().find(|component| component.name == *name);
        let what = if plan.created.contains(name) {
            "created".to_owned()
        } else if plan.changed.contains(name) {
            format!("changed ({})", now.map_or_else(|| "gone".into(), follows))
        } else if plan.relabelled.contains(name) {
            "changed in place".to_owned()
        } else {
            "unchanged".to_owned()
        };
        format!("{name} {what}")
    };
    let removed = plan.removed.iter().map(|name| format!("{name} removed (stopped)"));
    specs.iter().map(|spec| line(&spec.name)).chain(removed).collect()
}

/// What a changed spec has led to.
fn follows(component: &ComponentStatus) -> String {
    match (component.state, component.reason) {
        (State::Stopped, Reason::StoppedByUser) => "stays stopped".into(),
        (State::Stopped, Reason::WaitingForDependency) => format::plain(&component.message),
        _ if has_begun(component) => "restarted".into(),
        _ => "not restarted".into(),
    }
}

/// A stop by hand outlasts other manifests.
fn has_begun(component: &ComponentStatus) -> bool {
    names::has_begun(component) || component.reason == Reason::StoppedByUser
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::table::tests::{crashing, running};

    #[test]
    fn each_component_has_its_line() {
        let temp = tempfile::tempdir().unwrap();
        let manifest = |name: &str| {
            format!(
                "---\napiVersion: vitald/v1\nkind: Component\nmetadata: {{name: {name}}}\nspec: {{command: [sleep]}}\n"
            )
        };
        let names = ["new", "changed", "stopped", "broken", "same", "label"];
        std::fs::write(temp.path().join("all.yaml"), names.map(manifest).concat()).unwrap();
        let specs = manifests::read(&[temp.path().to_owned()], &builtin::registry()).unwrap().components;
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let plan = Plan {
            created: list(&["new"]),
            changed: list(&["changed", "stopped", "broken"]),
            relabelled: list(&["label"]),
            removed: list(&["old"]),
            unchanged: list(&["same"]),
        };
        let stopped =
            ComponentStatus { state: State::Stopped, reason: Reason::StoppedByUser, ..running("stopped") };
        let status = [running("changed"), stopped, crashing("broken")];
        insta::assert_snapshot!(lines(&plan, &specs, &status).join("\n"), @r"
        new created
        changed changed (restarted)
        stopped changed (stays stopped)
        broken changed (not restarted)
        same unchanged
        label changed in place
        old removed (stopped)
        ");
    }
}
