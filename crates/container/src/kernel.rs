//! What the kernel's own log tells of a container's memory.
//!
//! The engine's word of it can get lost: it begins to watch the memory of a container after it has started it, and
//! stops when it is gone. The kernel tells no more than ten of them within five seconds (`oom_kill_process` in
//! mm/oom_kill.c); of a further one nobody may know but that it was killed.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

/// The kernel's log, a record a read. Only root may read it on most machines.
const LOG: &str = "/dev/kmsg";

/// No record is longer.
const LONGEST: usize = 8192;

/// Most records that are looked at; no log holds as many at a time.
const MOST: u32 = 1 << 17;

/// Whether the kernel is known to have killed this process of a container for memory; without a number, any of it.
/// `false` also where it does not tell us. Takes milliseconds.
pub(crate) fn has_killed_for_memory(container: &str, pid: Option<i64>) -> bool {
    let Ok(mut log) = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(LOG) else {
        return false;
    };
    let mut record = vec![0; LONGEST];
    for _ in 0..MOST {
        match log.read(&mut record) {
            Ok(0) => return false,
            Ok(length) if tells(&String::from_utf8_lossy(&record[..length]), container, pid) => return true,
            Ok(_) => {}
            // What was to be read has been overwritten meanwhile, or a signal came; the next can be read.
            Err(err) if matches!(err.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            // The end.
            Err(_) => return false,
        }
    }
    false
}

/// A container's cgroup bears its id, whoever made it.
fn tells(record: &str, container: &str, pid: Option<i64>) -> bool {
    let Some((_, summary)) = record.split_once("oom-kill:") else { return false };
    let field = |name: &str| summary.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let of_it = field("task_memcg").is_some_and(|cgroup| !container.is_empty() && cgroup.contains(container));
    of_it && pid.is_none_or(|pid| field("pid") == Some(&pid.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_of_the_container_is_told_from_all_others() {
        let record = "6,1202,48210630536,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c0ffee,\
                      mems_allowed=0,oom_memcg=/docker/c0ffee,task_memcg=/docker/c0ffee,task=tail,pid=18016,uid=0\n";
        assert!(tells(record, "c0ffee", Some(18016)));
        assert!(tells(record, "c0ffee", None));
        assert!(!tells(record, "c0ffee", Some(1801)), "a child of it");
        assert!(!tells(record, "decaf0", Some(18016)), "another container");
        assert!(!tells(record, "", None));
        let scope = "6,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=x,mems_allowed=0,global_oom,\
                     task_memcg=/system.slice/docker-c0ffee.scope,task=java,pid=7,uid=0\n";
        assert!(tells(scope, "c0ffee", Some(7)));
        let other = "4,1,2,-;eth0: link of c0ffee is up, pid=7\n";
        assert!(!tells(other, "c0ffee", Some(7)));
    }
}
