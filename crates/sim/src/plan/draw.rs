//! Draws what is to happen.

use super::{Death, Edit, Happening, Moment, Order, Spell, Trigger, What};
use crate::dice::{Dice, MS, Nanos, SEC};

/// Troubles come in clusters, so that one comes in the middle of another.
pub(super) fn happenings(mut dice: Dice, count: usize, calm_at: Nanos) -> Vec<Happening> {
    let mut all = vec![];
    for _ in 0..dice.range(2, 9) {
        let begin = dice.range(1, calm_at / SEC - 1) * SEC;
        let mut at = begin;
        for _ in 0..dice.range(1, 8) {
            at += dice.span(MS, 400 * SEC);
            if at < calm_at {
                all.push(Happening { at, what: what(&mut dice, count) });
            }
        }
    }
    all.sort_by_key(|happening| happening.at);
    all
}

fn what(dice: &mut Dice, count: usize) -> What {
    let of = dice.below(count as u64) as usize;
    match dice.below(100) {
        0..14 => What::Exit { of, code: dice.pick(&[0, 1, 1, 137]), oom: dice.chance(100) },
        14..38 => {
            let what =
                dice.pick(&[Spell::Sick, Spell::Unready, Spell::Blind, Spell::BadStarts, Spell::Crashes]);
            let lasts = match what {
                Spell::Sick | Spell::Unready | Spell::Blind => dice.span(60 * SEC, 5400 * SEC),
                Spell::BadStarts | Spell::Crashes => dice.span(SEC, 3600 * SEC),
            };
            What::Spell { of, what, lasts }
        }
        38..56 => {
            let on = if dice.chance(600) { 1 << of } else { dice.below(1 << count) as u8 };
            What::Order {
                what: dice.pick(&[Order::Start, Order::Start, Order::Stop, Order::Restart, Order::Reset]),
                on,
            }
        }
        56..60 => What::Down {
            kill: dice.chance(250).then(|| dice.span(MS, 20 * SEC)),
            back_after: dice.span(MS, 3600 * SEC),
        },
        60..68 => What::Edit {
            of,
            how: match dice.below(10) {
                0 => Edit::Remove,
                1 | 2 => Edit::Add,
                3 | 4 => Edit::ChangeAll(dice.below(1000)),
                _ => Edit::Change(dice.below(1000)),
            },
            apply: dice.chance(600),
        },
        68..88 => What::Death(death(dice)),
        88..91 => What::Reboot { power_loss: dice.chance(500), back_after: dice.span(SEC, 3600 * SEC) },
        91..95 => What::Sleep { lasts: dice.span(SEC, 10_000 * SEC) },
        _ => What::DiskFull { lasts: dice.span(SEC, 4000 * SEC) },
    }
}

fn death(dice: &mut Dice) -> Death {
    let moment = match dice.below(5) {
        0 => Moment::Between,
        1 => Moment::BeforeWrite,
        2 => Moment::AfterWrite,
        _ => Moment::AfterActions(dice.range(1, 3) as usize),
    };
    let trigger = dice.pick(&[
        Trigger::Any,
        Trigger::Start,
        Trigger::Spawned,
        Trigger::Stop,
        Trigger::Stop,
        Trigger::Ended,
        Trigger::Adoption,
        Trigger::Command,
    ]);
    let back_after = match dice.below(4) {
        0 => 0,
        1 => dice.span(MS, SEC),
        2 => dice.span(SEC, 120 * SEC),
        _ => dice.span(60 * SEC, 4 * 3600 * SEC),
    };
    Death { moment, trigger, back_after }
}
