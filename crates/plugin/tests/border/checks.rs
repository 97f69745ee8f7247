//! Checks of probes that lie in a library.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, ProbeResult, SpecErrorKind};
use vitald_plugin::library::{CallError, Instance, Library, RunServices, Services, request};
use vitald_sdk::kit::{Commands, Run};
use vitald_sdk::message::{BuildRequest, NeedsRequest, ServiceAnswer, ServiceRequest};

use crate::build;

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

fn library() -> Arc<Library> {
    Library::open(build::probes()).unwrap()
}

fn build_with(library: &Arc<Library>, key: &str, config: Value) -> Result<Arc<Instance>, CallError> {
    let ports = BTreeMap::from([("http".to_owned(), 80)]);
    let component = ComponentContext { ports, ..ComponentContext::default() };
    library.build(&BuildRequest { key: key.to_owned(), config, component })
}

fn obedient(does: Value) -> Arc<Instance> {
    build_with(&library(), "obedient", json!({ "does": does })).unwrap()
}

/// No run, and commands for real.
fn context() -> CheckContext {
    let executor = Arc::new(Commands::within(&std::env::temp_dir()));
    CheckContext { timeout: LONG, run: None, executor }
}

async fn ask(instance: &Arc<Instance>, cx: &CheckContext) -> Result<ProbeResult, CallError> {
    let services = Arc::new(RunServices { cx: cx.clone() });
    timeout(LONG, instance.check(&request(cx), services)).await.expect("no answer")
}

#[tokio::test]
async fn probes_of_a_library_are_built_and_answer() {
    let library = library();
    let never = build_with(&library, "never", json!({})).unwrap();
    assert_eq!(ask(&never, &context()).await, Ok(ProbeResult::failure("never healthy")));
    let obedient = build_with(&library, "obedient", Value::Null);
    let Ok(obedient) = obedient else { panic!("a configuration of nothing is one of defaults") };
    for _ in 0..3 {
        assert_eq!(ask(&obedient, &context()).await, Ok(ProbeResult::Success));
    }
}

#[test]
fn mistakes_are_told_as_those_of_a_built_in_probe() {
    let library = library();
    let refused = |key: &str, config| match build_with(&library, key, config) {
        Err(CallError::Refused(mistake)) => mistake,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("was built"),
    };
    let mistake = refused("obedient", json!({ "port": "htpt" }));
    assert_eq!((&*mistake.path, mistake.kind), ("port", SpecErrorKind::NotFound));
    assert_eq!(mistake.known, ["http"]);
    assert_eq!(mistake.to_string(), "port: no port is named `htpt`");
    assert!(refused("never", json!({ "mind": 1 })).message.starts_with("unknown field `mind`"));
    assert_eq!(refused("nobody", json!({})).message, "no probe is named `nobody`");

    let panicked = build_with(&library, "obedient", json!({ "does": "panicInBuild" })).err();
    assert_eq!(panicked, Some(CallError::Panicked("panicked while it was built".to_owned())));

    let needs = NeedsRequest { key: "never".to_owned(), config: json!({}) };
    assert_eq!(library.needs(&needs), Ok(vitald_core::notify::RunNeeds::default()));
}

#[tokio::test]
async fn a_library_has_a_tokio_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = build_with(&library(), "obedient", json!({ "does": "connect", "port": port })).unwrap();
    assert_eq!(ask(&connect, &context()).await, Ok(ProbeResult::Success));
    assert_eq!(
        ask(&obedient(json!({ "wait": { "millis": 5 } })), &context()).await,
        Ok(ProbeResult::Success)
    );
}

#[tokio::test]
async fn panics_end_at_the_border() {
    let panicked = |message: &str| Err(CallError::Panicked(message.to_owned()));
    let mut cx = context();
    cx.timeout = Duration::from_secs(2);
    let in_check = ask(&obedient(json!("panicInCheck")), &cx).await;
    assert_eq!(in_check, panicked("panicked in its check, limit 1.8s"));
    assert_eq!(ask(&obedient(json!("panicTwice")), &cx).await, panicked("it gave no message"));

    // One that panics when it is cancelled, and one at its end.
    let checking =
        obedient(json!("panicInDrop")).check(&request(&cx), Arc::new(RunServices { cx: cx.clone() }));
    checking.cancel();
    timeout(LONG, checking.ended()).await.expect("has not ended");
    let instance = obedient(json!("panicInEnd"));
    assert_eq!(ask(&instance, &cx).await, Ok(ProbeResult::Success));
    drop(instance);
    assert_eq!(ask(&obedient(json!("succeed")), &cx).await, Ok(ProbeResult::Success));
}

#[tokio::test]
async fn a_check_that_is_dropped_is_cancelled() {
    let instance = obedient(json!({ "wait": { "millis": 3_600_000 } }));
    let cx = context();
    let checking = instance.check(&request(&cx), Arc::new(RunServices { cx: cx.clone() }));
    let ended = checking.ended();
    drop(checking);
    timeout(LONG, ended).await.expect("has not ended");

    // One that is cancelled, and waited for, says so.
    let checking = instance.check(&request(&cx), Arc::new(RunServices { cx }));
    checking.cancel();
    checking.cancel();
    assert_eq!(timeout(LONG, checking).await.expect("no answer"), Err(CallError::Cancelled));
}

