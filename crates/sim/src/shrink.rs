//! Makes a day shorter, as long as what is to be shown by it still happens.

use crate::plan::{Plan, What};

/// How many days are tried at most.
const TRIES: usize = 3000;

/// A shorter day of which `shows` holds, as it does of this one.
pub fn shrunk(plan: &Plan, shows: impl Fn(&Plan) -> bool) -> Plan {
    let mut tries = TRIES;
    let mut best = plan.clone();
    let mut attempt = |best: &mut Plan, candidate: Plan| {
        if tries == 0 {
            return false;
        }
        tries -= 1;
        let shown = shows(&candidate);
        if shown {
            *best = candidate;
        }
        shown
    };
    for _round in 0..4 {
        let before = size(&best);
        // Happenings, first many at once.
        let mut chunk = best.happenings.len().max(1);
        while chunk > 0 {
            let mut from = 0;
            while from < best.happenings.len() {
                let mut candidate = best.clone();
                let to = (from + chunk).min(best.happenings.len());
                candidate.happenings.drain(from..to);
                if !attempt(&mut best, candidate) {
                    from += chunk;
                }
            }
            chunk /= 2;
        }
        // Components that nothing left mentions.
        for of in 0..best.specs.len() {
            if best.present[of] {
                let mut candidate = best.clone();
                candidate.present[of] = false;
                candidate.happenings.retain(|happening| !concerns(&happening.what, of));
                attempt(&mut best, candidate);
            }
        }
        for tame in 0..11 {
            let mut candidate = best.clone();
            let wild = &mut candidate.wild;
            let levels = [
                &mut wild.bad_start,
                &mut wild.short_life,
                &mut wild.ignores_term,
                &mut wild.leftovers,
                &mut wild.bad_hook,
                &mut wild.never_starts,
                &mut wild.unknown,
                &mut wild.failure,
                &mut wild.lost,
                &mut wild.late,
                &mut wild.overload,
            ];
            let level = levels.into_iter().nth(tame).map(std::mem::take);
            if level.is_some_and(|level| level > 0) {
                attempt(&mut best, candidate);
            }
        }
        for of in 0..best.specs.len() {
            for part in 0..6 {
                let mut candidate = best.clone();
                let spec = &mut candidate.specs[of];
                match part {
                    0 => spec.startup_probe = None,
                    1 => spec.liveness_probe = None,
                    2 => spec.readiness_probe = None,
                    3 => spec.post_start = None,
                    4 => spec.pre_stop = None,
                    _ => spec.depends_on.clear(),
                }
                if candidate.specs[of] != best.specs[of] {
                    attempt(&mut best, candidate);
                }
            }
        }
        if size(&best) == before {
            break;
        }
    }
    best
}

fn size(plan: &Plan) -> (usize, usize) {
    (plan.happenings.len(), plan.present.iter().filter(|present| **present).count())
}

fn concerns(what: &What, component: usize) -> bool {
    match what {
        What::Exit { of, .. } | What::Spell { of, .. } | What::Edit { of, .. } => *of == component,
        What::Order { on, .. } => *on == 1 << component,
        What::Down { .. }
        | What::Death(_)
        | What::Reboot { .. }
        | What::Sleep { .. }
        | What::DiskFull { .. } => false,
    }
}
