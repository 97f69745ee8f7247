//! What components have to do with each other: names, dependencies, the order of starts.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use vitald_core::spec::{ComponentSpec, Condition, RestartPolicy};

use crate::MOST;
use crate::document::Document;
use crate::files::File;
use crate::mistake::{Code, Mistake};
use crate::nearest::{did_you_mean, list, nearest};
use crate::tree::quote;

/// Checks all documents together. `unread` are the texts of documents that could not be read.
pub(crate) fn check(documents: &mut [Document], files: &[File], unread: &[&str]) {
    let nameless = documents.iter().filter(|document| document.name.is_none()).filter_map(|document| {
        let span = document.tree.node(crate::tree::Tree::ROOT).span.clone();
        files[document.file].source.text.get(span)
    });
    let unread = Unread {
        texts: unread.iter().copied().chain(nameless).collect(),
        files: files.iter().any(|file| file.mistake.is_some()),
    };
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut mistakes: Vec<(usize, Mistake)> = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let Some(name) = &document.name else { continue };
        let Some(first) = names.get(name) else {
            names.insert(name.clone(), index);
            continue;
        };
        mistakes.push((index, duplicate(document, &documents[*first], files)));
    }
    for (index, document) in documents.iter().enumerate() {
        if mistakes.len() > MOST {
            break;
        }
        mistakes.extend(dependencies(document, documents, &names, &unread).into_iter().map(|m| (index, m)));
    }
    mistakes.extend(cycles(documents, &names));
    for (index, mistake) in mistakes {
        documents[index].mistakes.push(mistake);
    }
}

/// What may hold components that are not known.
struct Unread<'a> {
    texts: Vec<&'a str>,
    /// Whether there are whole files of which nothing is known.
    files: bool,
}

fn duplicate(document: &Document, first: &Document, files: &[File]) -> Mistake {
    let name = document.name.as_deref().unwrap_or_default();
    let message = format!("duplicate component {}", quote(name));
    let span = |document: &Document| document.name_node().map(|id| document.tree.node(id).span.clone());
    let mut mistake = Mistake::new(Code::Duplicate, "metadata.name".to_owned(), message)
        .at(span(document).unwrap_or_default())
        .label("the second of this name");
    let earlier = span(first).unwrap_or_default();
    if document.file == first.file {
        mistake = mistake.related(earlier, "the first of this name");
    } else {
        let file = &files[first.file];
        let (line, column) = file.source.position(earlier.start);
        mistake = mistake.help(format!("the first is at {}:{line}:{column}", file.name.display()));
    }
    mistake
}

/// What is wrong with each dependency by itself.
fn dependencies(
    document: &Document,
    documents: &[Document],
    names: &HashMap<String, usize>,
    unread: &Unread<'_>,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut seen: HashMap<&str, std::ops::Range<usize>> = HashMap::new();
    let mut unknown_names = 0;
    for dependency in document.spec.iter().flat_map(|spec| &spec.depends_on) {
        let name = dependency.name.value.as_str();
        let node = document.tree.node(dependency.name.id);
        let mistake = |code, message: String| {
            Mistake::new(code, document.tree.path(dependency.name.id), message).at(node.span.clone())
        };
        let first = seen.get(name).cloned();
        let again = first.is_some();
        if let Some(first) = first {
            let message = format!("duplicate dependency on `{name}`");
            let told = mistake(Code::Duplicate, message).label("the second time");
            mistakes.push(told.related(first, "the first time"));
        } else {
            seen.insert(name, node.span.clone());
        }
        if document.name.as_deref() == Some(name) {
            if !again {
                let message = format!("invalid value {}: a component cannot depend on itself", quote(name));
                mistakes.push(mistake(Code::Cycle, message).label("this is its own name"));
            }
            continue;
        }
        let Some(target) = names.get(name).map(|index| &documents[*index]) else {
            if again {
                continue;
            }
            unknown_names += 1;
            if unknown_names > MOST {
                break;
            }
            let others = names.keys().map(String::as_str).filter(|n| document.name.as_deref() != Some(n));
            let mut others: Vec<&str> = others.collect();
            others.sort_unstable();
            let near = nearest(name, others.iter().copied());
            // It may be in what could not be read.
            if unread.texts.iter().any(|text| text.contains(name)) || (unread.files && near.is_none()) {
                continue;
            }
            let mut unknown = mistake(Code::NotFound, format!("not found: no component is named `{name}`"))
                .label("no component has this name");
            if let Some(name) = near {
                unknown = unknown.help(did_you_mean(name));
            } else if !others.is_empty() && others.len() <= 12 {
                unknown = unknown.help(format!("there are {}", list(&others, "and")));
            }
            mistakes.push(unknown);
            continue;
        };
        if let Some(condition) = dependency.condition.as_ref().filter(|c| c.value == Condition::Completed) {
            let policy_is_wrong =
                target.spec_node("restartPolicy").is_some_and(|id| target.tree.node(id).faulty);
            let policy = target.spec.as_ref().map(|spec| spec.restart_policy.unwrap_or_default());
            if policy == Some(RestartPolicy::Always) && !policy_is_wrong {
                let message = format!(
                    "invalid value \"Completed\": `{name}` never completes, its restartPolicy is Always"
                );
                mistakes.push(
                    Mistake::new(Code::Invalid, document.tree.path(condition.id), message)
                        .at(document.tree.node(condition.id).span.clone())
                        .label(format!("`{name}` always restarts"))
                        .help(format!("give `{name}` `restartPolicy: OnFailure`, or `Never`")),
                );
            }
        }
    }
    mistakes
}