#[tokio::test]
async fn a_check_that_blocks_holds_up_nobody_else() {
    let block = || obedient(json!({ "block": { "millis": 1000 } }));
    let cx = context();
    let checking = block().check(&request(&cx), Arc::new(RunServices { cx: cx.clone() }));
    let ended = checking.ended();
    drop(checking);
    // Dropped at once; its code runs on, and lets go when it comes back.
    assert_eq!(ask(&obedient(json!("succeed")), &cx).await, Ok(ProbeResult::Success));
    timeout(LONG, ended).await.expect("has not ended");
}

#[tokio::test]
async fn a_check_runs_commands_through_its_host() {
    let cx = context();
    let run = |command: &[&str]| obedient(json!({ "run": { "command": command } }));
    let answer = ask(&run(&["sh", "-c", "echo out; echo err >&2; exit 3"]), &cx).await;
    assert_eq!(answer, Ok(ProbeResult::failure("exited with status 3: out\nerr\n")));
    let answer = ask(&run(&["/nowhere/to/be/found"]), &cx).await;
    assert_eq!(answer, Ok(ProbeResult::unknown("no such file: `/nowhere/to/be/found`")));
}

/// Counts the requests that are under way, and answers none.
#[derive(Default)]
struct Silent {
    under_way: Arc<AtomicUsize>,
    asked: tokio::sync::Notify,
}

struct Leaves(Arc<AtomicUsize>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Services for Silent {
    async fn serve(&self, _request: ServiceRequest) -> ServiceAnswer {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let _leaves = Leaves(Arc::clone(&self.under_way));
        self.asked.notify_one();
        std::future::pending().await
    }
}

#[tokio::test]
async fn what_a_cancelled_check_has_asked_for_is_cancelled() {
    let services = Arc::new(Silent::default());
    let instance = obedient(json!({ "run": { "command": ["true"] } }));
    let checking = instance.check(&request(&context()), Arc::clone(&services) as Arc<dyn Services>);
    timeout(LONG, services.asked.notified()).await.expect("was not asked");
    assert_eq!(services.under_way.load(Ordering::SeqCst), 1);
    let ended = checking.ended();
    drop(checking);
    timeout(LONG, ended).await.expect("has not ended");
    // Let go of by the library, and soon by us.
    timeout(LONG, async {
        while services.under_way.load(Ordering::SeqCst) > 0 || Arc::strong_count(&services) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the request is still under way");
}

/// Panics when it is asked.
struct Panics;

#[async_trait]
impl Services for Panics {
    async fn serve(&self, _request: ServiceRequest) -> ServiceAnswer {
        panic!("the host's own")
    }
}

#[tokio::test]
async fn a_panic_of_ours_does_not_cross_either() {
    let instance = obedient(json!({ "run": { "command": ["true"] } }));
    let answer = timeout(LONG, instance.check(&request(&context()), Arc::new(Panics))).await;
    let told = "asking vitald to run a command: the host's own";
    assert_eq!(answer.expect("no answer"), Ok(ProbeResult::unknown(told)));
}

#[tokio::test]
async fn a_check_knows_its_run() {
    let run = Run::of(std::process::id()).log_offset(17).container("c0ffee").memory(4096);
    let pid = std::process::id();
    let cx = CheckContext { run: Some(Arc::new(run)), ..context() };
    let told = format!(
        "pid {pid}, log at 17, container Some(\"c0ffee\"), pids Ok([{pid}]), memory Ok(4096), \
         heard Err(\"it is given no socket to tell on\")"
    );
    assert_eq!(ask(&obedient(json!("tell")), &cx).await, Ok(ProbeResult::failure(told)));
    assert_eq!(ask(&obedient(json!("tell")), &context()).await, Ok(ProbeResult::unknown("no run")));
}

#[tokio::test]
async fn many_checks_at_once_come_to_their_own_answers() {
    let library = library();
    let mut checks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let config = json!({ "does": { "run": { "command": ["echo", number.to_string()] } } });
        let instance = build_with(&library, "obedient", config).unwrap();
        checks.spawn(async move { (number, ask(&instance, &context()).await) });
        if checks.len() == 20 {
            let (number, answer) = checks.join_next().await.unwrap().unwrap();
            let told = format!("exited with status 0: {number}\n");
            assert_eq!(answer, Ok(ProbeResult::failure(told)));
        }
    }
    while let Some(answer) = checks.join_next().await {
        let (number, answer) = answer.unwrap();
        assert_eq!(answer, Ok(ProbeResult::failure(format!("exited with status 0: {number}\n"))));
    }
}

#[tokio::test]
async fn a_library_in_c_is_asked_and_asks() {
    let library = Library::open(&build::c("GOOD")).unwrap();
    let Err(CallError::Refused(mistake)) = build_with(&library, "even", json!("wrong")) else {
        panic!("was built")
    };
    assert_eq!((&*mistake.path, mistake.kind), ("wrong", SpecErrorKind::Forbidden));
    let instance = build_with(&library, "even", json!({})).unwrap();
    assert_eq!(ask(&instance, &context()).await, Ok(ProbeResult::failure("odd")));
    assert_eq!(ask(&instance, &context()).await, Ok(ProbeResult::Success));
    let cx = CheckContext { run: Some(Arc::new(Run::of(7).pids([7, 8]))), ..context() };
    assert_eq!(ask(&instance, &cx).await, Ok(ProbeResult::failure("0 {\"pids\":{\"Ok\":[7,8]}}")));
}

#[tokio::test]
async fn a_library_that_answers_twice_is_heard_once() {
    let library = Library::open(&build::c("ANSWERS_TWICE")).unwrap();
    let instance = build_with(&library, "even", json!({})).unwrap();
    for expected in [ProbeResult::failure("odd"), ProbeResult::Success] {
        assert_eq!(ask(&instance, &context()).await, Ok(expected));
    }
}
