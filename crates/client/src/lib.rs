//! Typed client of a running vitald supervisor.
//!
//! ```no_run
//! use std::path::Path;
//! use futures_util::StreamExt;
//! use vitald_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let vitald = Client::connect(Path::new("/run/user/1000/my-state-dir")).await?;
//!
//! let web = vitald.component("web").await?;
//! println!("{}: {:?} for {:?}, {} restarts", web.name(), web.state(), web.uptime(), web.restart_count());
//! if !web.is_healthy() {
//!     eprintln!("{}", web.last_error().unwrap_or("no error"));
//!     vitald.restart(&["web"]).await?;
//! }
//!
//! let mut events = vitald.events_follow(Some("web")).await?;
//! while let Some(event) = events.next().await {
//!     println!("{}", event?.message);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What comes back are the types of [`vitald_core::status`]. A [`Client`] holds no connection: it stays good
//! when the supervisor is replaced by the next one on the same state dir.

mod component;
mod error;
mod events;
mod transport;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Method;
use serde::Serialize;
use vitald_core::spec::{ComponentSpec, ProbeRole};
use vitald_core::status::{
    ComponentDetail, ComponentStatus, EventRecord, Plan, PluginChanges, PluginLimits, PluginStatus,
    ProbeAnswer, Status,
};

pub use component::Component;
pub use error::Error;
pub use events::EventStream;
use transport::Transport;

/// How long a question may take that the supervisor answers out of its memory.
const QUESTION: Option<Duration> = Some(Duration::from_secs(10));

/// The same where libraries of custom probes are asked first.
const CHECK: Option<Duration> = Some(Duration::from_secs(60));

/// How to end a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ShutdownMode {
    /// Stop all in reverse order, each with its grace period.
    Graceful,
    /// SIGKILL everything at once.
    Now,
    /// Leave everything as it is to the next supervisor.
    Keep,
}

