//! What the components themselves wrote down: `vitald-fixture traced DIR …`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Pid, eventually};

/// The accounts in one folder.
#[derive(Debug, Clone)]
pub struct Traces {
    dir: PathBuf,
}

/// One line of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Milliseconds since the boot.
    pub at: u64,
    /// `start`, `term`, `end`, `child`, `doubled`, `leftover` and so on.
    pub what: String,
    /// Who wrote it.
    pub pid: Pid,
    /// `VITALD_RUN`; 0 for a child.
    pub run: u64,
    /// The rest of the line.
    pub more: String,
}

impl Traces {
    /// Those that components write into this folder.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Its path, to be given to components.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What one component wrote so far. A line that is being written may be there in part: the kernel shows an append
    /// page by page.
    pub fn of(&self, name: &str) -> Vec<Mark> {
        let text = fs::read_to_string(self.dir.join(format!("{name}.trace"))).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| parse(line).unwrap_or_else(|| panic!("{name}: {line:?}"))).collect()
    }

    /// Its lines of one kind.
    pub fn all(&self, name: &str, what: &str) -> Vec<Mark> {
        self.of(name).into_iter().filter(|mark| mark.what == what).collect()
    }

    /// How often it was started.
    pub fn starts(&self, name: &str) -> usize {
        self.all(name, "start").len()
    }

    /// Polls until there are so many lines of one kind; gives them.
    #[track_caller]
    pub fn wait(&self, name: &str, what: &str, count: usize, within: Duration) -> Vec<Mark> {
        eventually(
            &format!("{count} times `{what}` in the trace of {name}"),
            within,
            || Some(self.all(name, what)).filter(|found| found.len() >= count),
            || self.told(name),
        )
    }

    /// The account, for people.
    pub fn told(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(format!("{name}.trace"))).unwrap_or_default()
    }

    /// All accounts.
    pub fn everything(&self) -> BTreeMap<String, Vec<Mark>> {
        let entries =
            fs::read_dir(&self.dir).map(|dir| dir.flatten().collect::<Vec<_>>()).unwrap_or_default();
        let names = entries
            .iter()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".trace").map(str::to_owned));
        names.map(|name| (name.clone(), self.of(&name))).collect()
    }

    /// Panics if an instance met another one, or a child of an earlier one.
    #[track_caller]
    pub fn assert_never_doubled(&self) {
        for (name, marks) in self.everything() {
            let fault = marks.iter().find(|mark| mark.what == "doubled" || mark.what == "leftover");
            assert!(fault.is_none(), "{name}: {fault:?}\n{}", self.told(&name));
        }
    }
}

fn parse(line: &str) -> Option<Mark> {
    let mut words = line.splitn(5, ' ');
    Some(Mark {
        at: words.next()?.parse().ok()?,
        what: words.next()?.to_owned(),
        pid: Pid(words.next()?.parse().ok()?),
        run: words.next()?.parse().unwrap_or(0),
        more: words.next().unwrap_or_default().to_owned(),
    })
}

/// The clock of the marks.
pub fn since_boot() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").expect("/proc is mounted");
    let seconds = uptime.split(' ').next().unwrap_or_default().replace('.', "");
    seconds.parse::<u64>().expect("hundredths of a second") * 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_not_there_yet() {
        let dir = tempfile::tempdir().unwrap();
        let traces = Traces::new(dir.path().to_owned());
        assert_eq!(traces.of("web"), []);
        let file = dir.path().join("web.trace");
        for (text, lines) in
            [("10 sta", 0), ("10 start 7 1 \n20 te", 1), ("10 start 7 1 \n20 term 7 1 \n", 2)]
        {
            fs::write(&file, text).unwrap();
            assert_eq!(traces.of("web").len(), lines, "{text:?}");
        }
    }
}
