//! The library that these tests load: a probe that misbehaves as it is told.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use vitald_sdk::async_trait;
use vitald_sdk::notify::RunNeeds;
use vitald_sdk::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_sdk::restarter::ExecRequest;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OddSpec {
    #[serde(default)]
    does: Does,
    #[serde(default)]
    in_build: Does,
    #[serde(default)]
    in_needs: Does,
}

/// What the file that this was loaded from is named tells how it introduces itself.
impl JsonSchema for OddSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OddSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        match own_file().file_name().and_then(|name| name.to_str()) {
            Some("libloops.so") => loop {},
            Some("libaborts.so") => std::process::abort(),
            Some("libpanics.so") => panic!("no schema today"),
            _ => schemars::json_schema!({ "type": "object", "description": "Does as it is told." }),
        }
    }
}

/// In the process of a library, the last argument is its file.
fn own_file() -> PathBuf {
    std::env::args_os().next_back().unwrap().into()
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Does {
    #[default]
    Succeed,
    Fail(String),
    /// Fails with that many bytes.
    Huge(usize),
    Panic,
    Abort,
    Exit(i32),
    Overflow,
    Signal(String),
    Loop,
    Block,
    Pend,
    Leak,
    /// Prints so many lines.
    Print(u32),
    /// Says how often it was built and has checked, and in which process.
    Count,
    /// Fails with what is there.
    Environment(String),
    Read(PathBuf),
    Descriptors,
    /// Leaves a process behind, and says its pid; one that has left the group and the session, too.
    LeaveBehind,
    LeaveDaemon,
    Leave(Vec<String>),
    /// In a process group of its own.
    LeaveGroup(Vec<String>),
    Run(Vec<String>),
    /// Runs a command so many times at once.
    RunMany(usize, Vec<String>),
    /// Runs a command after it has answered.
    RunLater(Vec<String>),
    Sleep(u64),
}

static BUILT: AtomicU32 = AtomicU32::new(0);

pub struct OddProbe {
    does: Does,
    number: u32,
    checks: AtomicU32,
}

impl ProbeKind for OddProbe {
    const KEY: &'static str = "odd";
    type Spec = OddSpec;

    fn build(spec: OddSpec, _component: &ComponentContext) -> Result<Self, SpecError> {
        if let Does::Fail(message) = &spec.in_build {
            return Err(SpecError::new(message.clone()).at("does"));
        }
        if own_file().with_extension("strict").exists() && matches!(spec.does, Does::Count) {
            return Err(SpecError::new("must not count").at("does"));
        }
        if let Does::Sleep(millis) = &spec.in_build {
            std::thread::sleep(Duration::from_millis(*millis));
        }
        misbehave(&spec.in_build);
        let number = BUILT.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Self { does: spec.does, number, checks: AtomicU32::new(0) })
    }

    fn needs(spec: &OddSpec) -> RunNeeds {
        misbehave(&spec.in_needs);
        RunNeeds { notify_socket: matches!(spec.in_needs, Does::Count), watchdog: None }
    }
}

#[allow(clippy::empty_loop)]
fn misbehave(how: &Does) {
    match how {
        Does::Panic => panic!("odd as ever"),
        Does::Abort => std::process::abort(),
        Does::Exit(status) => std::process::exit(*status),
        Does::Overflow => println!("{}", deep(1)),
        Does::Signal(name) => {
            let kill = format!("kill -{name} $PPID");
            Command::new("sh").args(["-c", &kill]).status().unwrap();
        }
        Does::Loop => loop {},
        Does::Block => loop {
            std::thread::sleep(Duration::from_secs(1000));
        },
        Does::Leak => {
            let mut leak = Vec::new();
            loop {
                leak.push(vec![1u8; 1024 * 1024]);
            }
        }
        Does::Print(lines) => (1..=*lines).for_each(|line| println!("line {line}")),
        _ => {}
    }
}

#[allow(unconditional_recursion)]
fn deep(n: u64) -> u64 {
    let room = [n; 1000];
    room[(n % 1000) as usize] + deep(n + 1) + room[1]
}

#[async_trait]
impl HealthProbe for OddProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        misbehave(&self.does);
        let check = self.checks.fetch_add(1, Ordering::Relaxed) + 1;
        ProbeResult::failure(match &self.does {
            Does::Fail(message) => message.clone(),
            Does::Huge(bytes) => "x".repeat(*bytes),
            Does::Pend => std::future::pending().await,
            Does::Sleep(millis) => {
                tokio::time::sleep(Duration::from_millis(*millis)).await;
                return ProbeResult::Success;
            }
            Does::Count => format!("probe {}, check {check}, process {}", self.number, std::process::id()),
            Does::Environment(name) => format!("{:?}", std::env::var_os(name)),
            Does::Read(file) => fs::read_to_string(file).unwrap(),
            Does::Descriptors => descriptors(),
            Does::LeaveBehind => leave("sleep", &["1000".to_owned()]),
            Does::Leave(command) => leave(&command[0], &command[1..]),
            Does::LeaveGroup(command) => {
                let mut leader = Command::new(&command[0]);
                leader.args(&command[1..]).process_group(0).spawn().unwrap().id().to_string()
            }
            Does::LeaveDaemon => {
                let daemon = Command::new("setsid")
                    .args(["sh", "-c", "sleep 1000 > /dev/null 2>&1 & echo $!"])
                    .output()
                    .unwrap();
                String::from_utf8(daemon.stdout).unwrap().trim().to_owned()
            }
            Does::Run(command) => run(cx.clone(), command.clone()).await,
            Does::RunMany(times, command) => {
                let runs: Vec<_> =
                    (0..*times).map(|_| tokio::spawn(run(cx.clone(), command.clone()))).collect();
                let mut said = String::new();
                for run in runs {
                    said.push_str(&run.await.unwrap());
                }
                said
            }
            Does::RunLater(command) => {
                let (cx, command) = (cx.clone(), command.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    println!("later: {}", run(cx, command).await);
                });
                return ProbeResult::Success;
            }
            _ => return ProbeResult::Success,
        })
    }
}

fn leave(program: &str, args: &[String]) -> String {
    Command::new(program).args(args).spawn().unwrap().id().to_string()
}

async fn run(cx: CheckContext, command: Vec<String>) -> String {
    match cx.executor.exec(ExecRequest { command, ..ExecRequest::default() }).await {
        Ok(output) => output.output,
        Err(err) => err.to_string(),
    }
}

fn descriptors() -> String {
    let mut all: Vec<_> = fs::read_dir(Path::new("/proc/self/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .map(|link| link.display().to_string())
        .collect();
    all.sort();
    all.join("\n")
}

vitald_sdk::export_probe!(OddProbe);
