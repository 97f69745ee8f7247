//! Probes of a document: their checks, built once to see whether they can be, and their timing.

use vitald_core::check::Check;
use vitald_core::probe::{ComponentContext, SpecError, SpecErrorKind};
use vitald_core::registry::Isolation;
use vitald_core::spec::{ProbeRole, ProbeSpec};

use crate::check::{key_of, place_of};
use crate::mistake::{Code, Mistake};
use crate::model::{Modeller, seconds};
use crate::nearest::{did_you_mean, list, nearest};
use crate::scalar;
use crate::schema::{COMBINATORS, ISOLATION};
use crate::tree::{NodeId, Tree, Value, push_key};
use crate::typed::{self, Unread};
use crate::types::Timing;

impl Modeller<'_> {
    /// The probe of a role, where its handler is all right.
    pub(crate) fn probe(
        &mut self,
        role: ProbeRole,
        probe: Option<&Unread>,
        context: &ComponentContext,
    ) -> Option<ProbeSpec> {
        let probe = probe?;
        let timing = typed::read::<Timing>(self.tree, probe.id).unwrap_or_default();
        let check = self.check(probe.id, context)?;
        let default = ProbeSpec::new(role, check);
        let second = |value: Option<f64>, default: std::time::Duration| seconds(value, default.as_secs());
        let timeout = timing.timeout_seconds.as_ref();
        let period = timing.period_seconds.as_ref();
        Some(ProbeSpec {
            initial_delay: second(timing.initial_delay_seconds, default.initial_delay),
            period: second(period.map(|period| period.value), default.period),
            timeout: second(timeout.map(|timeout| timeout.value), default.timeout),
            success_threshold: timing.success_threshold.unwrap_or(default.success_threshold),
            failure_threshold: timing.failure_threshold.map_or(default.failure_threshold, |t| t.value),
            termination_grace_period: timing
                .termination_grace_period_seconds
                .map(|grace| seconds(Some(grace), 0)),
            check: default.check,
        })
    }

    fn check(&mut self, id: NodeId, context: &ComponentContext) -> Option<Check> {
        let tree = self.tree;
        let mut chosen = tree
            .entries(id)
            .filter(|(key, _)| COMBINATORS.contains(key) || self.registry.schema(key).is_some());
        let (key, node) = chosen.next()?;
        let isolation = self.isolation(id, key);
        match key {
            "allOf" => self.checks(node, context).map(Check::AllOf),
            "anyOf" => self.checks(node, context).map(Check::AnyOf),
            "atLeast" => self.at_least(node, context),
            key => {
                let isolation = isolation?;
                let check = self.handler(key, node, context, isolation)?;
                match isolation.is_default() || self.may_be_isolated_so(id, &check, context) {
                    true => Some(check),
                    false => None,
                }
            }
        }
    }

    /// Whether a custom probe can be built to run where it is to, which not every library allows.
    fn may_be_isolated_so(&mut self, id: NodeId, check: &Check, context: &ComponentContext) -> bool {
        let Err(err) = check.build(self.registry, context, &|_, probe| probe) else { return true };
        let id = self.tree.get(id, ISOLATION).unwrap_or(id);
        let value = self.tree.value(id).show().unwrap_or_default();
        let message = format!("invalid value {value}: {}", err.message);
        self.mistakes.push(self.at(Code::Invalid, id, message).label(err.message));
        false
    }

    /// Where a probe's code is to run; `None` where that is wrong, or must not be said.
    fn isolation(&mut self, id: NodeId, beside: &str) -> Option<Isolation> {
        let node = self.tree.get(id, ISOLATION);
        let Some(node) = node.filter(|node| *self.tree.value(*node) != Value::Null) else {
            return Some(Isolation::default());
        };
        if self.registry.is_custom(beside) {
            return match self.tree.text(node).filter(|_| !self.tree.node(node).faulty)? {
                "InProcess" => Some(Isolation::InProcess),
                _ => Some(Isolation::Process),
            };
        }
        let why = match COMBINATORS.contains(&beside) {
            true => "it belongs to the parts, beside each custom probe",
            false => "only the code of a custom probe can be isolated, a built-in one runs in the supervisor",
        };
        let message = format!("forbidden beside `{beside}`: {why}");
        let mistake = Mistake::new(Code::Forbidden, self.tree.path(node), message);
        self.mistakes.push(mistake.at(key_of(self.tree, node)).label("must not be here"));
        None
    }

    fn checks(&mut self, id: NodeId, context: &ComponentContext) -> Option<Vec<Check>> {
        let checks: Vec<_> = self.tree.items(id).iter().map(|item| self.check(*item, context)).collect();
        checks.into_iter().collect()
    }

    fn at_least(&mut self, id: NodeId, context: &ComponentContext) -> Option<Check> {
        let of = self.tree.get(id, "of")?;
        let checks = self.checks(of, context);
        let count = self.tree.get(id, "count").filter(|count| !self.tree.node(*count).faulty)?;
        let Value::Int(wanted) = *self.tree.value(count) else { return None };
        let length = self.tree.items(of).len();
        match usize::try_from(wanted) {
            Ok(wanted) if wanted <= length => Some(Check::AtLeast { count: wanted, of: checks? }),
            _ => {
                if length > 0 {
                    let rule = format!("must be at most {length}, the length of `of`");
                    self.invalid_number(count, &wanted.to_string(), &rule);
                }
                None
            }
        }
    }

    fn handler(
        &mut self,
        key: &str,
        id: NodeId,
        context: &ComponentContext,
        isolation: Isolation,
    ) -> Option<Check> {
        let config = match self.tree.good_json(id)? {
            serde_json::Value::Null => serde_json::json!({}),
            config => config,
        };
        let whole = !self.tree.any_faulty(id);
        match self.registry.validate(key, &config, context) {
            Ok(()) => whole.then(|| Check::Handler { key: key.to_owned(), config, isolation }),
            Err(err) => {
                let meant = self.tree.text(self.tree.locate(id, &err.path));
                let hidden = err.kind == SpecErrorKind::NotFound
                    && meant.is_some_and(|name| self.may_be_a_faulty_port(name));
                // What is missing from a part says nothing about the whole.
                if (whole || !err.path.is_empty()) && !hidden {
                    self.mistakes.push(spec_mistake(self.tree, &self.file.source.text, id, err));
                }
                None
            }
        }
    }

    /// Whether a port that is wrong itself may be the one of this name.
    fn may_be_a_faulty_port(&self, name: &str) -> bool {
        let tree = self.tree;
        let ports = tree.get(Tree::ROOT, "spec").and_then(|spec| tree.get(spec, "ports"));
        let may_be = |port: NodeId| {
            let fields: Vec<NodeId> = tree.entries(port).map(|(_, field)| field).collect();
            fields.is_empty()
                || tree.get(port, "name").is_some_and(|name| tree.node(name).faulty)
                || fields.iter().any(|field| tree.text(*field) == Some(name))
        };
        ports.is_some_and(|ports| {
            tree.node(ports).faulty
                || tree.items(ports).iter().any(|port| tree.any_faulty(*port) && may_be(*port))
        })
    }

    fn invalid_number(&mut self, id: NodeId, value: &str, rule: &str) {
        let mistake = self.at(Code::Invalid, id, format!("invalid value {value}: {rule}")).label(rule);
        self.mistakes.push(mistake);
    }
}

