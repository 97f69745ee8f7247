//! Other libraries in the place of those that are used: all of what is new is well, or nothing changes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::background::Background;
use crate::kind;
use crate::model::{Changes, InUse, LoadError, Options, Refusal, Refusals};
use crate::plugins::survey::{self, Survey, Used};

/// What is to be used from now on, and what that changes.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn prepare(
    options: &Options,
    background: &Background,
    before: &Survey,
    in_use: &[InUse],
) -> Result<(Survey, Changes), Refusals> {
    let now = survey::survey(options, background, before).map_err(|err| {
        let LoadError::Folder { path, source } = err;
        Refusals(vec![Refusal { file: path, reason: format!("cannot be read: {source}") }])
    })?;
    let mut wrong = Vec::new();
    let mut changes = Changes::default();
    for refusal in now.refused() {
        let was_used = before.library(&refusal.file).is_some();
        if was_used { &mut wrong } else { &mut changes.refused }.push(refusal);
    }
    for used in in_use {
        // Several probes of one component may be wrong in the same way.
        if let Err(refusal) = still_good(used, before, &now)
            && !wrong.contains(&refusal)
        {
            wrong.push(refusal);
        }
    }
    if !wrong.is_empty() {
        return Err(Refusals(wrong));
    }
    let files = |survey: &Survey| -> BTreeSet<PathBuf> {
        survey.used().map(|used| used.loaded.file.clone()).collect()
    };
    let (old, new) = (files(before), files(&now));
    changes.added = new.difference(&old).cloned().collect();
    changes.removed = old.difference(&new).cloned().collect();
    let is_other = |file: &&PathBuf| !is_same(before.library(file), now.library(file));
    changes.replaced = new.intersection(&old).filter(is_other).cloned().collect();
    Ok((now, changes))
}

/// Whether a configuration that is in use can still be: where its library is another one now, that is asked.
fn still_good(used: &InUse, before: &Survey, now: &Survey) -> Result<(), Refusal> {
    let Some(old) = before.with_key(&used.key) else { return Ok(()) };
    let Some(new) = now.with_key(&used.key) else {
        let file = old.loaded.file.clone();
        if now.refused().iter().any(|refusal| refusal.file == file) {
            // That says it all.
            return Ok(());
        }
        let reason =
            format!("{} uses its probe `{}`, which no library has any more", component(used), used.key);
        return Err(Refusal { file, reason });
    };
    if is_same(Some(old), Some(new)) {
        return Ok(());
    }
    let valid = kind::validate(&new.loaded, &used.key, &used.config, &used.component);
    let valid = valid.and_then(|()| kind::may_run(&new.loaded.about, used.isolation));
    valid.map_err(|err| {
        let at = if err.path.is_empty() { String::new() } else { format!(".{}", err.path) };
        let reason = format!("refuses what {} has: {}{at}: {}", component(used), used.key, err.message);
        Refusal { file: new.loaded.file.clone(), reason }
    })?;
    // Asked for soon, and then by somebody who would rather not wait.
    new.loaded.needs(&used.key, &used.config);
    Ok(())
}

fn component(used: &InUse) -> String {
    format!("component {}", used.component.name)
}

fn is_same(one: Option<&Used>, other: Option<&Used>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(&one.loaded, &other.loaded),
        _ => false,
    }
}
