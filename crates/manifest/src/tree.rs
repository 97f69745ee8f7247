//! A document with a position for every key and value, before anything is known about its meaning.
//!
//! Nodes lie in one arena and know their parents: a node alone tells its path and its place, and
//! dropping a deep tree needs no stack.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::Value as Json;

/// One document.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

/// Names a node of one [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u32);

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Bytes of the file.
    pub(crate) span: Range<usize>,
    pub(crate) place: Place,
    /// A mistake was found in it, so that it must not be read any further: one mistake, one message.
    pub(crate) faulty: bool,
}

/// How a node hangs on its parent.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The document itself.
    Root,
    /// The value of a mapping's key.
    Key { parent: NodeId, key: String, span: Range<usize> },
    /// An item of a sequence.
    Item { parent: NodeId, index: usize },
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    String(String),
    Seq(Vec<NodeId>),
    /// The keys are in the children's [`Place`]s.
    Map(Vec<NodeId>),
}

impl NodeId {
    pub(crate) fn raw(self) -> u32 {
        self.0
    }

    pub(crate) fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

impl Tree {
    pub(crate) const ROOT: NodeId = NodeId(0);

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a node. The first one is the root; telling its parent about it is the caller's part.
    pub(crate) fn push(&mut self, value: Value, span: Range<usize>, place: Place) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { value, span, place, faulty: false });
        id
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    pub(crate) fn value(&self, id: NodeId) -> &Value {
        &self.node(id).value
    }

    /// The children of a mapping with their keys; nothing for anything else.
    pub(crate) fn entries(&self, id: NodeId) -> impl DoubleEndedIterator<Item = (&str, NodeId)> {
        let children: &[NodeId] = match self.value(id) {
            Value::Map(children) => children,
            _ => &[],
        };
        children.iter().map(|child| (self.key(*child).unwrap_or_default(), *child))
    }

    /// The items of a sequence; nothing for anything else.
    pub(crate) fn items(&self, id: NodeId) -> &[NodeId] {
        match self.value(id) {
            Value::Seq(items) => items,
            _ => &[],
        }
    }

    /// The value below a key.
    pub(crate) fn get(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.entries(id).find(|(name, _)| *name == key).map(|(_, child)| child)
    }

    /// The key that a node is the value of.
    pub(crate) fn key(&self, id: NodeId) -> Option<&str> {
        match &self.node(id).place {
            Place::Key { key, .. } => Some(key),
            Place::Root | Place::Item { .. } => None,
        }
    }

    pub(crate) fn text(&self, id: NodeId) -> Option<&str> {
        match self.value(id) {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn mark_faulty(&mut self, id: NodeId) {
        self.node_mut(id).faulty = true;
    }

    /// Whether a mistake was found in a node or below it.
    pub(crate) fn any_faulty(&self, id: NodeId) -> bool {
        let node = self.node(id);
        node.faulty
            || match &node.value {
                Value::Seq(children) | Value::Map(children) => {
                    children.iter().any(|child| self.any_faulty(*child))
                }
                _ => false,
            }
    }

    /// `spec.dependsOn[0].name`; empty for the root.
    pub(crate) fn path(&self, id: NodeId) -> String {
        let mut steps = Vec::new();
        let mut at = id;
        loop {
            match &self.node(at).place {
                Place::Root => break,
                place @ Place::Key { parent, .. } | place @ Place::Item { parent, .. } => {
                    steps.push(place);
                    at = *parent;
                }
            }
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Place::Root => {}
                Place::Item { index, .. } => {
                    let _ = write!(path, "[{index}]");
                }
                Place::Key { key, .. } => push_key(&mut path, key),
            }
        }
        path
    }

    /// The node that a path inside `from` means, or the nearest one above it that is there.
    pub(crate) fn locate(&self, from: NodeId, path: &str) -> NodeId {
        let mut at = from;
        for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
            let index = step.parse().ok();
            let item = index.and_then(|index: usize| self.items(at).get(index).copied());
            match item.or_else(|| self.get(at, step)) {
                Some(child) => at = child,
                None => break,
            }
        }
        at
    }

    /// The value for `serde_json`, without what is null: in a manifest, that means left out.
    pub(crate) fn to_json(&self, id: NodeId) -> Json {
        self.json(id, &|_| true).unwrap_or_default()
    }

    /// The same without what is faulty, and without lists of which a part is faulty: their items' numbers
    /// would not be those of the file. Nothing where that is all.
    pub(crate) fn good_json(&self, id: NodeId) -> Option<Json> {
        self.json(id, &|node| !node.faulty)
    }

    fn json(&self, id: NodeId, good: &dyn Fn(&Node) -> bool) -> Option<Json> {
        if !good(self.node(id)) {
            return None;
        }
        Some(match self.value(id) {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => value.into(),
                (_, Ok(value)) => value.into(),
                _ => (*value as f64).into(),
            },
            Value::Float(value) => (*value).into(),
            Value::String(value) => value.clone().into(),
            Value::Seq(items) => items.iter().map(|item| self.json(*item, good)).collect::<Option<Json>>()?,
            Value::Map(_) => self
                .entries(id)
                .filter(|(_, child)| *self.value(*child) != Value::Null)
                .filter_map(|(key, child)| Some((key.to_owned(), self.json(child, good)?)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        })
    }

    /// A tree without places, to check what did not come from a file.
    pub(crate) fn from_json(json: &Json) -> Self {
        let mut tree = Self::default();
        tree.graft(json, Place::Root);
        tree
    }

    fn graft(&mut self, json: &Json, place: Place) -> NodeId {
        let leaf = match json {
            Json::Null | Json::Array(_) | Json::Object(_) => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::String(value) => Value::String(value.clone()),
            Json::Number(number) => match number.as_i128() {
                Some(value) => Value::Int(value),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
        };
        let id = self.push(leaf, 0..0, place);
        if let Json::Array(items) = json {
            let items = items.iter().enumerate();
            let items =
                items.map(|(index, item)| self.graft(item, Place::Item { parent: id, index })).collect();
            self.node_mut(id).value = Value::Seq(items);
        } else if let Json::Object(entries) = json {
            let entry = |(key, item): (&String, &Json)| {
                self.graft(item, Place::Key { parent: id, key: key.clone(), span: 0..0 })
            };
            let entries = entries.iter().map(entry).collect();
            self.node_mut(id).value = Value::Map(entries);
        }
        id
    }
}

/// Adds a key to a path, in brackets where a dot would not tell it apart.
pub(crate) fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
    if !plain {
        let _ = write!(path, "[{key:?}]");
    } else if path.is_empty() {
        path.push_str(key);
    } else {
        let _ = write!(path, ".{key}");
    }
}

impl Value {
    /// `a string`, as in "expected an integer, found a string".
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Seq(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// The value as a message shows it: short, on one line; nothing for what has parts.
    pub(crate) fn show(&self) -> Option<String> {
        match self {
            Self::Null => Some("null".to_owned()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Int(value) => Some(value.to_string()),
            Self::Float(value) if value.is_nan() => Some(".nan".to_owned()),
            Self::Float(value) if value.is_infinite() => {
                Some(if *value > 0.0 { ".inf" } else { "-.inf" }.to_owned())
            }
            Self::Float(value) if value.abs() >= 1e16 => Some(format!("{value:e}")),
            Self::Float(value) => Some(value.to_string()),
            Self::String(value) => Some(quote(value)),
            Self::Seq(_) | Self::Map(_) => None,
        }
    }
}

/// A string in quotes, cut where it gets too long to read.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{:?}", format!("{}…", &text[..cut])),
        None => format!("{text:?}"),
    }
}