/// What a probe's own crate says about its configuration, at the field that it means.
fn spec_mistake(tree: &Tree, text: &str, handler: NodeId, err: SpecError) -> Mistake {
    let id = tree.locate(handler, &err.path);
    let mut path = tree.path(handler);
    for step in err.path.split('.').filter(|step| !step.is_empty()) {
        match step.split_once('[') {
            Some(("", rest)) => path = format!("{path}[{rest}"),
            Some((name, rest)) => {
                push_key(&mut path, name);
                path = format!("{path}[{rest}");
            }
            None => push_key(&mut path, step),
        }
    }
    let rule = err.message;
    let (code, message) = match err.kind {
        SpecErrorKind::Invalid => match tree.value(id).show() {
            Some(value) => (Code::Invalid, format!("invalid value {value}: {rule}")),
            None => (Code::Invalid, format!("invalid: {rule}")),
        },
        SpecErrorKind::NotFound => (Code::NotFound, format!("not found: {rule}")),
        SpecErrorKind::Required => (Code::Required, format!("required: {rule}")),
        SpecErrorKind::Forbidden => (Code::Forbidden, format!("forbidden: {rule}")),
    };
    let place = match err.kind {
        SpecErrorKind::Required | SpecErrorKind::Forbidden => key_of(tree, id),
        _ => place_of(tree, text, id),
    };
    let mistake = Mistake::new(code, path, message).at(place).label(rule);
    let known: Vec<&str> = err.known.iter().map(String::as_str).collect();
    let given = tree.text(id).unwrap_or_default();
    match (nearest(given, known.iter().copied()), scalar::resolve(given)) {
        // A name that is a number was meant to be that number.
        (_, Value::Int(1..=65535)) if err.kind == SpecErrorKind::NotFound => {
            let key = tree.key(id).unwrap_or_default();
            mistake.help(format!("remove the quotes: `{key}: {given}`"))
        }
        (Some(name), _) => mistake.help(did_you_mean(name)),
        (None, _) if !known.is_empty() => mistake.help(format!("known here: {}", list(&known, "and"))),
        _ => mistake,
    }
}
