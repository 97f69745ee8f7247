//! The numbers of the older files: `.1` is the newest.

use std::fs;
use std::io;

use crate::names::Names;

/// Gives a finished draft the number 1, and those before it the next higher one, up to the first number that
/// is free: with `keep` numbers in use, the oldest file goes first.
///
/// What is to be done is seen from what is there. Interrupted anywhere and called again, it goes on; without
/// a draft it does nothing but remove what has a number above `keep`.
pub(crate) fn shift(names: &Names, keep: u32, mut step: impl FnMut()) -> io::Result<()> {
    for number in names.numbers()?.into_iter().rev().filter(|number| *number > keep) {
        remove(names, number)?;
    }
    if keep == 0 || !exists(names, 0)? {
        return Ok(());
    }
    let mut free = keep;
    for number in 1..=keep {
        if !exists(names, number)? {
            free = number;
            break;
        }
        if number == keep {
            remove(names, keep)?;
            step();
        }
    }
    for number in (0..free).rev() {
        fs::rename(names.archive(number), names.archive(number + 1))?;
        step();
    }
    Ok(())
}

/// Removes an older file; one that is not there is no mistake.
pub(crate) fn remove(names: &Names, number: u32) -> io::Result<()> {
    match fs::remove_file(names.archive(number)) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn exists(names: &Names, number: u32) -> io::Result<bool> {
    match fs::symlink_metadata(names.archive(number)) {
        Ok(_) => Ok(true),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn folder(files: &[&str]) -> (tempfile::TempDir, Names) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let (name, text) = file.split_once('=').unwrap();
            fs::write(dir.path().join(format!("web.log.{name}")), text).unwrap();
        }
        let names = Names::new(&dir.path().join("web.log"));
        (dir, names)
    }

    fn listed(names: &Names) -> String {
        let text = |number| fs::read_to_string(names.archive(number)).unwrap();
        let found = names.archives(0).unwrap();
        found
            .iter()
            .map(|f| format!("{}={} ", f.number, text(f.number)))
            .collect::<String>()
            .trim_end()
            .to_owned()
    }

    #[test]
    fn the_draft_becomes_the_newest() {
        for (before, keep, after) in [
            (&["draft=d"][..], 3, "1=d"),
            (&["draft=d", "1=a", "2=b"], 3, "1=d 2=a 3=b"),
            (&["draft=d", "1=a", "2=b", "3=c"], 3, "1=d 2=a 3=b"),
            (&["draft=d", "1=a", "3=c"], 3, "1=d 2=a 3=c"),
            (&["draft=d", "1=a", "2=b", "3=c", "4=x", "9=y"], 2, "1=d 2=a"),
            (&["1=a", "2=b"], 2, "1=a 2=b"),
            (&["1=a", "2=b"], 0, ""),
        ] {
            let (_dir, names) = folder(before);
            shift(&names, keep, || {}).unwrap();
            assert_eq!(listed(&names), after, "{before:?}, keeping {keep}");
        }
    }

    #[test]
    fn interrupted_anywhere_it_is_finished_the_next_time() {
        for stop in 1..=5 {
            let (_dir, names) = folder(&["draft=d", "1=a", "2=b", "3=c"]);
            let mut steps = 0;
            let interrupted = catch_unwind(AssertUnwindSafe(|| {
                shift(&names, 3, || {
                    steps += 1;
                    assert!(steps != stop, "stopped here");
                })
            }));
            assert_eq!(interrupted.is_err(), stop <= 4);
            shift(&names, 3, || {}).unwrap();
            assert_eq!(listed(&names), "1=d 2=a 3=b", "stopped at {stop}");
        }
    }
}
