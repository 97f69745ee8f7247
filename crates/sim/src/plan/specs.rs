//! Random components, from the whole range of what a manifest can say.

use std::collections::BTreeMap;
use std::time::Duration;

use vitald_core::check::Check;
use vitald_core::spec::{
    Backoff, ComponentSpec, Condition, Dependency, ExecAction, ProbeRole, ProbeSpec, ProcessSpec,
    RestartPolicy, RestartSpec, Workload,
};

use crate::dice::{Dice, MS, Nanos, SEC};

/// One random component. `names` are those that it may depend on, and whether each ends well by itself.
pub(crate) fn component(dice: &mut Dice, name: &str, job: bool, names: &[(String, bool)]) -> ComponentSpec {
    let restart_policy = match job {
        true => dice.pick(&[RestartPolicy::OnFailure, RestartPolicy::OnFailure, RestartPolicy::Never]),
        false => dice.pick(&[
            RestartPolicy::Always,
            RestartPolicy::Always,
            RestartPolicy::OnFailure,
            RestartPolicy::OnFailure,
            RestartPolicy::Never,
        ]),
    };
    let mut depends_on = vec![];
    for (name, job) in names {
        let ready = dice.pick(&[Condition::Started, Condition::Ready, Condition::Ready]);
        if dice.chance(350) {
            let condition = if *job { Condition::Completed } else { ready };
            depends_on.push(Dependency { name: name.clone(), condition });
        }
    }
    ComponentSpec {
        name: name.to_owned(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        workload: Workload::Process(process(name)),
        ports: vec![],
        depends_on,
        restart_policy,
        restart: restart(dice),
        termination_grace_period: span(dice, SEC / 2, 60 * SEC),
        post_start: hook(dice, 250),
        pre_stop: hook(dice, 250),
        startup_probe: probe(dice, ProbeRole::Startup, 400),
        liveness_probe: probe(dice, ProbeRole::Liveness, 650),
        readiness_probe: probe(dice, ProbeRole::Readiness, 600),
        logs: Default::default(),
    }
}

/// The same component after somebody has edited it.
pub(crate) fn edited(dice: &mut Dice, spec: &ComponentSpec, version: u64) -> ComponentSpec {
    let mut spec = spec.clone();
    match dice.below(8) {
        // A change that no run is made of.
        0 | 1 => {
            spec.labels.insert("version".into(), version.to_string());
        }
        2 => spec.restart = restart(dice),
        3 => spec.liveness_probe = probe(dice, ProbeRole::Liveness, 700),
        4 => spec.readiness_probe = probe(dice, ProbeRole::Readiness, 700),
        5 => spec.termination_grace_period = span(dice, SEC / 2, 60 * SEC),
        _ => {
            spec.workload = Workload::Process(ProcessSpec {
                command: vec![spec.name.clone(), version.to_string()],
                ..process(&spec.name)
            });
        }
    }
    spec
}

fn process(name: &str) -> ProcessSpec {
    ProcessSpec {
        command: vec![name.to_owned()],
        working_dir: "/".into(),
        env: vec![],
        env_from: vec![],
        inherit_env: false,
        run_as_user: None,
        run_as_group: None,
        no_new_privileges: false,
        open_files: None,
        memory_limit: None,
        cpu_limit_millis: None,
    }
}

fn restart(dice: &mut Dice) -> RestartSpec {
    let initial = if dice.chance(150) { Duration::ZERO } else { span(dice, SEC / 4, 30 * SEC) };
    let max = initial + if dice.chance(100) { Duration::ZERO } else { span(dice, SEC, 300 * SEC) };
    let multiplier = dice.pick(&[1.0, 1.5, 2.0, 2.0, 2.0, 3.0]);
    let jitter = dice.pick(&[0.0, 0.0, 0.0, 0.1, 0.5, 0.9]);
    RestartSpec {
        max_restarts: dice.pick(&[0, 1, 2, 3, 3, 5, 8, 10]),
        window: span(dice, 30 * SEC, 7200 * SEC),
        min_uptime: if dice.chance(100) { Duration::ZERO } else { span(dice, SEC, 1200 * SEC) },
        backoff: Backoff::try_new(initial, max, multiplier, jitter).unwrap_or_default(),
    }
}

fn probe(dice: &mut Dice, role: ProbeRole, per_mille: u64) -> Option<ProbeSpec> {
    if !dice.chance(per_mille) {
        return None;
    }
    let period = match role {
        ProbeRole::Startup => span(dice, SEC / 2, 20 * SEC),
        ProbeRole::Liveness | ProbeRole::Readiness if dice.chance(80) => span(dice, 10 * SEC, 120 * SEC),
        ProbeRole::Liveness | ProbeRole::Readiness => span(dice, 240 * SEC, 900 * SEC),
    };
    let check = Check::handler("pid", serde_json::Value::Null);
    let own_grace = role != ProbeRole::Readiness && dice.chance(200);
    Some(ProbeSpec {
        initial_delay: if dice.chance(600) { Duration::ZERO } else { span(dice, 100 * MS, 60 * SEC) },
        period,
        success_threshold: if role == ProbeRole::Readiness { dice.pick(&[1, 1, 2, 3]) } else { 1 },
        failure_threshold: match role {
            ProbeRole::Startup => dice.pick(&[1, 3, 5, 10, 30]),
            ProbeRole::Liveness | ProbeRole::Readiness => dice.pick(&[1, 2, 3, 3]),
        },
        termination_grace_period: own_grace.then(|| span(dice, SEC / 2, 30 * SEC)),
        ..ProbeSpec::new(role, check)
    })
}

fn hook(dice: &mut Dice, per_mille: u64) -> Option<ExecAction> {
    dice.chance(per_mille).then(|| ExecAction { command: vec!["hook".into()] })
}

fn span(dice: &mut Dice, low: Nanos, high: Nanos) -> Duration {
    Duration::from_nanos(dice.span(low, high))
}
