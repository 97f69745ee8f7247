//! Processes and probes that do as the test says, on tokio's paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failure of the test")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::path::PathBuf;
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
    Adoption, ExecOutput, ExecRequest, Executor, Exit, ProcessIdentity, Restarter, RunHandle, RunId, RunView,
    StartError,
};
use vitald_core::spec::{
    ComponentSpec, Condition, Dependency, ExecAction, LogsSpec, ProbeRole, ProbeSpec, ProcessSpec,
    RestartPolicy, RestartSpec, Workload,
};
use vitald_core::status::ComponentStatus;
use vitald_core::time::Timestamp;
use vitald_supervisor::clock::Clock;
use vitald_supervisor::{
    Config, LogKeeper, ProbeLibraries, Refused, RestarterContext, ShutdownMode, StateDir, Supervisor,
    SupervisorHandle, Wanted,
};

/// What the test says, and what it sees.
#[derive(Default)]
struct Script {
    answers: BTreeMap<String, Answer>,
    starts: BTreeMap<String, Start>,
    /// What each command of a hook comes to.
    commands: BTreeMap<String, Answer>,
    ignore_term: BTreeSet<String>,
    /// Whom SIGKILL does not end.
    ignore_kill: BTreeSet<String>,
    /// Whose main processes leave others behind.
    leftovers: BTreeSet<String>,
    /// Who cannot be signalled.
    unreachable: BTreeSet<String>,
    /// What nobody may see.
    secret: Option<String>,
    contexts: Vec<RestarterContext>,
    /// Checks and commands that were given up.
    given_up: Vec<String>,
    running: BTreeMap<String, (RunId, Process)>,
    calls: Vec<String>,
    /// What the keeper of logs was told.
    logs: Vec<String>,
    records: Vec<(String, serde_json::Value)>,
    state_dir: Option<StateDir>,
    /// Supervisors that have died.
    lives: u32,
    /// Whom it cannot be told of whether they run, and how often still.
    undecided: BTreeMap<String, u32>,
    /// How long it takes to look for each.
    adopts_slowly: BTreeMap<String, Duration>,
    /// Whose restarter panics where nothing of the sort may.
    broken: BTreeSet<String>,
    /// Whose making is the moment in which the supervisor is told to end.
    ends_with: Option<(String, SupervisorHandle, ShutdownMode)>,
}

#[derive(Clone)]
enum Answer {
    Result(ProbeResult),
    Hang,
    Panic,
}

/// How a start goes.
#[derive(Clone)]
pub(crate) enum Start {
    Takes(Duration),
    Hangs,
    Panics,
    Fails(&'static str),
}

/// A main process, and whether anything of its tree is alive.
#[derive(Clone)]
struct Process {
    exit: watch::Sender<Option<Exit>>,
    alive: watch::Sender<bool>,
}

impl Process {
    fn end(&self, exit: Exit, leftovers: bool) {
        self.alive.send_replace(leftovers);
        self.exit.send_if_modified(|ended| {
            let ends = ended.is_none();
            ended.get_or_insert(exit);
            ends
        });
    }
}

impl Script {
    /// From now on those who act for the supervisor that has died reach nobody.
    fn leave_the_dead(&mut self) {
        self.lives += 1;
        for (_, process) in self.running.values_mut() {
            let dead = process.clone();
            *process = Process {
                exit: watch::Sender::new(dead.exit.borrow().clone()),
                alive: watch::Sender::new(*dead.alive.borrow()),
            };
            dead.end(Exit::Unknown, false);
        }
    }

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
    pub(crate) libraries: Option<Arc<dyn ProbeLibraries>>,
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
            memory_limit: None,
            cpu_limit_millis: None,
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
        logs: Default::default(),
    }
}

pub(crate) fn depends_on(spec: &mut ComponentSpec, name: &str, condition: Condition) {
    spec.depends_on.push(Dependency { name: name.into(), condition });
}

pub(crate) fn exec(command: &str) -> Option<ExecAction> {
    Some(ExecAction { command: vec![command.into()] })
}

pub(crate) fn probe(role: ProbeRole) -> ProbeSpec {
    ProbeSpec::new(role, Check::handler("script", serde_json::Value::Null))
}

