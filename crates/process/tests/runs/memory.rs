//! How much memory a run uses: all of its processes together.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use vitald_core::restarter::{Adoption, Restarter, RunHandle};

use crate::bed::{Bed, DEADLINE, clear, skip};
use crate::cgroups::{have, is_off};
use crate::earlier::{Earlier, RUN};

const MIB: u64 = 1 << 20;

/// A child that keeps 64 MiB: `tail` waits for the end of a line.
const HUNGRY: &str = "(head -c 67108864 /dev/zero; exec sleep 1000) | tail >/dev/null";

/// Waits until a run uses as much as that; gives how much it is.
async fn wait_for(run: &Arc<dyn RunHandle>, least: u64) -> u64 {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let used = run.memory().await.unwrap();
        if used >= least {
            return used;
        }
        assert!(tokio::time::Instant::now() < deadline, "{} MiB", used / MIB);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn children_count() {
    let idle = Bed::new(&["sleep", "1000"]).start().await;
    let used = wait_for(&idle, 1).await;
    assert!(used < 16 * MIB, "{used}");

    let run = Bed::sh(HUNGRY).start().await;
    let used = wait_for(&run, 64 * MIB).await;
    assert!(used < 128 * MIB, "{} MiB", used / MIB);
    clear(&run).await;
    assert!(run.memory().await.is_err(), "what is over uses neither much nor little");
    clear(&idle).await;
}

#[tokio::test]
async fn what_processes_share_counts_once() {
    let script = "x=$(head -c 67108864 /dev/zero | tr '\\0' x)
        for i in 1 2 3 4 5; do (sleep 1000; echo $x) & done; echo up; wait";
    let bed = Bed::new(&["bash", "-c", script]);
    let run = bed.start().await;
    crate::bed::eventually("all are there", || bed.log().contains("up")).await;
    let used = wait_for(&run, 64 * MIB).await;
    let each = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB").trim().to_owned();
        line.trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    let apart: u64 = run.pids().await.unwrap().into_iter().map(each).sum();
    assert!(apart > 5 * 64 * MIB, "they do share: {} MiB", apart / MIB);
    assert!(used < apart / 2, "{} MiB of {} MiB", used / MIB, apart / MIB);
    clear(&run).await;
}

#[tokio::test]
async fn a_cgroup_counts_what_lives_in_it_without_cached_files() {
    if is_off() || !have("memory limits") {
        return;
    }
    let Some(disk) = on_disk() else { return };
    let mut bed = Bed::sh(&format!("head -c 100663296 /dev/zero >cached; echo up; {HUNGRY}"));
    bed.spec.memory_limit = Some(400 * MIB);
    bed.spec.working_dir = disk.path().to_owned();
    let run = bed.start().await;
    crate::bed::eventually("the file is written", || bed.log().contains("up")).await;
    let used = wait_for(&run, 64 * MIB).await;
    let counts = |dir: &std::path::PathBuf| {
        let count = |file: &str| fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok();
        count("memory.current").or_else(|| count("memory.usage_in_bytes"))
    };
    let with_cache: u64 = bed.cgroups().iter().find_map(counts).unwrap();
    assert!(with_cache > 150 * MIB, "the file is cached: {} MiB", with_cache / MIB);
    assert!(used < 128 * MIB, "{} MiB", used / MIB);
    clear(&run).await;
}

/// A folder whose files are cached in memory, and do not live in it.
fn on_disk() -> Option<TempDir> {
    const TMPFS: i64 = 0x0102_1994;
    let folders = [std::env::temp_dir(), "/var/tmp".into(), env!("CARGO_TARGET_TMPDIR").into()];
    let is_disk = |dir: &&PathBuf| rustix::fs::statfs(*dir).is_ok_and(|about| about.f_type != TMPFS);
    let made = folders.iter().filter(is_disk).find_map(|dir| TempDir::new_in(dir).ok());
    if made.is_none() {
        skip(&format!("none of {folders:?} is on a disk"));
    }
    made
}

#[tokio::test]
async fn a_run_that_was_taken_over_is_measured_whole() {
    let mut limits = vec![None];
    if !is_off() && have("memory limits") {
        limits.push(Some(400 * MIB));
    }
    for limit in limits {
        let mut bed = Bed::sh(HUNGRY);
        bed.spec.memory_limit = limit;
        let record = Earlier::start(&bed).await.die();
        let adoption = bed.restarter().adopt(RUN, Some(&record), 0).await.unwrap();
        let Adoption::Running(run) = adoption else { panic!("it runs") };
        let used = wait_for(&run, 64 * MIB).await;
        assert!(used < 128 * MIB, "{} MiB", used / MIB);
        clear(&run).await;
    }
}
