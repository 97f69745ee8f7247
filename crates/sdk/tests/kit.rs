//! The test kit, as the tests of a custom probe crate use it.

use std::process::Command;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use vitald_sdk::kit::{self, Kit, Run, json};
use vitald_sdk::notify::Notified;
use vitald_sdk::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_sdk::restarter::ExecRequest;
use vitald_sdk::{ComponentKind, async_trait};

/// Fails with what it is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AskSpec {
    /// What for.
    about: About,
    /// A port.
    port: Option<PortRef>,
    /// Names; none may be empty.
    #[serde(default)]
    names: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum About {
    Component,
    Run,
    Nothing,
    Time,
    Command(Vec<String>),
}

struct AskProbe {
    about: About,
    component: ComponentContext,
}

impl ProbeKind for AskProbe {
    const KEY: &'static str = "ask";
    type Spec = AskSpec;

    fn build(spec: AskSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        if let Some(port) = &spec.port {
            component.port(port).map_err(|err| err.at("port"))?;
        }
        if let Some(empty) = spec.names.iter().position(String::is_empty) {
            return Err(SpecError::new("must be a name").at(format!("[{empty}]")).at("names"));
        }
        if spec.names.len() > 2 {
            return Err(SpecError::forbidden("there are enough").at("names"));
        }
        Ok(Self { about: spec.about, component: component.clone() })
    }
}

#[async_trait]
impl HealthProbe for AskProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        match &self.about {
            About::Component => ProbeResult::failure(format!(
                "{} {:?} {:?} {} {:?}",
                self.component.name,
                self.component.kind,
                self.component.ports,
                self.component.working_dir.display(),
                self.component.log_file
            )),
            About::Run => {
                let Some(run) = &cx.run else { return ProbeResult::unknown("no run") };
                ProbeResult::failure(format!(
                    "{} {:?} {:?} {:?} {} {}",
                    run.process().pid,
                    run.pids().await,
                    run.memory().await.map_err(|err| err.to_string()),
                    run.heard().await.map(|heard| heard.notified.status),
                    run.log_offset(),
                    run.container().unwrap_or_default(),
                ))
            }
            About::Nothing => std::future::pending().await,
            About::Time => match tokio::time::timeout(cx.timeout, std::future::pending::<()>()).await {
                Ok(()) => ProbeResult::Success,
                Err(_) => ProbeResult::failure(format!("no answer within {:?}", cx.timeout)),
            },
            About::Command(command) => {
                let request = ExecRequest { command: command.clone(), ..ExecRequest::default() };
                match cx.executor.exec(request).await {
                    Ok(done) => ProbeResult::failure(format!("{}: {}", done.exit, done.output)),
                    Err(err) => ProbeResult::unknown(err.to_string()),
                }
            }
        }
    }
}

fn failure(said: &str) -> Result<ProbeResult, SpecError> {
    Ok(ProbeResult::failure(said))
}