impl World {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::new();
        registry.add::<ScriptProbe>();
        Self {
            script: Arc::default(),
            registry: Arc::new(registry),
            libraries: None,
            clock: Arc::new(PausedClock {
                began: Instant::now(),
                jumped: Mutex::default(),
                boot_id: Mutex::new("boot".into()),
            }),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn state_dir(&self) -> StateDir {
        StateDir::new(self.dir.path().join("state"))
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(crate) async fn start(&self, components: Vec<ComponentSpec>) -> SupervisorHandle {
        self.begin(Wanted::Manifests(components)).await.unwrap()
    }

    pub(crate) async fn begin(&self, components: Wanted) -> Result<SupervisorHandle, Refused> {
        let state_dir = self.state_dir();
        let lock = state_dir.lock().unwrap();
        self.script.lock().unwrap().state_dir = Some(state_dir.clone());
        let script = Arc::clone(&self.script);
        SCRIPT.with(|slot| *slot.borrow_mut() = Some(Arc::clone(&script)));
        let kept = Arc::clone(&script);
        Supervisor::start(Config {
            state_dir,
            lock,
            components,
            registry: Arc::clone(&self.registry),
            libraries: self.libraries.clone(),
            restarters: Box::new(move |spec, context| {
                script.lock().unwrap().contexts.push(context.clone());
                let ends = script.lock().unwrap().ends_with.take_if(|(name, ..)| *name == spec.name);
                if let Some((_, supervisor, mode)) = ends {
                    supervisor.shutdown(mode);
                }
                Arc::new(FakeRestarter {
                    name: spec.name.clone(),
                    lock: context.lock,
                    script: Arc::clone(&script),
                })
            }),
            logs: Box::new(move |_tell| Box::new(FakeKeeper(kept))),
            inherited_env: |_all| ENVIRONMENT.with(|environment| environment.borrow().clone()),
            holder_of: |process| ALIVE.get().then(|| format!("{} (sleep)", process.pid)),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            version: "test".into(),
        })
        .await
    }

    /// The supervisor dies: what was written so far is all that the next one knows, and components go on.
    pub(crate) async fn crash(&self, supervisor: SupervisorHandle) {
        let folder = self.state_dir().path().join("components");
        let records: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        self.script.lock().unwrap().leave_the_dead();
        supervisor.shutdown(ShutdownMode::Now);
        supervisor.finished().await;
        supervisor.unlock();
        for (path, record) in records {
            std::fs::write(path, record).unwrap();
        }
    }

    /// What the keeper of logs was told.
    pub(crate) fn logs(&self) -> Vec<String> {
        self.script.lock().unwrap().logs.clone()
    }

    /// What is written down of a component.
    pub(crate) fn record(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.state_dir().record(name)).unwrap()).unwrap()
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

    pub(crate) fn starts(&self, name: &str, start: Start) {
        self.script.lock().unwrap().starts.insert(name.into(), start);
    }

    /// A command of a hook fails with this output, or, without one, never ends.
    pub(crate) fn command_fails(&self, command: &str, output: Option<&str>) {
        let answer = output.map_or(Answer::Hang, |output| Answer::Result(ProbeResult::failure(output)));
        self.script.lock().unwrap().commands.insert(command.into(), answer);
    }

    pub(crate) fn command_succeeds(&self, command: &str) {
        self.script.lock().unwrap().commands.remove(command);
    }

    pub(crate) fn ignore_kill(&self, name: &str) {
        self.script.lock().unwrap().ignore_kill.insert(name.into());
    }

    pub(crate) fn leaves_others_behind(&self, name: &str) {
        self.script.lock().unwrap().leftovers.insert(name.into());
    }

    pub(crate) fn cannot_be_signalled(&self, name: &str) {
        self.script.lock().unwrap().unreachable.insert(name.into());
    }

    /// Whether it runs cannot be told, so many times.
    pub(crate) fn undecided(&self, name: &str, times: u32) {
        self.script.lock().unwrap().undecided.insert(name.into(), times);
    }

    /// How its main process ended, nobody can tell any more.
    pub(crate) fn forgets_how(&self, name: &str) {
        self.script
            .lock()
            .unwrap()
            .running
            .get(name)
            .expect("it was there")
            .1
            .exit
            .send_replace(Some(Exit::Unknown));
    }

    /// It takes this long to look for it.
    pub(crate) fn adopts_slowly(&self, name: &str, span: Duration) {
        self.script.lock().unwrap().adopts_slowly.insert(name.into(), span);
    }

    /// Its restarter panics.
    pub(crate) fn breaks(&self, name: &str) {
        self.script.lock().unwrap().broken.insert(name.into());
    }

    /// The supervisor is told to end while this component is made.
    pub(crate) fn ends_with(&self, name: &str, supervisor: &SupervisorHandle, mode: ShutdownMode) {
        self.script.lock().unwrap().ends_with = Some((name.into(), supervisor.clone(), mode));
    }

    pub(crate) fn secret(&self, secret: &str) {
        self.script.lock().unwrap().secret = Some(secret.into());
    }

    /// What components inherit of the next supervisor's environment.
    pub(crate) fn environment(&self, name: &str, value: &str) {
        ENVIRONMENT.with(|environment| environment.borrow_mut().insert(name.into(), value.into()));
    }

    /// No process that was recorded is alive any more.
    pub(crate) fn nobody_is_alive(&self) {
        ALIVE.set(false);
    }

    /// The machine is another boot of itself from now on.
    pub(crate) fn reboot(&self) {
        self.script.lock().unwrap().running.clear();
        *self.clock.boot_id.lock().unwrap() = "another boot".into();
    }

    /// The machine sleeps: its clock goes on, and nothing else.
    pub(crate) fn sleep(&self, span: Duration) {
        *self.clock.jumped.lock().unwrap() += span;
    }

    pub(crate) fn exit(&self, name: &str, exit: Exit) {
        let script = self.script.lock().unwrap();
        let leftovers = script.leftovers.contains(name);
        script.running.get(name).expect("it runs").1.end(exit, leftovers);
    }

    /// What the restarter of a component was told by the supervisor that began last.
    pub(crate) fn context(&self, name: &str) -> RestarterContext {
        let lock = self.state_dir().component_lock(name);
        let script = self.script.lock().unwrap();
        script.contexts.iter().rev().find(|context| context.lock == lock).expect("it is there").clone()
    }

    /// The checks and commands that were given up.
    pub(crate) fn given_up(&self) -> Vec<String> {
        self.script.lock().unwrap().given_up.clone()
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
    jumped: Mutex<Duration>,
    boot_id: Mutex<String>,
}

#[async_trait]
impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_boot(Duration::from_secs(1000) + self.began.elapsed() + *self.jumped.lock().unwrap())
    }

    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH + self.began.elapsed()
    }

    fn boot_id(&self) -> String {
        self.boot_id.lock().unwrap().clone()
    }

    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(at.since(self.now())).await;
    }
}

