//! Whatever somebody does to a log in whatever order: nobody reads a line twice, or in another order, or misses
//! one that is still there.

use std::fs::{self, File};
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::contextualize_config;
use vitald_log::{LogReader, Read, RotatingLog};

use crate::bed::{LINE, lines, open_append, rotating, settings, write};

#[derive(Debug, Clone)]
enum Act {
    Write(u64),
    Rotate,
    Restart,
    Die(usize),
    Follow,
    /// Who looks first afterwards: the keeper, or who follows; then so many lines are followed before the
    /// keeper looks.
    Truncate(bool, u64),
    /// Removed, and made again by the next run.
    Replace(bool, u64),
    /// The same while nobody keeps it.
    Unwatched(bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (1_u64..500).prop_map(Act::Write),
        4 => Just(Act::Rotate),
        1 => Just(Act::Restart),
        2 => (1_usize..12).prop_map(Act::Die),
        4 => Just(Act::Follow),
        2 => (any::<bool>(), 0_u64..40).prop_map(|(keeper_first, lines)| Act::Truncate(keeper_first, lines)),
        1 => (any::<bool>(), 0_u64..40).prop_map(|(keeper_first, lines)| Act::Replace(keeper_first, lines)),
        1 => any::<bool>().prop_map(Act::Unwatched),
    ];
    prop::collection::vec(act, 1..40)
}

/// The numbers of the lines that come next, up to the end. They ascend from `next`.
fn read_on(reader: &mut LogReader, next: &mut u64, who: &str) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut buffer = vec![0; LINE * 97];
    let mut bytes: Vec<u8> = Vec::new();
    for _ in 0..100_000 {
        match reader.read(&mut buffer).unwrap() {
            Read::Bytes(length) => bytes.extend_from_slice(&buffer[..length]),
            Read::Gone(_) | Read::Restarted => {}
            Read::End => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    let number = String::from_utf8_lossy(&line[..line.len().min(12)]).parse::<u64>();
                    let number =
                        number.unwrap_or_else(|_| panic!("{who}: {:?}", String::from_utf8_lossy(line)));
                    assert_eq!(line, lines('a', number..number + 1), "{who}: a line is not whole");
                    assert!(number >= *next, "{who}: {number} after {}", *next - 1);
                    *next = number + 1;
                    numbers.push(number);
                }
                return numbers;
            }
        }
    }
    panic!("{who}: it never ends");
}

struct Play {
    component: File,
    kept: Option<RotatingLog>,
    follower: LogReader,
    /// The next line to be written, and the next one that the follower may see.
    next: u64,
    followed: u64,
    /// What the follower has seen.
    seen: Vec<u64>,
    /// All from this line on is there.
    there: u64,
}

impl Play {
    fn keeper(&mut self) -> &mut RotatingLog {
        self.kept.as_mut().unwrap()
    }

    fn follow(&mut self, log: &Path) {
        let before = self.followed;
        let there = read_on(&mut LogReader::open(log).unwrap(), &mut 0, "who comes now");
        self.seen.extend(read_on(&mut self.follower, &mut self.followed, "follower"));
        self.check(&self.seen, "the follower");
        let is_missed = |number: &&u64| **number >= before && self.seen.binary_search(number).is_err();
        let missed = there.iter().find(is_missed);
        assert_eq!(missed, None, "the follower, at {before}, misses a line that is there");
    }

    /// What cannot have been lost has been seen.
    fn check(&self, seen: &[u64], who: &str) {
        let from = seen.partition_point(|number| *number < self.there);
        let there: Vec<_> = (self.there..self.next).collect();
        assert_eq!(seen[from..], there, "{who} misses lines");
    }

