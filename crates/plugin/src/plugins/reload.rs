//! Other libraries in the place of those that are used: all of what is new is well, or nothing changes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use vitald_core::probe::SpecError;

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
    for refusal in in_use.iter().flat_map(|used| refusals(options, used, before, &now)) {
        // Several parts of one probe may be wrong in the same way.
        if !wrong.contains(&refusal) {
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

/// Why a configuration that is in use can be so no more: where its library is another one now, that one's schema says
/// so, or the library itself, which is asked.
fn refusals(options: &Options, used: &InUse, before: &Survey, now: &Survey) -> Vec<Refusal> {
    let Some(old) = before.with_key(&used.key) else { return Vec::new() };
    let Some(new) = now.with_key(&used.key) else {
        let file = old.loaded.file.clone();
        if now.refused().iter().any(|refusal| refusal.file == file) {
            // That says it all.
            return Vec::new();
        }
        let reason =
            format!("{} uses its probe `{}`, which no library has any more", component(used), used.key);
        return vec![Refusal { file, reason }];
    };
    if is_same(Some(old), Some(new)) {
        return Vec::new();
    }
    let refusal = |err: SpecError| {
        let SpecError { path, message, .. } = err.at(&used.key).at(used.role.field());
        let reason = format!("refuses what {} has: {path}: {message}", component(used));
        Refusal { file: new.loaded.file.clone(), reason }
    };
    let of_schema = new.kinds.get(&used.key).map(|schema| (options.objections)(schema, &used.config));
    let of_schema = of_schema.unwrap_or_default();
    if !of_schema.is_empty() {
        return of_schema.into_iter().map(refusal).collect();
    }
    let valid = kind::validate(&new.loaded, &used.key, &used.config, &used.component);
    match valid.and_then(|()| kind::may_run(&new.loaded.about, used.isolation)) {
        Ok(()) => {
            // Asked for soon, and then by somebody who would rather not wait.
            new.loaded.needs(&used.key, &used.config);
            Vec::new()
        }
        Err(err) => vec![refusal(err)],
    }
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