struct FakeRestarter {
    name: String,
    lock: PathBuf,
    script: Arc<Mutex<Script>>,
}

struct FakeRun {
    name: String,
    run: RunId,
    process: Process,
    script: Arc<Mutex<Script>>,
    life: u32,
}

#[async_trait]
impl Restarter for FakeRestarter {
    async fn start(&self, run: RunId) -> Result<Arc<dyn RunHandle>, StartError> {
        let start = {
            let mut script = self.script.lock().unwrap();
            script.call("start", &self.name, run);
            script.starts.get(&self.name).cloned()
        };
        match start {
            None => {}
            Some(Start::Takes(span)) => tokio::time::sleep(span).await,
            Some(Start::Hangs) => std::future::pending().await,
            Some(Start::Panics) => panic!("as told"),
            Some(Start::Fails(why)) => return Err(StartError::Environment(why.into())),
        }
        OpenOptions::new().create(true).append(true).open(&self.lock).unwrap();
        let process = Process { exit: watch::Sender::new(None), alive: watch::Sender::new(true) };
        self.script.lock().unwrap().running.insert(self.name.clone(), (run, process.clone()));
        let (name, script) = (self.name.clone(), Arc::clone(&self.script));
        let life = script.lock().unwrap().lives;
        Ok(Arc::new(FakeRun { name, run, process, script, life }))
    }

    async fn adopt(
        &self,
        run: RunId,
        process: Option<&ProcessIdentity>,
        _log_offset: u64,
    ) -> Result<Adoption, StartError> {
        let slow = self.script.lock().unwrap().adopts_slowly.get(&self.name).copied();
        if let Some(span) = slow {
            tokio::time::sleep(span).await;
        }
        let mut script = self.script.lock().unwrap();
        if let Some(left) = script.undecided.get_mut(&self.name).filter(|left| **left > 0) {
            *left -= 1;
            let broken = script.broken.contains(&self.name);
            drop(script);
            assert!(!broken, "as told");
            return Err(StartError::Environment("too many open files".into()));
        }
        script.call(if process.is_some() { "adopt" } else { "look for" }, &self.name, run);
        let on_record = process.is_some();
        let found = script.running.get(&self.name).filter(|(is, _)| *is == run).cloned();
        let Some((_, process)) = found else { return Ok(Adoption::Nothing) };
        let (ended, alive) = (process.exit.borrow().is_some(), *process.alive.borrow());
        let life = script.lives;
        let (name, script) = (self.name.clone(), Arc::clone(&self.script));
        let handle = Arc::new(FakeRun { name, run, process, script, life });
        Ok(match (ended, alive) {
            (false, _) => Adoption::Running(handle),
            (true, true) => Adoption::Ended(handle),
            (true, false) if on_record => Adoption::Nothing,
            (true, false) => Adoption::Gone,
        })
    }

