//! A test kit: a probe is built and checked as in a component, without a supervisor.
//!
//! ```
//! # use vitald_sdk::async_trait;
//! # use vitald_sdk::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
//! # pub struct FileProbe(std::path::PathBuf);
//! # #[derive(serde::Deserialize, schemars::JsonSchema)]
//! # pub struct FileSpec { path: std::path::PathBuf }
//! # impl ProbeKind for FileProbe {
//! #     const KEY: &'static str = "file";
//! #     type Spec = FileSpec;
//! #     fn build(spec: FileSpec, component: &ComponentContext) -> Result<Self, SpecError> {
//! #         if spec.path.is_absolute() { return Err(SpecError::new("must be relative").at("path")); }
//! #         Ok(Self(component.working_dir.join(spec.path)))
//! #     }
//! # }
//! # #[async_trait]
//! # impl HealthProbe for FileProbe {
//! #     async fn check(&self, _: &CheckContext) -> ProbeResult {
//! #         match self.0.exists() { true => ProbeResult::Success, false => ProbeResult::failure("no file") }
//! #     }
//! # }
//! use vitald_sdk::kit::{self, Kit, json};
//!
//! // In a test of tokio's: `kit::check::<FileProbe>(…).await`. In any other:
//! let result = kit::block_on(kit::check::<FileProbe>(json!({ "path": "not/there" })));
//! assert_eq!(result, Ok(ProbeResult::failure("no file")));
//!
//! // What a manifest would say about its component.
//! let kit = Kit::new().working_dir("/etc").port("http", 8080);
//! let result = kit::block_on(kit.check::<FileProbe>(json!({ "path": "passwd" })));
//! assert_eq!(result, Ok(ProbeResult::Success));
//!
//! // What somebody reads who got the manifest wrong.
//! assert_eq!(
//!     kit::mistake::<FileProbe>(json!({ "path": "/etc" })).as_deref(),
//!     Some(r#"spec.livenessProbe.file.path: invalid value "/etc": must be relative"#),
//! );
//! ```

mod commands;
mod mistake;
mod run;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use serde_json::{Value, json};
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::registry::{Isolation, Registry, schema_of};
use vitald_core::restarter::{Executor, RunView};
use vitald_core::spec::ComponentKind;

use crate::message::own_time;

pub use self::commands::Commands;
pub use self::run::Run;

/// How long a check may take, where a test does not say.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Builds a probe from what stands below its key, and checks once. In a kit as [`Kit::new`] has it.
///
/// # Errors
/// A mistake in the configuration.
pub async fn check<K: ProbeKind>(config: Value) -> Result<ProbeResult, SpecError> {
    Kit::new().check::<K>(config).await
}

/// What vitald says of a mistake in this configuration, in the line above the manifest's own; `None` where there is
/// no mistake. See [`Kit::mistake`].
pub fn mistake<K: ProbeKind>(config: Value) -> Option<String> {
    Kit::new().mistake::<K>(config)
}

/// The JSON Schema of a probe's configuration, as vitald checks manifests against it.
pub fn schema<K: ProbeKind>() -> Value {
    schema_of::<K>().to_value()
}

/// Waits for a future on the runtime that a library's checks run on: for tests that have none of their own.
///
/// # Panics
/// It is called within a runtime, or none can be had.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    match crate::runtime::runtime() {
        Ok(runtime) => runtime.block_on(future),
        Err(err) => panic!("a runtime for tests: {err}"),
    }
}

/// What a probe is told and given in a test. Each of its checks is one of a fresh probe.
#[derive(Clone)]
pub struct Kit {
    component: ComponentContext,
    cx: CheckContext,
}

impl Default for Kit {
    fn default() -> Self {
        Self::new()
    }
}

impl Kit {
    /// A component `test` without ports and log, in the current folder; no run; commands run for real; checks may
    /// take [`TIMEOUT`].
    pub fn new() -> Self {
        let working_dir = std::env::current_dir().unwrap_or_default();
        let executor = Arc::new(Commands::within(&working_dir));
        let component =
            ComponentContext { name: "test".to_owned(), working_dir, ..ComponentContext::default() };
        Self { component, cx: CheckContext { timeout: TIMEOUT, run: None, executor } }
    }

    /// The component's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.component.name = name.into();
        self
    }

    /// What the component is. Unknown otherwise.
    pub fn kind(mut self, kind: ComponentKind) -> Self {
        self.component.kind = Some(kind);
        self
    }

    /// A port of the component. May be called again for another one.
    pub fn port(mut self, name: impl Into<String>, port: u16) -> Self {
        self.component.ports.insert(name.into(), port);
        self
    }

    /// The component's working directory; its commands run there, too, unless [`executor`](Self::executor) is called
    /// after this.
    pub fn working_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.component.working_dir = dir.into();
        self.cx.executor = Arc::new(Commands::within(&self.component.working_dir));
        self
    }

    /// The component's own log.
    pub fn log_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.component.log_file = Some(file.into());
        self
    }

    /// How long a check may take: as in a manifest, so that it is given nine tenths of it to bound what it waits for.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.cx.timeout = timeout;
        self
    }

    /// The run that is checked, such as a [`Run`].
    pub fn run(mut self, run: impl RunView) -> Self {
        self.cx.run = Some(Arc::new(run));
        self
    }

    /// What runs commands instead.
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.cx.executor = Arc::new(executor);
        self
    }

    /// Builds a probe, as for the manifest of a component.
    ///
    /// # Errors
    /// A mistake in the configuration.
    pub fn build<K: ProbeKind>(&self, config: &Value) -> Result<Box<dyn HealthProbe>, SpecError> {
        let mut kinds = Registry::new();
        kinds.add::<K>();
        kinds.build(K::KEY, config, &self.component, Isolation::InProcess)
    }

    /// Builds a probe and checks once. Must be called within a tokio runtime, as [`block_on`] or a `tokio::test` is one.
    /// A check that does not come back in time is dropped and unknown, as in the supervisor; one that panics panics
    /// here, too.
    ///
    /// # Errors
    /// A mistake in the configuration.
    pub async fn check<K: ProbeKind>(&self, config: Value) -> Result<ProbeResult, SpecError> {
        let probe = self.build::<K>(&config)?;
        let limit = self.cx.timeout;
        let cx = CheckContext { timeout: own_time(limit), ..self.cx.clone() };
        Ok(match tokio::time::timeout(limit, probe.check(&cx)).await {
            Ok(result) => result,
            Err(_elapsed) => ProbeResult::unknown(format!(
                "the {} probe did not come back within {} s",
                K::KEY,
                limit.as_secs_f64()
            )),
        })
    }

    /// What vitald says of a mistake in this configuration, in the line above the manifest's own; `None` where there
    /// is no mistake. Of what the schema forbids already, vitald may say more.
    pub fn mistake<K: ProbeKind>(&self, config: Value) -> Option<String> {
        let mistake = self.build::<K>(&config).err()?;
        Some(mistake::headline(K::KEY, &config, &mistake))
    }
}
