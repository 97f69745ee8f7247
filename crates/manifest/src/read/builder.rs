//! Events to a tree: keys and their doubles, anchors, aliases and merge keys.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use granit_parser::{Event, ScalarStyle, Span, Tag};

use super::{DEPTH, NODES};
use crate::mistake::{Code, Mistake};
use crate::scalar;
use crate::tree::{NodeId, Place, Tree, Value, push_key, quote};

/// Builds the tree of one document.
pub(super) struct Builder<'t> {
    text: &'t str,
    budget: usize,
    /// Where the document ended.
    pub(super) end: usize,
    pub(super) tree: Tree,
    pub(super) mistakes: Vec<Mistake>,
    open: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
}

/// A collection that has begun.
struct Open {
    id: NodeId,
    anchor: usize,
    children: Vec<NodeId>,
    /// In a mapping: its keys, and the key whose value comes next (`None` where it is no good).
    keys: Option<Keys>,
}

#[derive(Default)]
struct Keys {
    seen: HashMap<String, Range<usize>>,
    pending: Option<(Option<String>, Range<usize>)>,
}

impl<'t> Builder<'t> {
    pub(super) fn new(text: &'t str, budget: usize) -> Self {
        Self {
            text,
            budget,
            end: 0,
            tree: Tree::default(),
            mistakes: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
        }
    }