/// Every dependency that closes a circle, told where it stands.
fn cycles(documents: &[Document], names: &HashMap<String, usize>) -> Vec<(usize, Mistake)> {
    let edges: Vec<Vec<(usize, Mistake)>> = documents
        .iter()
        .enumerate()
        .map(|(index, document)| {
            let mut seen = HashSet::new();
            let named = document.spec.iter().flat_map(|spec| &spec.depends_on).filter_map(|dependency| {
                let target = *names.get(&dependency.name.value)?;
                if !seen.insert(target) {
                    return None;
                }
                let id = dependency.name.id;
                let mistake = Mistake::new(Code::Cycle, document.tree.path(id), "").at(document
                    .tree
                    .node(id)
                    .span
                    .clone());
                (target != index && document.name != documents[target].name).then_some((target, mistake))
            });
            named.collect()
        })
        .collect();
    let mut found = Vec::new();
    let mut done = vec![false; documents.len()];
    let mut depth: Vec<Option<usize>> = vec![None; documents.len()];
    for start in 0..documents.len() {
        if done[start] || found.len() > MOST {
            continue;
        }
        let mut path = vec![(start, 0)];
        depth[start] = Some(0);
        while let Some((at, next)) = path.last_mut() {
            let at = *at;
            let Some((target, mistake)) = edges[at].get(*next) else {
                (done[at], depth[at]) = (true, None);
                path.pop();
                continue;
            };
            *next += 1;
            if let Some(from) = depth[*target].filter(|_| found.len() <= MOST) {
                let names = path[from..].iter().map(|(i, _)| *i).chain([*target]);
                let names: Vec<&str> = names.filter_map(|i| documents[i].name.as_deref()).collect();
                let mut mistake = mistake.clone().label("closes the circle");
                mistake.message = format!("dependency cycle: {}", circle(&names));
                found.push((at, mistake.help("none of them could ever start; take one dependency out")));
            } else if !done[*target] && depth[*target].is_none() {
                depth[*target] = Some(path.len());
                path.push((*target, 0));
            }
        }
    }
    found
}

/// `a → b → a`, with the middle of a long one left out.
fn circle(names: &[&str]) -> String {
    const ENDS: usize = 5;
    match names.len() {
        length if length > 2 * ENDS + 2 => format!(
            "{} → … {} more … → {}",
            names[..ENDS].join(" → "),
            length - 2 * ENDS,
            names[length - ENDS..].join(" → ")
        ),
        _ => names.join(" → "),
    }
}

/// Dependencies first, and otherwise as they stand.
pub(crate) fn start_order(components: Vec<ComponentSpec>) -> Vec<ComponentSpec> {
    let index: HashMap<&str, usize> =
        components.iter().enumerate().map(|(index, component)| (component.name.as_str(), index)).collect();
    let mut waiting = vec![0_usize; components.len()];
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); components.len()];
    for (at, component) in components.iter().enumerate() {
        for target in component.depends_on.iter().filter_map(|dependency| index.get(&*dependency.name)) {
            waiting[at] += 1;
            dependants[*target].push(at);
        }
    }
    let free = waiting.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut free: BinaryHeap<Reverse<usize>> = free.map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(components.len());
    while let Some(Reverse(at)) = free.pop() {
        order.push(at);
        for dependant in &dependants[at] {
            waiting[*dependant] -= 1;
            if waiting[*dependant] == 0 {
                free.push(Reverse(*dependant));
            }
        }
    }
    let mut components: Vec<Option<ComponentSpec>> = components.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| components[at].take()).collect()
}
