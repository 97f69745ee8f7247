//! Custom probes: kinds that come, change and go while the supervisor runs.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use vitald_core::check::Check;
use vitald_core::notify::RunNeeds;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, SpecError};
use vitald_core::registry::{AnyKind, Isolation, Origin, Registry};
use vitald_core::spec::ProbeSpec;
use vitald_core::status::{PluginChanges, PluginLimits, PluginState, PluginStatus};
use vitald_supervisor::{ProbeInUse, ProbeLibraries};

use super::*;

/// Libraries with the keys that the test says; `fussy` takes no configuration but `{}`.
#[derive(Default)]
struct Libraries {
    keys: Mutex<Vec<&'static str>>,
    refuses: Mutex<Option<String>>,
    asked: Mutex<Vec<ProbeInUse>>,
}

impl ProbeLibraries for Libraries {
    fn list(&self) -> Vec<PluginStatus> {
        let keys = self.keys.lock().unwrap().iter().map(|key| (*key).to_owned()).collect();
        let state = PluginState::Loaded;
        vec![PluginStatus { file: FILE.into(), state, message: String::new(), probes: keys, about: None }]
    }

    fn folders(&self) -> Vec<std::path::PathBuf> {
        vec!["/plugins".into()]
    }

    fn limits(&self) -> PluginLimits {
        LIMITS
    }

    fn reload(&self, in_use: Vec<ProbeInUse>) -> Result<(PluginChanges, Arc<Registry>), String> {
        *self.asked.lock().unwrap() = in_use;
        if let Some(why) = self.refuses.lock().unwrap().clone() {
            return Err(why);
        }
        let mut registry = Registry::new();
        for key in self.keys.lock().unwrap().iter() {
            registry.insert(Arc::new(Kind { key, schema: schemars::json_schema!({}) })).unwrap();
        }
        let replaced = vec![FILE.to_owned()];
        Ok((PluginChanges { replaced, ..PluginChanges::default() }, Arc::new(registry)))
    }
}

const LIMITS: PluginLimits = PluginLimits { memory: 1 << 30, open_files: 100 };
const FILE: &str = "/plugins/libcustom.so";

struct Kind {
    key: &'static str,
    schema: schemars::Schema,
}

impl AnyKind for Kind {
    fn key(&self) -> &str {
        self.key
    }

    fn origin(&self) -> Origin {
        Origin::Library(FILE.into())
    }

    fn schema(&self) -> &schemars::Schema {
        &self.schema
    }

    fn validate(&self, config: &Value, _component: &ComponentContext) -> Result<(), SpecError> {
        match self.key == "fussy" && *config != json!({}) {
            true => Err(SpecError::new("must not be there").at("path")),
            false => Ok(()),
        }
    }

    fn build(
        &self,
        _config: &Value,
        _component: &ComponentContext,
        _isolation: Isolation,
    ) -> Result<Box<dyn HealthProbe>, SpecError> {
        Ok(Box::new(Well))
    }

    fn needs(&self, _config: &Value) -> RunNeeds {
        RunNeeds::default()
    }
}

struct Well;

#[vitald_core::async_trait]
impl HealthProbe for Well {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        ProbeResult::Success
    }
}

fn with_probe(name: &str, check: Check) -> ComponentSpec {
    let readiness_probe = Some(ProbeSpec::new(ProbeRole::Readiness, check));
    ComponentSpec { readiness_probe, ..component(name) }
}

fn custom(name: &str, key: &str, config: Value) -> ComponentSpec {
    with_probe(name, Check::handler(key, config))
}