    /// Takes one event; true where it is the last of the document.
    pub(super) fn on(&mut self, event: Event<'t>, span: Span) -> Result<bool, Box<Mistake>> {
        let range = self.range(span);
        if self.tree.len() >= self.budget {
            return Err(fatal(
                Code::Limit,
                range,
                format!("too large: more than {NODES} values in one file"),
            ));
        }
        let wants_key = self
            .open
            .last()
            .is_some_and(|open| open.keys.as_ref().is_some_and(|keys| keys.pending.is_none()));
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), &range)?;
                if wants_key {
                    if anchor != 0 {
                        return Err(fatal(Code::Syntax, range, "a key cannot have an anchor"));
                    }
                    self.take_key(value, range);
                } else {
                    let id = self.add(value, range);
                    self.finish(id, anchor);
                }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if wants_key => {
                return Err(fatal(Code::Syntax, range, "a key must be a string, not a collection"));
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", &range)?;
                let id = self.add(Value::Seq(Vec::new()), range);
                self.open.push(Open { id, anchor, children: Vec::new(), keys: None });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", &range)?;
                let id = self.add(Value::Map(Vec::new()), range);
                self.open.push(Open { id, anchor, children: Vec::new(), keys: Some(Keys::default()) });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range)?,
            Event::Alias(_) | Event::UnresolvedAlias(_) if wants_key => {
                return Err(fatal(Code::Syntax, range, "a key cannot be an alias"));
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).copied() {
                Some(target) => {
                    let place = self.place();
                    let depth = self.open.len();
                    let id = self.copy(target, place, depth, &range)?;
                    self.finish(id, 0);
                }
                None => {
                    return Err(fatal(Code::Syntax, range, "an alias inside of what it stands for"));
                }
            },
            Event::UnresolvedAlias(name) => {
                let message = format!("no anchor `&{name}` stands before this alias");
                return Err(fatal(Code::Syntax, range, message));
            }
            Event::DocumentEnd => {
                self.end = range.end;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn range(&self, span: Span) -> Range<usize> {
        let end = self.text.len();
        let range = span.byte_range().unwrap_or(end..end);
        range.start.min(end)..range.end.clamp(range.start.min(end), end)
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        range: &Range<usize>,
    ) -> Result<Value, Box<Mistake>> {
        let plain = style == ScalarStyle::Plain;
        Ok(match tag.map(|tag| tag.core_suffix()) {
            None if plain => scalar::resolve(text),
            None | Some(Some("str")) => Value::String(text.to_owned()),
            Some(Some("int" | "float" | "bool" | "null")) => scalar::resolve(text),
            Some(_) => return Err(self.unsupported_tag(tag, range)),
        })
    }

    fn collection_tag(&self, tag: Option<&Tag>, own: &str, range: &Range<usize>) -> Result<(), Box<Mistake>> {
        match tag.map(Tag::core_suffix) {
            None => Ok(()),
            Some(Some(suffix)) if suffix == own => Ok(()),
            Some(_) => Err(self.unsupported_tag(tag, range)),
        }
    }

    fn unsupported_tag(&self, tag: Option<&Tag>, range: &Range<usize>) -> Box<Mistake> {
        let tag = tag.map(Tag::original).unwrap_or_default();
        fatal(Code::Syntax, range.clone(), format!("the tag `{tag}` means nothing here"))
    }

    /// Where the next node goes.
    fn place(&mut self) -> Place {
        match self.open.last_mut() {
            None => Place::Root,
            Some(Open { id, keys: None, children, .. }) => Place::Item { parent: *id, index: children.len() },
            Some(Open { id, keys: Some(keys), .. }) => {
                let (key, span) = keys.pending.clone().unwrap_or_default();
                Place::Key { parent: *id, key: key.unwrap_or_default(), span }
            }
        }
    }

    fn add(&mut self, value: Value, range: Range<usize>) -> NodeId {
        let place = self.place();
        self.tree.push(value, range, place)
    }

    /// A node is whole: its anchor may be used, and its parent gets it.
    fn finish(&mut self, id: NodeId, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        if let Some(open) = self.open.last_mut() {
            match &mut open.keys {
                None => open.children.push(id),
                Some(keys) => {
                    if let Some((Some(_), _)) = keys.pending.take() {
                        open.children.push(id);
                    }
                }
            }
        }
    }

    fn take_key(&mut self, key: Value, range: Range<usize>) {
        let Some(Open { id, keys: Some(keys), .. }) = self.open.last_mut() else { return };
        let mut path = self.tree.path(*id);
        let text = match key {
            Value::String(text) => text,
            other => {
                let shown = other.show().unwrap_or_default();
                push_key(&mut path, &shown);
                let source = self.text.get(range.clone()).unwrap_or_default();
                let mut mistake =
                    Mistake::new(Code::Invalid, path, format!("invalid key {shown}: must be a string"))
                        .at(range.clone())
                        .label("must be a string");
                if !source.is_empty() {
                    mistake = mistake.help(format!("quote it: {}", quote(source)));
                }
                self.mistakes.push(mistake);
                keys.pending = Some((None, range));
                return;
            }
        };
        let first = keys.seen.get(&text).cloned();
        keys.pending = Some((first.is_none().then(|| text.clone()), range.clone()));
        match first {
            None => {
                keys.seen.insert(text, range);
            }
            Some(first) => {
                push_key(&mut path, &text);
                let mistake = Mistake::new(Code::Duplicate, path, "duplicate key".to_owned())
                    .at(range)
                    .label("the second time")
                    .related(first, "the first time")
                    .help("keep one of the two");
                self.mistakes.push(mistake);
            }
        }
    }

    fn close(&mut self, end: Range<usize>) -> Result<(), Box<Mistake>> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let id = open.id;
        let node = self.tree.node_mut(id);
        node.span.end = node.span.end.max(end.end);
        node.value = match open.keys {
            None => Value::Seq(open.children),
            Some(_) => Value::Map(open.children),
        };
        self.merge(id)?;
        self.finish(id, open.anchor);
        Ok(())
    }

    /// `<<: *defaults`, and a list of such: what the mapping does not say itself. A text is no such thing, but what an
    /// annotation of this name says: YAML is written without quotes around it, since its 1.2 has no merging.
    fn merge(&mut self, id: NodeId) -> Result<(), Box<Mistake>> {
        let Some(merge) = self.tree.get(id, "<<") else { return Ok(()) };
        let span = self.tree.node(merge).span.clone();
        let sources = match self.tree.value(merge) {
            Value::String(_) => return Ok(()),
            Value::Seq(items) => items.clone(),
            _ => vec![merge],
        };
        let Value::Map(mut children) = self.tree.value(id).clone() else { return Ok(()) };
        children.retain(|child| *child != merge);
        let keys = children.iter().filter_map(|child| self.tree.key(*child));
        let mut keys: HashSet<String> = keys.map(str::to_owned).collect();
        for source in sources {
            if !matches!(self.tree.value(source), Value::Map(_)) {
                return Err(fatal(Code::Syntax, span, "`<<` takes a mapping, or a list of mappings"));
            }
            let inherited: Vec<(String, NodeId)> =
                self.tree.entries(source).map(|(key, child)| (key.to_owned(), child)).collect();
            for (key, child) in inherited {
                if keys.insert(key) {
                    // Nothing else hangs on the source: an alias was copied when it was met.
                    if let Place::Key { parent, .. } = &mut self.tree.node_mut(child).place {
                        *parent = id;
                    }
                    children.push(child);
                }
            }
        }
        self.tree.node_mut(id).value = Value::Map(children);
        Ok(())
    }

    /// Copies what an alias stands for. Positions stay those of the original, where a mistake is mended.
    fn copy(
        &mut self,
        from: NodeId,
        place: Place,
        depth: usize,
        alias: &Range<usize>,
    ) -> Result<NodeId, Box<Mistake>> {
        if self.tree.len() >= self.budget {
            let message = format!("too large: more than {NODES} values in one file, aliases followed");
            return Err(fatal(Code::Limit, alias.clone(), message));
        }
        if depth > DEPTH {
            return Err(fatal(Code::Limit, alias.clone(), format!("nested deeper than {DEPTH} levels")));
        }
        let node = self.tree.node(from).clone();
        let id = self.tree.push(node.value.clone(), node.span, place);
        let children = match &node.value {
            Value::Seq(children) | Value::Map(children) => children.clone(),
            _ => return Ok(id),
        };
        let mut copies = Vec::with_capacity(children.len());
        for child in children {
            let place = match self.tree.node(child).place.clone() {
                Place::Root => Place::Root,
                Place::Key { key, span, .. } => Place::Key { parent: id, key, span },
                Place::Item { index, .. } => Place::Item { parent: id, index },
            };
            copies.push(self.copy(child, place, depth + 1, alias)?);
        }
        self.tree.node_mut(id).value = match node.value {
            Value::Seq(_) => Value::Seq(copies),
            _ => Value::Map(copies),
        };
        Ok(id)
    }
}

fn fatal(code: Code, range: Range<usize>, message: impl Into<String>) -> Box<Mistake> {
    Box::new(Mistake::new(code, String::new(), message).at(range))
}
