//! Whether `/proc` tells of our own pid namespace: pid_namespaces(7).

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// What to do about it.
const REMEDY: &str = "mount that of our own namespace over it, as `unshare --mount-proc` does: \
                      mount -t proc proc /proc";

/// Checks that the numbers in `/proc` are those by which we know and signal processes. Looked at once.
///
/// # Errors
/// They are others', so that a pid here is a stranger's there, or there is no `/proc`: in a sentence, with what to
/// do.
pub fn check_own() -> io::Result<()> {
    static TROUBLE: OnceLock<Option<String>> = OnceLock::new();
    let look = || trouble(Path::new("/proc"), std::process::id());
    TROUBLE.get_or_init(look).as_ref().map_or(Ok(()), |why| Err(io::Error::other(why.clone())))
}

fn trouble(proc: &Path, own: u32) -> Option<String> {
    let shown = proc.display();
    let link = proc.join("self");
    let called = match fs::read_link(&link) {
        Ok(called) => called,
        Err(err) if fs::symlink_metadata(&link).is_err() => {
            return Some(format!("{shown} shows no processes ({}: {err}); {REMEDY}", link.display()));
        }
        Err(_) => return Some(format!("{shown} shows a pid namespace that we are not in; {REMEDY}")),
    };
    // By chance, both numbers may be the same: one for each namespace from theirs down to ours.
    let status = fs::read_to_string(link.join("status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let is_one = numbers.is_none_or(|numbers| numbers.split_ascii_whitespace().count() <= 1);
    (called.to_str() != Some(own.to_string().as_str()) || !is_one).then(|| {
        let called = called.display();
        format!("{shown} shows another pid namespace, where process {own} is called {called}; {REMEDY}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` that calls us so, with these lines in our status.
    fn told(called: &str, status: Option<&str>) -> Option<String> {
        let proc = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(called, proc.path().join("self")).unwrap();
        if let Some(status) = status {
            fs::create_dir(proc.path().join(called)).unwrap();
            fs::write(proc.path().join(called).join("status"), status).unwrap();
        }
        trouble(proc.path(), 42)
    }

    #[test]
    fn ours_is_fine() {
        check_own().unwrap();
        assert_eq!(told("42", Some("Name:\tx\nNSpid:\t42\nNSpgid:\t42\n")), None);
        // Kernels without namespaces, and such as do not tell.
        assert_eq!(told("42", Some("Name:\tx\n")), None);
        assert_eq!(told("42", None), None);
    }

    #[test]
    fn another_one_is_told_with_what_to_do() {
        let theirs = told("4711", Some("NSpid:\t4711\t42\n")).unwrap();
        assert!(theirs.contains("where process 42 is called 4711; mount that of our own"), "{theirs}");
        assert!(told("42", Some("NSpid:\t42\t42\n")).is_some(), "the same number by chance");
        let empty = tempfile::tempdir().unwrap();
        let none = trouble(empty.path(), 42).unwrap();
        assert!(none.contains("shows no processes") && none.contains("mount -t proc"), "{none}");
    }
}
