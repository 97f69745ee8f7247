//! One document: is it a component, does it fit the schema, and what does it say?

use serde_json::Value as Json;
use vitald_core::registry::Registry;
use vitald_core::spec::ComponentSpec;

use crate::check::{check, place_of};
use crate::files::File;
use crate::mistake::{Code, Mistake};
use crate::model::Modeller;
use crate::nearest::nearest;
use crate::read::is_empty;
use crate::schema::{API_VERSION, KIND};
use crate::tree::{NodeId, Tree, Value};
use crate::typed;
use crate::types::{Metadata, Spec};

/// What became of one document.
pub(crate) struct Document {
    /// Which file it is in.
    pub(crate) file: usize,
    /// Whether there are others in that file.
    pub(crate) several: bool,
    pub(crate) tree: Tree,
    /// The component's name, even one that is no good.
    pub(crate) name: Option<String>,
    /// What could be read; the whole of it where there is no mistake.
    pub(crate) spec: Option<Spec>,
    pub(crate) model: Option<ComponentSpec>,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Document {
    /// Reads a document by itself; what it has to do with others comes later.
    pub(crate) fn examine(
        tree: Tree,
        (index, file): (usize, &File),
        several: bool,
        schema: &Json,
        registry: &Registry,
    ) -> Self {
        let mut document =
            Self { file: index, several, tree, name: None, spec: None, model: None, mistakes: Vec::new() };
        document.name = document.name_node().and_then(|id| document.tree.text(id)).map(str::to_owned);
        let text = &file.source.text;
        if let Some(mistake) = document.not_a_component(text) {
            document.mistakes.push(mistake);
            return document;
        }
        let refused = registry.refused();
        document.mistakes = check(&mut document.tree, Tree::ROOT, (schema, schema), text, refused);
        document.understand(file, registry);
        document
    }

    /// Where the name stands.
    pub(crate) fn name_node(&self) -> Option<NodeId> {
        self.tree.get(self.tree.get(Tree::ROOT, "metadata")?, "name")
    }

    /// Where something in the spec stands.
    pub(crate) fn spec_node(&self, field: &str) -> Option<NodeId> {
        self.tree.get(self.tree.get(Tree::ROOT, "spec")?, field)
    }

    fn not_a_component(&self, text: &str) -> Option<Mistake> {
        let root = self.tree.value(Tree::ROOT);
        let span = self.tree.node(Tree::ROOT).span.clone();
        if is_empty(&self.tree) {
            let mistake =
                nothing(if self.several { "an empty document" } else { "there is nothing in this file" });
            return Some(mistake.at(span));
        }
        if !matches!(root, Value::Map(_)) {
            let message = format!("expected a mapping, found {}", root.kind());
            let place = place_of(&self.tree, text, Tree::ROOT);
            return Some(Mistake::new(Code::Invalid, String::new(), message).at(place).help(beginning()));
        }
        self.foreign("apiVersion", API_VERSION).or_else(|| self.foreign("kind", KIND))
    }

    /// A document of another kind has one mistake, not one in each field.
    fn foreign(&self, field: &str, expected: &str) -> Option<Mistake> {
        let id = self.tree.get(Tree::ROOT, field)?;
        let value = self.tree.text(id)?;
        if value == expected || nearest(value, [expected]).is_some() {
            return None;
        }
        let path = self.tree.path(id);
        let message = format!("unsupported value {}: expected {expected}", crate::tree::quote(value));
        Some(
            Mistake::new(Code::Unsupported, path, message)
                .at(self.tree.node(id).span.clone())
                .label(format!("expected {expected}"))
                .help(format!("vitald reads `apiVersion: {API_VERSION}` with `kind: {KIND}`")),
        )
    }

    fn understand(&mut self, file: &File, registry: &Registry) {
        let tree = &self.tree;
        let read = |field: &str| tree.get(Tree::ROOT, field).filter(|id| !self_is_scalar(tree, *id));
        let metadata = read("metadata").map(|id| (id, typed::read::<Metadata>(tree, id)));
        let spec = read("spec").map(|id| (id, typed::read::<Spec>(tree, id)));
        let mut mistakes = Vec::new();
        let mut good = |id: NodeId, err: serde::de::value::Error| {
            // The schema lets pass what the types do not: say so rather than go on without it.
            if !tree.any_faulty(id) {
                let mistake = Mistake::new(Code::Invalid, tree.path(id), err.to_string());
                mistakes.push(mistake.at(place_of(tree, &file.source.text, id)));
            }
        };
        let metadata = metadata.and_then(|(id, read)| read.map_err(|err| good(id, err)).ok());
        let spec = spec.and_then(|(id, read)| read.map_err(|err| good(id, err)).ok());
        let mut modeller = Modeller { tree, file, registry, mistakes };
        if let Some(metadata) = &metadata {
            modeller.name(metadata);
        }
        if let Some(spec) = &spec {
            self.model = Some(modeller.component(metadata.as_ref(), spec));
        }
        self.mistakes.append(&mut modeller.mistakes);
        self.spec = spec;
    }
}

/// What is said where a document should be.
pub(crate) fn nothing(what: &str) -> Mistake {
    Mistake::new(Code::Empty, String::new(), what).help(beginning())
}

fn beginning() -> String {
    format!("a manifest begins with `apiVersion: {API_VERSION}` and `kind: {KIND}`")
}

fn self_is_scalar(tree: &Tree, id: NodeId) -> bool {
    !matches!(tree.value(id), Value::Map(_))
}
