//! Processes and probes that do as the test says, on tokio's paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failure of the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;
use vitald_core::async_trait;
use vitald_core::check::Check;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::registry::Registry;
use vitald_core::restarter::{
    ExecOutput, ExecRequest, Executor, Exit, ProcessIdentity, Restarter, RunHandle, RunId, StartError,
};
use vitald_core::spec::{
    ComponentSpec, Condition, Dependency, ProbeRole, ProbeSpec, ProcessSpec, RestartPolicy, RestartSpec,
    Workload,
};
use vitald_core::status::ComponentStatus;
use vitald_core::time::Timestamp;
use vitald_supervisor::clock::Clock;
use vitald_supervisor::{Config, StateDir, Supervisor, SupervisorHandle};

/// What the test says, and what it sees.
#[derive(Default)]
struct Script {
    answers: BTreeMap<String, Answer>,
    ignore_term: BTreeSet<String>,
    running: BTreeMap<String, watch::Sender<Option<Exit>>>,
    calls: Vec<String>,
    records: Vec<(String, serde_json::Value)>,
    state_dir: Option<StateDir>,
}

#[derive(Clone)]
enum Answer {
    Result(ProbeResult),
    Hang,
    Panic,
}

impl Script {
    fn call(&mut self, what: &str, name: &str, run: RunId) {
        let call = format!("{what} {name} {run}");
        let record = self.state_dir.as_ref().and_then(|dir| std::fs::read(dir.record(name)).ok());
        let record = record.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        self.records.push((call.clone(), record));
        self.calls.push(call);
    }
}

pub(crate) struct World {
    script: Arc<Mutex<Script>>,
    registry: Arc<Registry>,
    clock: Arc<PausedClock>,
    dir: tempfile::TempDir,
}

pub(crate) fn component(name: &str) -> ComponentSpec {
    ComponentSpec {
        name: name.into(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        workload: Workload::Process(ProcessSpec {
            command: vec![name.into()],
            working_dir: "/".into(),
            env: vec![],
            env_from: vec![],
            inherit_env: false,
            run_as_user: None,
            run_as_group: None,
            no_new_privileges: false,
            open_files: None,
        }),
        ports: vec![],
        depends_on: vec![],
        restart_policy: RestartPolicy::Always,
        restart: RestartSpec::default(),
        termination_grace_period: Duration::from_secs(10),
        post_start: None,
        pre_stop: None,
        startup_probe: None,
        liveness_probe: None,
        readiness_probe: None,
    }
}

pub(crate) fn depends_on(spec: &mut ComponentSpec, name: &str, condition: Condition) {
    spec.depends_on.push(Dependency { name: name.into(), condition });
}

pub(crate) fn probe(role: ProbeRole) -> ProbeSpec {
    ProbeSpec::new(role, Check::Handler { key: "script".into(), config: serde_json::Value::Null })
}

impl World {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::new();
        registry.add::<ScriptProbe>();
        Self {
            script: Arc::default(),
            registry: Arc::new(registry),
            clock: Arc::new(PausedClock { began: Instant::now() }),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn state_dir(&self) -> StateDir {
        StateDir::new(self.dir.path().join("state"))
    }

    pub(crate) fn start(&self, components: Vec<ComponentSpec>) -> SupervisorHandle {
        let state_dir = self.state_dir();
        let lock = state_dir.lock().unwrap();
        self.script.lock().unwrap().state_dir = Some(state_dir.clone());
        let script = Arc::clone(&self.script);
        SCRIPT.with(|slot| *slot.borrow_mut() = Some(Arc::clone(&script)));
        Supervisor::start(Config {
            state_dir,
            lock,
            components,
            registry: Arc::clone(&self.registry),
            restarters: Box::new(move |spec, _context| {
                Arc::new(FakeRestarter { name: spec.name.clone(), script: Arc::clone(&script) })
            }),
            inherited_env: |_| BTreeMap::new(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            version: "test".into(),
        })
    }

    /// Lets virtual time pass, and everything that is due in it happen. Calls to the outside run on real
    /// threads, which paused time does not wait for: give them a moment first and last.
    pub(crate) async fn pass(&self, span: Duration) {
        settle().await;
        let end = Instant::now() + span;
        while Instant::now() < end {
            let step = (end - Instant::now()).min(Duration::from_millis(250));
            tokio::time::sleep(step).await;
            settle().await;
        }
    }

    pub(crate) fn answer(&self, name: &str, result: ProbeResult) {
        self.script.lock().unwrap().answers.insert(name.into(), Answer::Result(result));
    }

    pub(crate) fn hang(&self, name: &str) {
        self.script.lock().unwrap().answers.insert(name.into(), Answer::Hang);
    }

    pub(crate) fn panic(&self, name: &str) {
        self.script.lock().unwrap().answers.insert(name.into(), Answer::Panic);
    }

    pub(crate) fn ignore_term(&self, name: &str) {
        self.script.lock().unwrap().ignore_term.insert(name.into());
    }

    pub(crate) fn exit(&self, name: &str, exit: Exit) {
        let script = self.script.lock().unwrap();
        script.running.get(name).expect("it runs").send_replace(Some(exit));
    }

    /// What restarters were asked to do, starts of the same moment in order of name.
    pub(crate) fn calls(&self) -> Vec<String> {
        let mut calls = self.script.lock().unwrap().calls.clone();
        let first = calls.iter().take_while(|call| call.starts_with("start")).count();
        calls[..first].sort();
        calls
    }

    pub(crate) fn records(&self) -> Vec<(String, serde_json::Value)> {
        self.script.lock().unwrap().records.clone()
    }

    pub(crate) fn component(&self, supervisor: &SupervisorHandle, name: &str) -> ComponentStatus {
        let status = supervisor.status();
        status.components.into_iter().find(|component| component.name == name).expect("it is there")
    }

    pub(crate) fn messages(&self, supervisor: &SupervisorHandle, name: &str) -> Vec<String> {
        let (events, _) = supervisor.events();
        events.into_iter().filter(|event| event.component == name).map(|event| event.message).collect()
    }
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    // Blocking calls hold up paused time only while they are awaited; await one behind them.
    for _ in 0..2 {
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_micros(200))).await.unwrap();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

struct PausedClock {
    began: Instant,
}

#[async_trait]
impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_boot(Duration::from_secs(1000) + self.began.elapsed())
    }

    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH + self.began.elapsed()
    }

    fn boot_id(&self) -> String {
        "boot".into()
    }

    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(at.since(self.now())).await;
    }
}

