//! The kinds of component, and which fields mean nothing to which of them.

use serde_json::{Map, Value as Json, json};
use vitald_core::spec::ComponentKind as Kind;

use crate::check::key_of;
use crate::mistake::{Code, Mistake};
use crate::model::Modeller;
use crate::nearest::nearest;
use crate::tree::{NodeId, Tree, Value};

/// A field that means nothing to a kind of component, and why.
struct Rule {
    kind: Kind,
    field: &'static str,
    why: &'static str,
}

const fn rule(kind: Kind, field: &'static str, why: &'static str) -> Rule {
    Rule { kind, field, why }
}

const NO_IMAGE: &str = "there is no `image` to pull";
const SEES_ALL: &str = "only a container has volumes, a process sees the files of this machine";
const OTHERS_SAY: &str = "whoever starts it settles that, not vitald";

/// Fields of `spec`.
const RULES: &[Rule] = &[
    rule(Kind::Process, "imagePullPolicy", NO_IMAGE),
    rule(Kind::Process, "hostNetwork", "a native process has the machine's own network anyway"),
    rule(Kind::Process, "volumeMounts", SEES_ALL),
    rule(Kind::Process, "volumes", SEES_ALL),
    rule(
        Kind::Container,
        "inheritEnv",
        "a container gets nothing of the supervisor's environment; name in `env` what it needs",
    ),
    rule(Kind::Container, "external", "only one is allowed, and there is an `image` already"),
    rule(
        Kind::External,
        "command",
        "`external` is what others start; a command to start it is `external.startCommand`",
    ),
    rule(Kind::External, "args", "there is no `command` that they could belong to"),
    rule(Kind::External, "imagePullPolicy", NO_IMAGE),
    rule(Kind::External, "hostNetwork", "only a container has a network of its own"),
    rule(Kind::External, "volumeMounts", SEES_ALL),
    rule(Kind::External, "volumes", SEES_ALL),
    rule(Kind::External, "securityContext", OTHERS_SAY),
    rule(Kind::External, "resources", OTHERS_SAY),
];

/// Fields of an item of `ports`.
const PORT_RULES: &[Rule] = &[
    rule(Kind::Process, "hostPort", "a native process listens on its `containerPort` itself"),
    rule(Kind::Process, "hostIP", "only a container's port is published on an address"),
    rule(Kind::External, "hostPort", "it listens on its `containerPort` itself"),
    rule(Kind::External, "hostIP", "only a container's port is published on an address"),
];

impl Modeller<'_> {
    /// What kind of component a spec means, by which field is there, as far as it says so.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let spec = self.tree.get(Tree::ROOT, "spec")?;
        let has = |field: &str| self.tree.get(spec, field).is_some();
        match () {
            () if has("image") => Some(Kind::Container),
            () if has("external") => Some(Kind::External),
            () if has("command") => Some(Kind::Process),
            () => None,
        }
    }

    /// Tells the fields that mean nothing to this kind of component.
    pub(crate) fn fields_of(&mut self, kind: Kind) {
        let Some(spec) = self.tree.get(Tree::ROOT, "spec") else { return };
        if kind == Kind::Process && self.may_be_no_process() {
            return;
        }
        self.apply(RULES, kind, spec);
        let ports = self.tree.get(spec, "ports").map(|ports| self.tree.items(ports).to_vec());
        for port in ports.unwrap_or_default() {
            self.apply(PORT_RULES, kind, port);
        }
    }

    /// Whether the field that would say so may be a misspelt one.
    pub(crate) fn may_be_no_process(&self) -> bool {
        let misspelt = |key: &str| nearest(key, ["image", "external"]).is_some();
        let Some(spec) = self.tree.get(Tree::ROOT, "spec") else { return true };
        self.tree.entries(spec).any(|(key, node)| self.tree.node(node).faulty && misspelt(key))
    }

    fn apply(&mut self, rules: &[Rule], kind: Kind, map: NodeId) {
        for rule in rules.iter().filter(|rule| rule.kind == kind) {
            let node = self.tree.get(map, rule.field);
            let Some(node) = node.filter(|node| *self.tree.value(*node) != Value::Null) else { continue };
            let message = format!("forbidden: {}", rule.why);
            let mistake = Mistake::new(Code::Forbidden, self.tree.path(node), message);
            self.mistakes.push(mistake.at(key_of(self.tree, node)).label("must not be here"));
        }
    }
}

/// The same rules for editors.
pub(crate) fn schema() -> Json {
    let has = |field: &str| json!({ "required": [field] });
    let nothing = |rules: &[Rule], kind| -> Map<String, Json> {
        let of_kind = rules.iter().filter(|rule| rule.kind == kind);
        of_kind.map(|rule| (rule.field.to_owned(), json!({ "type": "null" }))).collect()
    };
    let rules = |kind, condition: Json| {
        let mut properties = nothing(RULES, kind);
        let ports = nothing(PORT_RULES, kind);
        if !ports.is_empty() {
            let ports = json!({ "type": ["array", "null"], "items": { "properties": ports } });
            properties.insert("ports".to_owned(), ports);
        }
        json!({ "if": condition, "then": { "properties": properties } })
    };
    json!([
        rules(Kind::Process, json!({ "not": { "anyOf": [has("image"), has("external")] } })),
        rules(Kind::Container, has("image")),
        rules(Kind::External, json!({ "required": ["external"], "not": has("image") })),
    ])
}