#[test]
fn a_probe_knows_its_component() {
    let about = json!({ "about": "component" });
    let kit = Kit::new().name("api").kind(ComponentKind::Container).port("http", 80).working_dir("/srv");
    let told = kit::block_on(kit.log_file("/srv/api.log").check::<AskProbe>(about));
    assert_eq!(told, failure(r#"api Some(Container) {"http": 80} /srv Some("/srv/api.log")"#));
}

#[tokio::test]
async fn a_probe_knows_its_run() {
    let about = json!({ "about": "run" });
    let told = kit::check::<AskProbe>(about.clone()).await;
    assert_eq!(told, Ok(ProbeResult::unknown("no run")));
    let run = Run::of(42).pids([42, 43]).memory(7).log_offset(5).container("c0ffee");
    let run = run.heard(Notified { status: "well".to_owned(), ..Notified::default() });
    let told = Kit::new().run(run).check::<AskProbe>(about).await;
    assert_eq!(told, failure(r#"42 Ok([42, 43]) Ok(7) Ok("well") 5 c0ffee"#));
}

#[test]
fn a_mistake_reads_as_it_does_in_a_manifest() {
    let mistake = |config| Kit::new().port("http", 80).mistake::<AskProbe>(config);
    let said = |config| mistake(config).unwrap();
    assert_eq!(mistake(json!({ "about": "run", "port": "http" })), None);
    assert_eq!(
        said(json!({ "about": "run", "port": "htpt" })),
        "spec.livenessProbe.ask.port: not found: no port is named `htpt`"
    );
    assert_eq!(
        said(json!({ "about": "run", "names": ["a", ""] })),
        "spec.livenessProbe.ask.names[1]: invalid value \"\": must be a name"
    );
    assert_eq!(
        said(json!({ "about": "run", "names": ["a", "b", "c"] })),
        "spec.livenessProbe.ask.names: forbidden: there are enough"
    );
    assert_eq!(said(json!({})), "spec.livenessProbe.ask: invalid: missing field `about`");
    assert!(said(json!({ "abuot": "run" })).contains("unknown field `abuot`"));
}

#[test]
fn a_check_bounds_itself_or_is_unknown() {
    let kit = Kit::new().timeout(Duration::from_millis(200));
    let told = kit::block_on(kit.check::<AskProbe>(json!({ "about": "time" })));
    assert_eq!(told, failure("no answer within 180ms"));
    let told = kit::block_on(kit.check::<AskProbe>(json!({ "about": "nothing" })));
    assert_eq!(told, Ok(ProbeResult::unknown("the ask probe did not come back within 0.2 s")));
}

#[tokio::test]
async fn commands_run_for_real() {
    let folder = std::env::temp_dir();
    let kit = Kit::new().working_dir(&folder);
    let run = async |command: &[&str]| {
        kit.check::<AskProbe>(json!({ "about": { "command": command } })).await.unwrap()
    };
    let told = run(&["sh", "-c", "pwd; echo trouble >&2; exit 3"]).await;
    assert_eq!(told.message(), format!("exited with status 3: {}\ntrouble\n", folder.display()));
    let told = run(&["sh", "-c", "kill -KILL $$"]).await;
    assert_eq!(told.message(), "was ended by SIGKILL: ");
    let told = run(&["/nowhere/to/be/found"]).await;
    assert_eq!(told, ProbeResult::unknown("no such file: `/nowhere/to/be/found`"));
    // The first bytes are kept, however many there are, and who holds on to the output is not waited for.
    let told = run(&["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; sleep 20 & exit 0"]).await;
    let output = told.message().strip_prefix("exited with status 0: ").unwrap();
    assert_eq!(output, "x".repeat(10 * 1024));
}

#[test]
fn the_command_of_a_dropped_check_is_killed() {
    let file = file_for_a_pid();
    let script = format!("echo $$ > {file}; exec sleep 60");
    let kit = Kit::new().timeout(Duration::from_secs(2));
    let told = kit::block_on(kit.check::<AskProbe>(json!({ "about": { "command": ["sh", "-c", script] } })));
    assert!(matches!(told, Ok(ProbeResult::Unknown(_))), "{told:?}");
    let pid = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let alive = || {
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap().stdout;
        !state.is_empty() && !state.starts_with(b"Z")
    };
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while alive() {
        assert!(std::time::Instant::now() < end, "{} is alive", pid.trim());
        std::thread::yield_now();
    }
}

fn file_for_a_pid() -> String {
    let name = format!("vitald-kit-{}", std::process::id());
    std::env::temp_dir().join(name).display().to_string()
}

#[test]
fn the_schema_is_that_of_manifests() {
    let schema = kit::schema::<AskProbe>();
    assert_eq!(schema["description"], "Fails with what it is asked for.");
    assert_eq!(schema["required"], json!(["about"]));
    assert!(!schema.to_string().contains("$ref"), "{schema}");
}
