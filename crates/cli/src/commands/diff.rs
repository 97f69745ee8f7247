//! `vitald diff`.

use anstyle::{AnsiColor, Style};
use similar::{ChangeTag, TextDiff};
use vitald_core::spec::ComponentSpec;
use vitald_core::status::Plan;

use crate::cli::Selector;
use crate::exit::{Exit, Failure, Outcome};
use crate::places::Places;
use crate::{manifests, output, plugins, reach};

/// How many unchanged lines stand around changed ones.
const CONTEXT: usize = 3;

/// Shows what `apply` would do, and does nothing.
pub(crate) async fn run(args: &Selector, places: &Places) -> Outcome {
    let paths = places.manifests(&args.filename)?;
    let wanted = manifests::load(&paths, &plugins::of_manifests(places, &paths).await?.registry)?;
    let client = reach::supervisor(places, &paths).await?;
    let plan = client.plan(&wanted).await?;
    if plan.is_empty() {
        return Ok(Exit::Done);
    }
    let text = text(&plan, &client.specs().await?, &wanted, output::colour())?;
    output::even_unread(output::bytes(text.as_bytes()))?;
    Ok(Exit::Not)
}

/// A heading and a unified diff for each component that is not as the manifests say.
fn text(
    plan: &Plan,
    now: &[ComponentSpec],
    wanted: &[ComponentSpec],
    colour: bool,
) -> Result<String, Failure> {
    let find = |specs: &[ComponentSpec], name: &str| match specs.iter().find(|spec| spec.name == name) {
        Some(spec) => yaml(spec),
        None => Ok(String::new()),
    };
    let bold = output::paint(Style::new().bold(), colour);
    let mut text = String::new();
    let mut add = |name: &String, follows: &str| -> Result<(), Failure> {
        text += &format!("{bold}{name}: {follows}{bold:#}\n");
        text += &difference(name, &find(now, name)?, &find(wanted, name)?, colour);
        Ok(())
    };
    for spec in wanted {
        let name = &spec.name;
        if plan.created.contains(name) {
            add(name, "new, would be started")?;
        } else if plan.changed.contains(name) {
            add(name, "changed, would be restarted")?;
        } else if plan.relabelled.contains(name) {
            add(name, "changed in place, would go on")?;
        }
    }
    for name in &plan.removed {
        add(name, "not in the manifests, would be stopped")?;
    }
    Ok(text)
}

fn yaml(spec: &ComponentSpec) -> Result<String, Failure> {
    serde_yaml::to_string(&vitald_manifest::render(spec))
        .map_err(|err| Failure::not(format!("{}: not YAML: {err}", spec.name)))
}

/// A unified diff, coloured line by line.
fn difference(name: &str, now: &str, wanted: &str, colour: bool) -> String {
    let diff = TextDiff::from_lines(now, wanted);
    let [red, green, cyan] = [AnsiColor::Red, AnsiColor::Green, AnsiColor::Cyan]
        .map(|colour_of| output::paint(colour_of.on_default(), colour));
    let mut text = format!("{red}--- {name} (running){red:#}\n{green}+++ {name} (manifests){green:#}\n");
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        text += &format!("{cyan}{}{cyan:#}\n", hunk.header());
        for change in hunk.iter_changes() {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', red),
                ChangeTag::Insert => ('+', green),
                ChangeTag::Equal => (' ', Style::new()),
            };
            text += &format!("{style}{sign}{}{style:#}\n", change.value().trim_end_matches('\n'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;

    fn specs(manifests: &str) -> Vec<ComponentSpec> {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("all.yaml"), manifests).unwrap();
        let mut specs = manifests::read(&[temp.path().to_owned()], &builtin::registry()).unwrap().components;
        for spec in &mut specs {
            let vitald_core::spec::Workload::Process(process) = &mut spec.workload else { panic!() };
            process.working_dir = "/srv".into();
        }
        specs
    }

    fn manifest(name: &str, label: &str, seconds: u32) -> String {
        format!(
            "---\napiVersion: vitald/v1\nkind: Component\nmetadata: {{name: {name}, labels: {{tier: {label}}}}}\n\
             spec: {{command: [sleep, \"{seconds}\"]}}\n"
        )
    }

    #[test]
    fn what_would_change_is_shown() {
        let now = specs(&[manifest("web", "a", 1), manifest("db", "a", 1), manifest("old", "a", 1)].concat());
        let wanted =
            specs(&[manifest("web", "a", 2), manifest("db", "b", 1), manifest("new", "a", 1)].concat());
        let list = |name: &str| vec![name.to_owned()];
        let plan = Plan {
            created: list("new"),
            changed: list("web"),
            relabelled: list("db"),
            removed: list("old"),
            unchanged: vec![],
        };
        insta::assert_snapshot!(text(&plan, &now, &wanted, false).unwrap());
    }

    #[test]
    fn colour_only_where_it_is_welcome() {
        assert!(difference("web", "a\n", "b\n", true).contains("\x1b[31m-a"));
        assert!(!difference("web", "a\n", "b\n", false).contains('\x1b'));
    }
}
