//! How much memory the processes in a cgroup use together.

use std::fs;
use std::io;
use std::path::Path;

use super::is_gone;

/// Where the kernel tells it, and which of it are cached file pages that it would drop first: version 2 and 1.
const COUNTS: [(&str, &str); 2] =
    [("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file")];

/// Bytes in use, as the kubelet counts a working set: all but cached file pages that nobody has used lately.
/// `None` where this cgroup does not count memory, or has gone.
pub(super) fn working_set(dir: &Path) -> io::Result<Option<u64>> {
    for (usage, cached) in COUNTS {
        let used = match fs::read_to_string(dir.join(usage)) {
            Ok(text) => text.trim().parse::<u64>().map_err(io::Error::other)?,
            Err(err) if is_gone(&err) => continue,
            Err(err) => return Err(err),
        };
        let stat = fs::read_to_string(dir.join("memory.stat"))?;
        let cached = stat.lines().find_map(|line| line.strip_prefix(cached)?.trim().parse::<u64>().ok());
        return Ok(Some(used.saturating_sub(cached.unwrap_or(0))));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_files_that_nobody_uses_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        assert_eq!(working_set(dir.path()).unwrap(), None);
        write("memory.usage_in_bytes", "1000\n");
        write("memory.stat", "inactive_file 5\ntotal_active_file 100\ntotal_inactive_file 300\n");
        assert_eq!(working_set(dir.path()).unwrap(), Some(700));
        write("memory.current", "2000\n");
        write("memory.stat", "anon 1500\ninactive_file 400\nactive_file 100\n");
        assert_eq!(working_set(dir.path()).unwrap(), Some(1600));
        write("memory.stat", "inactive_file 4000\n");
        assert_eq!(working_set(dir.path()).unwrap(), Some(0), "the two are not read at one moment");
        assert_eq!(working_set(&dir.path().join("gone")).unwrap(), None);
    }
}