fn world() -> (World, Arc<Libraries>) {
    let libraries = Arc::new(Libraries::default());
    let mut world = World::new();
    world.libraries = Some(Arc::clone(&libraries) as Arc<dyn ProbeLibraries>);
    (world, libraries)
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_library_comes_later_is_asked_without_a_restart() {
    let (world, libraries) = world();
    let supervisor = world.start(vec![custom("web", "diskSpace", json!({}))]).await;
    world.pass(SECOND * 20).await;
    let web = world.component(&supervisor, "web");
    assert_eq!((web.ready, web.probes[0].state), (false, Some(ProbeState::Unknown)));
    assert!(web.probes[0].message.contains("no probe is named `diskSpace`"), "{}", web.probes[0].message);

    *libraries.keys.lock().unwrap() = vec!["diskSpace"];
    let changes = supervisor.reload_plugins().await.unwrap();
    assert_eq!(changes.replaced, [FILE]);
    world.pass(SECOND * 6).await;
    assert!(world.component(&supervisor, "web").ready);
    assert_eq!(world.calls(), ["start web 1"]);
    assert_eq!(
        events(&supervisor, "PluginsReloaded"),
        ["libraries of custom probes: /plugins/libcustom.so replaced"]
    );
    assert_eq!(supervisor.plugins().await[0].probes, ["diskSpace"]);
    assert_eq!(supervisor.plugin_folders(), [std::path::Path::new("/plugins")]);
    assert_eq!(supervisor.plugin_limits(), Some(LIMITS));
    assert_eq!(supervisor.registry().keys().collect::<Vec<_>>(), ["diskSpace"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_is_checked_before_libraries_are_exchanged() {
    let (world, libraries) = world();
    *libraries.keys.lock().unwrap() = vec!["fussy", "diskSpace"];
    let parts = Check::AllOf(vec![
        Check::handler("fussy", json!({})),
        Check::AnyOf(vec![
            Check::handler("diskSpace", json!({ "path": "/" })),
            Check::handler("nobodys", json!({})),
        ]),
    ]);
    let supervisor = world.start(vec![with_probe("web", parts), component("db")]).await;
    supervisor.reload_plugins().await.unwrap();
    let registry = supervisor.registry();

    *libraries.refuses.lock().unwrap() = Some(format!("{FILE}: component web: path: must be absolute"));
    let refused = supervisor.reload_plugins().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "/plugins/libcustom.so: component web: path: must be absolute; nothing was changed"
    );
    assert!(Arc::ptr_eq(&registry, &supervisor.registry()));
    assert_eq!(events(&supervisor, "PluginsReloaded").last(), Some(&refused.to_string()));
    let asked = libraries.asked.lock().unwrap();
    let asked: Vec<_> =
        asked.iter().map(|one| (one.component.name.as_str(), one.key.as_str(), &one.config)).collect();
    assert_eq!(asked, [("web", "fussy", &json!({})), ("web", "diskSpace", &json!({ "path": "/" }))]);
}

#[tokio::test(start_paused = true)]
async fn specs_with_probes_that_cannot_be_made_here_are_refused_with_what_to_do() {
    let (world, libraries) = world();
    let before = vec![custom("web", "nobodys", json!({}))];
    let supervisor = world.start(before.clone()).await;
    *libraries.keys.lock().unwrap() = vec!["fussy"];
    supervisor.reload_plugins().await.unwrap();
    assert!(supervisor.check(before.clone()).await.is_ok(), "what is as it was is left alone");

    let told = async |spec: ComponentSpec| supervisor.check(vec![spec]).await.unwrap_err().to_string();
    let unknown = with_probe("db", Check::AllOf(vec![Check::handler("nobodys", json!({}))]));
    assert_eq!(
        told(unknown).await,
        "component `db`: readinessProbe: this supervisor knows no probe named `nobodys`; if a library that came later \
         has it, `vitald plugin reload` loads it. It looks into the folders that it was started with: `vitald plugin \
         list --running` shows what it has found there"
    );
    let refused = with_probe("db", Check::AllOf(vec![Check::handler("fussy", json!({ "path": "/" }))]));
    assert_eq!(
        told(refused).await,
        "component `db`: readinessProbe.allOf[0].fussy.path: must not be there; that is what /plugins/libcustom.so \
         says, as this supervisor has loaded it: if there is another version of it now, `vitald plugin reload` loads \
         that"
    );
    let good = vec![custom("db", "fussy", json!({}))];
    assert_eq!(supervisor.check(good.clone()).await, Ok(good));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_without_libraries_has_none_and_finds_none() {
    let world = World::new();
    let supervisor = world.start(vec![component("web")]).await;
    assert_eq!(supervisor.plugins().await, []);
    assert!(supervisor.reload_plugins().await.unwrap().is_empty());
}