    fn act(&mut self, log: &Path, act: &Act) {
        match act {
            Act::Write(count) => self.write(*count),
            Act::Rotate => drop(self.keeper().rotate().unwrap()),
            Act::Restart => {
                self.kept = None;
                self.kept = Some(rotating(log, settings(8192, 1000)));
            }
            Act::Die(after) => {
                let mut dying = self.kept.take().unwrap();
                let (mut steps, after) = (0, *after);
                dying.on_step(move |_| {
                    steps += 1;
                    if steps == after {
                        std::panic::resume_unwind(Box::new("died"));
                    }
                });
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dying.rotate()));
                drop(dying);
                self.kept = Some(rotating(log, settings(8192, 1000)));
            }
            Act::Follow => self.follow(log),
            Act::Truncate(keeper_first, lines) => {
                self.keeper().look().unwrap();
                if *lines > 0 {
                    self.follow(log);
                }
                // What has become as long as it was when it was last looked at cannot be told from it.
                let shorter = self.component.metadata().unwrap().len().saturating_sub(1) / LINE as u64;
                self.component.set_len(0).unwrap();
                self.there = self.next;
                self.look(log, *keeper_first, shorter.min(*lines));
            }
            Act::Replace(keeper_first, lines) => {
                self.keeper().look().unwrap();
                fs::remove_file(log).unwrap();
                self.component = open_append(log);
                self.there = self.next;
                self.look(log, *keeper_first, *lines);
            }
            Act::Unwatched(truncate) => {
                self.kept = None;
                match truncate {
                    true => self.component.set_len(0).unwrap(),
                    false => fs::remove_file(log).unwrap(),
                }
                self.component = open_append(log);
                self.there = self.next;
                self.follow(log);
                self.kept = Some(rotating(log, settings(8192, 1000)));
                self.keeper().look().unwrap();
            }
        }
    }

    fn write(&mut self, count: u64) {
        write(&mut self.component, &lines('a', self.next..self.next + count));
        self.next += count;
    }

    fn look(&mut self, log: &Path, keeper_first: bool, lines: u64) {
        if !keeper_first {
            self.follow(log);
            self.write(lines);
            self.follow(log);
        }
        self.keeper().look().unwrap();
    }
}

fn play(folder: &Path, acts: &[Act]) {
    let log = folder.join("web.log");
    let component = open_append(&log);
    let kept = Some(rotating(&log, settings(8192, 1000)));
    let follower = LogReader::open(&log).unwrap();
    let mut play = Play { component, kept, follower, next: 0, followed: 0, seen: Vec::new(), there: 0 };
    for act in acts {
        play.act(&log, act);
        let seen = read_on(&mut LogReader::open(&log).unwrap(), &mut 0, "who comes later");
        play.check(&seen, "who comes later");
    }
    write(&mut play.component, &lines('a', play.next..play.next + 3));
    play.next += 3;
    play.follow(&log);
}

#[test]
fn no_line_is_read_twice_or_missed() {
    for bed in crate::bed::beds() {
        // As the macro does, so that a hunt can ask for more.
        let mut config = contextualize_config(ProptestConfig::with_cases(96));
        config.failure_persistence = None;
        proptest::test_runner::TestRunner::new(config)
            .run(&acts(), |acts| {
                let folder = tempfile::tempdir_in(bed.path()).unwrap();
                play(folder.path(), &acts);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn what_a_reader_saw_begin_again_begins_once_more() {
    for bed in crate::bed::beds() {
        use Act::{Follow, Replace, Rotate, Truncate, Unwatched, Write};
        for acts in [
            vec![Write(2), Truncate(false, 1)],
            vec![
                Write(1),
                Follow,
                Unwatched(true),
                Write(1),
                Follow,
                Rotate,
                Write(2),
                Truncate(true, 0),
                Write(2),
            ],
            // What has been archived in between comes first.
            vec![Write(129), Rotate, Unwatched(false)],
            vec![Replace(false, 1), Write(128), Rotate, Replace(false, 0)],
            vec![Replace(false, 0), Write(129), Rotate, Replace(true, 0)],
            vec![Replace(false, 1), Replace(true, 0), Write(129), Rotate, Replace(true, 0)],
        ] {
            let folder = tempfile::tempdir_in(bed.path()).unwrap();
            play(folder.path(), &acts);
        }
    }
}
