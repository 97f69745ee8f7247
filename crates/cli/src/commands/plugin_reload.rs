//! `vitald plugin reload`.

use vitald_core::status::PluginChanges;

use crate::cli::Selector;
use crate::exit::{Exit, Outcome};
use crate::format::plain;
use crate::places::Places;
use crate::{output, reach};

/// Has the supervisor look for libraries again, and tells what has become of each.
pub(crate) async fn run(args: &Selector, places: &Places) -> Outcome {
    let changes = reach::supervisor_to_change(places, &args.filename).await?.reload_plugins().await?;
    for refused in &changes.refused {
        output::note(&format!("warning: not used: {}", plain(refused)));
    }
    for line in lines(&changes) {
        output::say(line)?;
    }
    Ok(Exit::Done)
}

fn lines(changes: &PluginChanges) -> Vec<String> {
    if changes.is_empty() {
        return vec!["the libraries are as they were".to_owned()];
    }
    let PluginChanges { added, replaced, removed, refused: _ } = changes;
    [("added", added), ("replaced", replaced), ("removed", removed)]
        .into_iter()
        .flat_map(|(what, files)| files.iter().map(move |file| format!("{} {what}", plain(file))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_library_that_has_changed_has_its_line() {
        assert_eq!(lines(&PluginChanges::default()), ["the libraries are as they were"]);
        let changes = PluginChanges {
            added: vec!["/p/a.so".into()],
            replaced: vec!["/p/b.so".into(), "/p/c.so".into()],
            ..PluginChanges::default()
        };
        assert_eq!(lines(&changes), ["/p/a.so added", "/p/b.so replaced", "/p/c.so replaced"]);
        let changes = PluginChanges { removed: vec!["/p/\u{1b}[31m.so".into()], ..PluginChanges::default() };
        assert_eq!(lines(&changes), ["/p/ [31m.so removed"]);
    }
}