struct FakeRestarter {
    name: String,
    script: Arc<Mutex<Script>>,
}

struct FakeRun {
    name: String,
    run: RunId,
    exit: watch::Sender<Option<Exit>>,
    script: Arc<Mutex<Script>>,
}

#[async_trait]
impl Restarter for FakeRestarter {
    async fn start(&self, run: RunId) -> Result<Arc<dyn RunHandle>, StartError> {
        let exit = watch::Sender::new(None);
        let mut script = self.script.lock().unwrap();
        script.call("start", &self.name, run);
        script.running.insert(self.name.clone(), exit.clone());
        let (name, script) = (self.name.clone(), Arc::clone(&self.script));
        Ok(Arc::new(FakeRun { name, run, exit, script }))
    }

    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(NoExecutor)
    }
}

#[async_trait]
impl RunHandle for FakeRun {
    fn process(&self) -> ProcessIdentity {
        let pid = 1000 + i32::try_from(self.run.0).unwrap();
        ProcessIdentity { pid, start_time: 1, boot_id: "boot".into() }
    }

    fn log_offset(&self) -> u64 {
        0
    }

    async fn exited(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        exit.wait_for(Option::is_some).await.unwrap().clone().unwrap()
    }

    fn is_alive(&self) -> bool {
        self.exit.borrow().is_none()
    }

    async fn gone(&self) {
        self.exited().await;
    }

    fn terminate(&self) -> std::io::Result<()> {
        let mut script = self.script.lock().unwrap();
        script.call("terminate", &self.name, self.run);
        if !script.ignore_term.contains(&self.name) {
            self.exit.send_replace(Some(Exit::Signal("SIGTERM".into())));
        }
        Ok(())
    }

    fn kill(&self) -> std::io::Result<()> {
        self.script.lock().unwrap().call("kill", &self.name, self.run);
        self.exit.send_replace(Some(Exit::Signal("SIGKILL".into())));
        Ok(())
    }

    fn survivors(&self) -> Vec<String> {
        vec![]
    }
}

struct NoExecutor;

#[async_trait]
impl Executor for NoExecutor {
    async fn exec(&self, _request: ExecRequest) -> Result<ExecOutput, StartError> {
        Err(StartError::Environment("no commands here".into()))
    }
}

/// Answers what the script has for its component.
#[derive(Debug, Deserialize, JsonSchema)]
struct ScriptSpec {}

struct ScriptProbe {
    name: String,
    script: Arc<Mutex<Script>>,
}

thread_local! {
    /// Paused time means one thread: each test has its own.
    static SCRIPT: std::cell::RefCell<Option<Arc<Mutex<Script>>>> = const { std::cell::RefCell::new(None) };
}

impl ProbeKind for ScriptProbe {
    const KEY: &'static str = "script";
    type Spec = ScriptSpec;

    fn build(_spec: ScriptSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let script = SCRIPT.with(|slot| slot.borrow().clone()).expect("started by World::start");
        Ok(Self { name: component.name.clone(), script })
    }
}

#[async_trait]
impl HealthProbe for ScriptProbe {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        let answer = self.script.lock().unwrap().answers.get(&self.name).cloned();
        match answer {
            None => ProbeResult::Success,
            Some(Answer::Result(result)) => result,
            Some(Answer::Hang) => std::future::pending().await,
            Some(Answer::Panic) => panic!("as told"),
        }
    }
}
