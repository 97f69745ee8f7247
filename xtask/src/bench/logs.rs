//! What it costs a component that its log is kept: it writes as fast as it can, by itself and under a supervisor, in
//! turns.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Supervisor;
use crate::workspace::Workspace;

/// What one turn writes, in pieces of 64 KiB.
const BYTES: u64 = 1 << 30;

const MANIFEST: &str = "apiVersion: vitald/v1
kind: Component
metadata: {name: writer}
spec:
  command: [sh, -c, 'while [ ! -e go ]; do sleep 0.05; done; exec FIXTURE pour BYTES DONE']
  workingDir: .
  restartPolicy: Never
  logs: {maxSize: 50Mi, maxFiles: 5}
";

struct Programs {
    vitald: PathBuf,
    fixture: PathBuf,
}

/// So many turns on a disk and as many in memory: how long 1 GiB takes, and what processor time the supervisor needs
/// until all of it is rotated.
pub(crate) fn logs(workspace: &Workspace, turns: usize) -> Result<()> {
    workspace.cargo(["build", "--release", "--package", "vitald", "--package", "vitald-tests", "--bins"])?;
    let of = |name: &str| workspace.programs("release").join(name);
    let programs = Programs { vitald: of("vitald"), fixture: of("vitald-fixture") };
    for (what, dir) in [("disk", std::env::temp_dir()), ("memory", "/dev/shm".into())] {
        if !dir.is_dir() {
            println!("{what}: there is no {}", dir.display());
            continue;
        }
        let dir = dir.join(format!("vitald-bench-{}", std::process::id()));
        let measured = turns_in(&programs, &dir, turns);
        let _ = fs::remove_dir_all(&dir);
        println!("{what}: {}", measured.with_context(|| format!("in {}", dir.display()))?);
    }
    Ok(())
}

fn turns_in(programs: &Programs, dir: &Path, turns: usize) -> Result<String> {
    let (mut alone, mut kept, mut ratios, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 0..turns {
        // Whoever is first finds another machine than who is second.
        let first = if turn % 2 == 0 { Some(by_itself(programs, dir)?) } else { None };
        let (took, used) = under_supervisor(programs, dir)?;
        let by_itself = first.map_or_else(|| by_itself(programs, dir), Ok)?;
        alone.push(by_itself);
        kept.push(took);
        ratios.push(took / by_itself);
        cpu.push(used);
    }
    Ok(format!(
        "1 GiB takes {:.2} s alone and {:.2} s with its log kept, {:.2} times as long (median of {turns} turns; \
         {:.2} to {:.2}); the supervisor uses {:.2} s of CPU for it (at most {:.2})",
        median(&mut alone),
        median(&mut kept),
        median(&mut ratios),
        ratios.first().copied().unwrap_or_default(),
        ratios.last().copied().unwrap_or_default(),
        median(&mut cpu),
        cpu.last().copied().unwrap_or_default(),
    ))
}

/// The middle one; they are in order then.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

fn by_itself(programs: &Programs, dir: &Path) -> Result<f64> {
    begin(dir)?;
    let log = File::options().create(true).append(true).open(dir.join("alone.log"))?;
    let done = dir.join("done");
    let status = Command::new(&programs.fixture)
        .args(["pour", &BYTES.to_string()])
        .arg(&done)
        .stdin(Stdio::null())
        .stdout(log)
        .status()
        .context("cannot start the writer")?;
    if !status.success() {
        bail!("the writer ended with {status}");
    }
    seconds_in(&done)
}

/// How long the writer took, and the supervisor's processor time until it had nothing left to do.
fn under_supervisor(programs: &Programs, dir: &Path) -> Result<(f64, f64)> {
    begin(dir)?;
    let done = dir.join("done");
    let manifest = MANIFEST
        .replace("FIXTURE", &programs.fixture.display().to_string())
        .replace("BYTES", &BYTES.to_string())
        .replace("DONE", &done.display().to_string());
    fs::write(dir.join("manifest.yaml"), manifest)?;
    let supervisor = Supervisor::run(&programs.vitald, dir.to_owned())?;
    supervisor.wait_until_running(1)?;
    let pid = supervisor.child.id();
    let before = until_quiet(pid)?;
    fs::write(dir.join("go"), "")?;
    let begun = Instant::now();
    while !done.exists() {
        if begun.elapsed() > Duration::from_secs(300) {
            bail!("the writer has not ended after {} s", begun.elapsed().as_secs());
        }
        thread::sleep(Duration::from_millis(10));
    }
    let used = until_quiet(pid)? - before;
    let rotated = dir.join("state/logs/writer.log.4");
    if !rotated.exists() {
        bail!("the log was not rotated: there is no {}", rotated.display());
    }
    Ok((seconds_in(&done)?, used))
}

/// Waits until the supervisor has done nothing for two seconds; gives its processor time so far.
fn until_quiet(pid: u32) -> Result<f64> {
    let (mut quiet, mut used) = (0, cpu_ticks(pid)?);
    for _ in 0..600 {
        thread::sleep(Duration::from_millis(100));
        let now = cpu_ticks(pid)?;
        quiet = if now == used { quiet + 1 } else { 0 };
        used = now;
        if quiet == 20 {
            return Ok(used as f64 / 100.0);
        }
    }
    bail!("the supervisor is still at work after a minute")
}

/// Hundredths of a second on a processor, of threads that have ended, too: fields 14 and 15 of proc_pid_stat(5).
fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the supervisor is gone")?;
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    Ok(fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum())
}

/// An empty folder, and nothing left for the disk to do from the turn before.
fn begin(dir: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)?;
    Command::new("sync").status().context("cannot run sync")?;
    Ok(())
}

/// What the writer has noted, in microseconds.
fn seconds_in(done: &Path) -> Result<f64> {
    let text = fs::read_to_string(done)?;
    let micros: u64 = text.trim().parse().with_context(|| format!("{text:?} is no time"))?;
    Ok(micros as f64 / 1e6)
}