/// Talks to the supervisor of one state dir.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// A client for the supervisor of `state_dir`, which must be listening.
    ///
    /// # Errors
    /// [`Error::NoSupervisor`] if none is.
    pub async fn connect(state_dir: &Path) -> Result<Self, Error> {
        let transport = Transport::open(state_dir)?;
        transport.reach().await?;
        Ok(Self { transport })
    }

    /// The supervisor and all components, in start order.
    ///
    /// # Errors
    /// See [`Error`]; so for everything below.
    pub async fn status(&self) -> Result<Status, Error> {
        self.transport.ask(Method::GET, "/v1/status", None::<&()>, QUESTION).await
    }

    /// How one component is.
    ///
    /// # Errors
    /// [`Error::Refused`] (404) if there is none of that name.
    pub async fn component(&self, name: &str) -> Result<Component, Error> {
        Ok(Component::from(self.describe(name).await?.status))
    }

    /// All of one component.
    ///
    /// # Errors
    /// [`Error::Refused`] (404) if there is none of that name.
    pub async fn describe(&self, name: &str) -> Result<ComponentDetail, Error> {
        let path = format!("/v1/components/{}", transport::escape(name));
        self.transport.ask(Method::GET, &path, None::<&()>, QUESTION).await
    }

    /// The recent events of all components, or of one, oldest first.
    ///
    /// # Errors
    /// [`Error::Refused`] (404) if there is no such component.
    pub async fn events(&self, component: Option<&str>) -> Result<Vec<EventRecord>, Error> {
        use futures_util::TryStreamExt;
        let body = self.transport.stream(&events_path(component, false)).await?;
        let all = EventStream::new(body).try_collect();
        self.transport.within(QUESTION, all).await
    }

    /// The same, then each further one as it happens. Ends when the supervisor does. An event that repeats
    /// comes again with a higher `count`; an event `EventsLost` stands where this reader was too slow.
    ///
    /// # Errors
    /// [`Error::Refused`] (404) if there is no such component.
    pub async fn events_follow(&self, component: Option<&str>) -> Result<EventStream, Error> {
        Ok(EventStream::new(self.transport.stream(&events_path(component, true)).await?))
    }

    /// Starts what does not run, and leaves alone what does. Returns once a run has begun, is being waited
    /// for, or has failed to begin. None or all: refused as a whole if one name is wrong.
    ///
    /// # Errors
    /// [`Error::Refused`] if a name is wrong or the supervisor is ending.
    pub async fn start(&self, names: &[impl AsRef<str>]) -> Result<Vec<ComponentStatus>, Error> {
        self.command("start", names).await
    }

    /// Stops components until they are started on request. Returns once they are gone, however long that
    /// takes.
    ///
    /// # Errors
    /// As for [`Client::start`].
    pub async fn stop(&self, names: &[impl AsRef<str>]) -> Result<Vec<ComponentStatus>, Error> {
        self.command("stop", names).await
    }

    /// Stops what runs, then starts.
    ///
    /// # Errors
    /// As for [`Client::start`].
    pub async fn restart(&self, names: &[impl AsRef<str>]) -> Result<Vec<ComponentStatus>, Error> {
        self.command("restart", names).await
    }

    /// Clears the counters, and starts what does not run.
    ///
    /// # Errors
    /// As for [`Client::start`].
    pub async fn reset(&self, names: &[impl AsRef<str>]) -> Result<Vec<ComponentStatus>, Error> {
        self.command("reset", names).await
    }

    /// Runs a component's probe now, beside its schedule; the answer counts for nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such component or probe, or the component does not run.
    pub async fn run_probe(&self, name: &str, role: ProbeRole) -> Result<ProbeAnswer, Error> {
        let path = format!("/v1/components/{}/probes/{role}", transport::escape(name));
        // The probe has its own deadline, which the supervisor knows.
        self.transport.ask(Method::POST, &path, None::<&()>, None).await
    }

    /// The components as their manifests had them, in start order.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn specs(&self) -> Result<Vec<ComponentSpec>, Error> {
        self.transport.ask(Method::GET, "/v1/specs", None::<&()>, QUESTION).await
    }

    /// What [`Client::apply`] would do.
    ///
    /// # Errors
    /// [`Error::Refused`] (400) if the supervisor cannot make a probe of one.
    pub async fn plan(&self, components: &[ComponentSpec]) -> Result<Plan, Error> {
        let request = Wanted { components, manifests: None };
        self.transport.ask(Method::POST, "/v1/plan", Some(&request), CHECK).await
    }

    /// Makes the components what these specs say, each of which comes after what it depends on: new ones are
    /// started, changed ones restarted, those that are not there any more stopped; the others are left alone.
    /// Returns once it has taken effect, however long that takes; it does so even if nobody waits for it.
    ///
    /// `manifests`: the files and folders that they are from, absolute paths. They are read again on SIGHUP.
    ///
    /// # Errors
    /// [`Error::Refused`] if the specs do not go together, the supervisor cannot make a probe of one, or it is ending.
    pub async fn apply(
        &self,
        components: &[ComponentSpec],
        manifests: Option<&[PathBuf]>,
    ) -> Result<Plan, Error> {
        let request = Wanted { components, manifests };
        self.transport.ask(Method::POST, "/v1/apply", Some(&request), None).await
    }

    /// The libraries of custom probes that the supervisor has found, those that are refused included.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn plugins(&self) -> Result<Vec<PluginStatus>, Error> {
        self.transport.ask(Method::GET, "/v1/plugins", None::<&()>, CHECK).await
    }

    /// The folders that the supervisor looks for libraries of custom probes in, in order: absolute paths.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn plugin_folders(&self) -> Result<Vec<PathBuf>, Error> {
        self.transport.ask(Method::GET, "/v1/plugins/folders", None::<&()>, QUESTION).await
    }

    /// What the process of each library of custom probes may use, from the supervisor's start to its end. `None` if
    /// the supervisor loads none.
    ///
    /// # Errors
    /// [`Error::Refused`] (404) if the supervisor is too old to say.
    pub async fn plugin_limits(&self) -> Result<Option<PluginLimits>, Error> {
        self.transport.ask(Method::GET, "/v1/plugins/limits", None::<&()>, QUESTION).await
    }

    /// Has the supervisor look for libraries of custom probes again. Checks that are under way end first; no
    /// component is touched.
    ///
    /// # Errors
    /// [`Error::Refused`] (409) if a library does not take what a component asks of it: nothing has changed.
    pub async fn reload_plugins(&self) -> Result<PluginChanges, Error> {
        // As long as the libraries take to answer, which the supervisor limits.
        self.transport.ask(Method::POST, "/v1/plugins/reload", None::<&()>, None).await
    }

    /// Tells the supervisor to end, and does not wait for it: it is gone when its lock is free.
    ///
    /// # Errors
    /// The supervisor could not be told.
    pub async fn shutdown(&self, mode: ShutdownMode) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Request {
            mode: ShutdownMode,
        }
        self.transport.tell("/v1/shutdown", &Request { mode }, QUESTION).await
    }

    async fn command(&self, verb: &str, names: &[impl AsRef<str>]) -> Result<Vec<ComponentStatus>, Error> {
        #[derive(Serialize)]
        struct Request<'a> {
            names: Vec<&'a str>,
        }
        let request = Request { names: names.iter().map(AsRef::as_ref).collect() };
        self.transport.ask(Method::POST, &format!("/v1/components/{verb}"), Some(&request), None).await
    }
}

/// What the components are to be.
#[derive(Serialize)]
struct Wanted<'a> {
    components: &'a [ComponentSpec],
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<&'a [PathBuf]>,
}

fn events_path(component: Option<&str>, follow: bool) -> String {
    let component = component.map(|name| format!("&component={}", transport::escape(name)));
    format!("/v1/events?follow={follow}{}", component.unwrap_or_default())
}
