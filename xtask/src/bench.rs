//! `cargo xtask bench`: what an idle supervisor costs, how long a new one takes to take over, what it costs to have a
//! log kept, and what a check costs in each place that a probe can be in.

mod logs;
mod plugins;

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::workspace::Workspace;

pub(crate) use logs::logs;
pub(crate) use plugins::plugins;

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What an idle supervisor costs: memory and CPU
    Idle,
    /// A component that writes 1 GiB as fast as it can, alone and with its log kept
    Logs,
    /// A check by a built-in probe, by a custom one in the supervisor and in a process of its own, and by a command
    Plugins,
}

/// Memory (PSS) and CPU of a supervisor with `components` times `sleep`, each with a TCP probe every 10 s,
/// over `seconds` without anything happening.
pub(crate) fn idle(workspace: &Workspace, components: usize, seconds: u64) -> Result<()> {
    workspace.cargo(["build", "--release", "--package", "vitald"])?;
    let vitald = workspace.programs("release").join("vitald");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || listener.incoming().for_each(drop));

    let dir = std::env::temp_dir().join(format!("vitald-bench-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("manifest.yaml"), manifest(components, port))?;
    let started = Instant::now();
    let mut supervisor = Supervisor::run(&vitald, dir)?;
    supervisor.wait_until_running(components)?;
    println!("{components} components running after {:.2} s", started.elapsed().as_secs_f64());
    // What the start left to do is not what idling costs.
    thread::sleep(Duration::from_secs(15));

    let (pid, before) = (supervisor.child.id(), cpu_seconds(supervisor.child.id())?);
    thread::sleep(Duration::from_secs(seconds));
    let cpu = cpu_seconds(pid)? - before;
    println!("memory: {:.1} MiB PSS", pss_kib(pid)? as f64 / 1024.0);
    println!("CPU: {:.3} s in {seconds} s ({:.2} % of a core)", cpu, 100.0 * cpu / seconds as f64);

    supervisor.child.kill()?;
    supervisor.child.wait()?;
    let started = Instant::now();
    supervisor.child = start(&vitald, &supervisor.dir)?;
    supervisor.wait_until_adopted(&vitald, components)?;
    println!(
        "killed and started again: {components} components adopted after {:.2} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn manifest(components: usize, port: u16) -> String {
    let mut text = String::new();
    for n in 0..components {
        // A String takes whatever is written to it.
        let _ = write!(
            text,
            "---\napiVersion: vitald/v1\nkind: Component\nmetadata: {{name: sleep-{n}}}\nspec:\n  \
             command: [sleep, infinity]\n  livenessProbe:\n    \
             tcpSocket: {{host: 127.0.0.1, port: {port}}}\n    periodSeconds: 10\n"
        );
    }
    text
}

struct Supervisor {
    child: Child,
    dir: PathBuf,
}

impl Supervisor {
    fn run(vitald: &Path, dir: PathBuf) -> Result<Self> {
        Ok(Self { child: start(vitald, &dir)?, dir })
    }

    fn wait_until_adopted(&self, vitald: &Path, components: usize) -> Result<()> {
        for _ in 0..600 {
            let status = Command::new(vitald)
                .args(["status", "--state-dir", "state", "-o", "json"])
                .current_dir(&self.dir)
                .stderr(Stdio::null())
                .output()?;
            if String::from_utf8_lossy(&status.stdout).matches("\"Adopted\"").count() >= components {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("the components were not adopted")
    }

    /// A record names a process once it has been started.
    fn wait_until_running(&self, components: usize) -> Result<()> {
        for _ in 0..600 {
            let records = fs::read_dir(self.dir.join("state/components")).into_iter().flatten().flatten();
            let running = records
                .filter(|record| {
                    fs::read_to_string(record.path()).is_ok_and(|text| text.contains("\"pid\":"))
                })
                .count();
            if running >= components {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("the components did not start within 30 s")
    }
}

fn start(vitald: &Path, dir: &Path) -> Result<Child> {
    Command::new(vitald)
        .args(["run", "-f", "manifest.yaml", "--state-dir", "state"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start vitald")
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Time on a processor, of all threads that are alive: `/proc/PID/task/*/schedstat`, in nanoseconds.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut nanos = 0_u64;
    for task in fs::read_dir(format!("/proc/{pid}/task")).context("the supervisor is gone")? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += stat.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(nanos as f64 / 1e9)
}

/// Memory of its own and its share of what it has in common with others: proc_pid_smaps(5).
fn pss_kib(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).context("no Pss in smaps_rollup")?;
    Ok(line.split_whitespace().nth(1).unwrap_or_default().parse()?)
}