    fn newest(&self) -> Option<RunId> {
        let script = self.script.lock().unwrap();
        let (run, process) = script.running.get(&self.name)?;
        let alive = *process.alive.borrow();
        alive.then_some(*run)
    }

    fn log_end(&self) -> u64 {
        assert!(!self.script.lock().unwrap().broken.contains(&self.name), "as told");
        0
    }

    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(FakeExecutor { script: Arc::clone(&self.script) })
    }

    fn redact(&self, text: String) -> String {
        match &self.script.lock().unwrap().secret {
            Some(secret) => text.replace(secret, "***"),
            None => text,
        }
    }
}

#[async_trait]
impl RunView for FakeRun {
    fn process(&self) -> ProcessIdentity {
        let pid = 1000 + i32::try_from(self.run.0).unwrap();
        ProcessIdentity { pid, start_time: 1, boot_id: "boot".into() }
    }

    fn log_offset(&self) -> u64 {
        self.run.0 * 100
    }
}

#[async_trait]
impl RunHandle for FakeRun {
    async fn exited(&self) -> Exit {
        let mut exit = self.process.exit.subscribe();
        exit.wait_for(Option::is_some).await.unwrap().clone().unwrap()
    }

    fn is_alive(&self) -> bool {
        *self.process.alive.borrow()
    }

    async fn gone(&self) {
        self.process.alive.subscribe().wait_for(|alive| !alive).await.unwrap();
    }

    fn terminate(&self) -> std::io::Result<()> {
        let mut script = self.script.lock().unwrap();
        if self.life != script.lives {
            return Ok(());
        }
        script.call("terminate", &self.name, self.run);
        if script.unreachable.contains(&self.name) {
            return Err(std::io::Error::other("operation not permitted"));
        }
        if !script.ignore_term.contains(&self.name) {
            self.process.end(Exit::Signal("SIGTERM".into()), false);
        }
        Ok(())
    }

    fn kill(&self) -> std::io::Result<()> {
        let mut script = self.script.lock().unwrap();
        if self.life != script.lives {
            return Ok(());
        }
        script.call("kill", &self.name, self.run);
        if !script.ignore_kill.contains(&self.name) {
            self.process.end(Exit::Signal("SIGKILL".into()), false);
        }
        Ok(())
    }

    fn survivors(&self) -> Vec<String> {
        vec!["4242 (sleep, state D)".into()]
    }
}

/// Notes that something was dropped before it came to an end.
struct GivenUp {
    what: String,
    script: Arc<Mutex<Script>>,
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.script.lock().unwrap().given_up.push(self.what.clone());
    }
}

/// Runs what hooks command.
struct FakeExecutor {
    script: Arc<Mutex<Script>>,
}

#[async_trait]
impl Executor for FakeExecutor {
    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, StartError> {
        let command = request.command.join(" ");
        let answer = {
            let mut script = self.script.lock().unwrap();
            script.calls.push(format!("exec {command}"));
            script.commands.get(&command).cloned()
        };
        match answer {
            None => Ok(ExecOutput { exit: Exit::Code(0), output: String::new() }),
            Some(Answer::Result(result)) => {
                Ok(ExecOutput { exit: Exit::Code(1), output: result.message().to_owned() })
            }
            Some(Answer::Hang) => {
                let _given_up = GivenUp { what: command, script: Arc::clone(&self.script) };
                std::future::pending().await
            }
            Some(Answer::Panic) => panic!("as told"),
        }
    }
}

/// Answers what the script has for its component.
#[derive(Debug, Deserialize, JsonSchema)]
struct ScriptSpec {}

struct ScriptProbe {
    name: String,
    script: Arc<Mutex<Script>>,
}

struct FakeKeeper(Arc<Mutex<Script>>);

impl LogKeeper for FakeKeeper {
    fn keep(&self, component: &str, logs: &LogsSpec) {
        self.0.lock().unwrap().logs.push(format!("keep {component} {}", logs.max_files));
    }

    fn forget(&self, component: &str) {
        self.0.lock().unwrap().logs.push(format!("forget {component}"));
    }
}

impl Drop for FakeKeeper {
    fn drop(&mut self) {
        self.0.lock().unwrap().logs.push("end".into());
    }
}

thread_local! {
    /// Paused time means one thread: each test has its own.
    static SCRIPT: RefCell<Option<Arc<Mutex<Script>>>> = const { RefCell::new(None) };
    /// Whether recorded processes are.
    static ALIVE: Cell<bool> = const { Cell::new(true) };
    static ENVIRONMENT: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
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
            Some(Answer::Hang) => {
                let what = format!("check of {}", self.name);
                let _given_up = GivenUp { what, script: Arc::clone(&self.script) };
                std::future::pending().await
            }
            Some(Answer::Panic) => panic!("as told"),
        }
    }
}
