//! The routes, each a few lines over [`SupervisorHandle`].

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use vitald_core::spec::{ComponentSpec, ProbeRole};
use vitald_core::status::{
    ComponentDetail, ComponentStatus, Plan, PluginChanges, PluginLimits, PluginStatus, ProbeAnswer, Status,
};
use vitald_supervisor::handle::Command;
use vitald_supervisor::{CommandError, ShutdownMode, SupervisorHandle};

use crate::error::Refusal;
use crate::events;

/// No request is longer. A component takes a few kilobytes, so that there is room for thousands.
const MOST_BYTES: usize = 64 << 20;

/// What every route may use.
#[derive(Clone)]
struct Api {
    supervisor: SupervisorHandle,
    /// Cancelled when the server is to end; streams without end listen to it.
    stop: CancellationToken,
}

/// All routes of the API.
pub(crate) fn router(supervisor: SupervisorHandle, stop: CancellationToken) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        // The name of a component for GET, a verb for POST: a component may be called `start`.
        .route("/v1/components/{what}", get(describe).post(command))
        .route("/v1/components/{name}/probes/{role}", post(run_probe))
        .route("/v1/events", get(events))
        .route("/v1/specs", get(specs))
        .route("/v1/plan", post(plan))
        .route("/v1/apply", post(apply))
        .route("/v1/plugins", get(plugins))
        .route("/v1/plugins/folders", get(plugin_folders))
        .route("/v1/plugins/limits", get(plugin_limits))
        .route("/v1/plugins/reload", post(reload_plugins))
        .route("/v1/shutdown", post(shutdown))
        .fallback(async |uri: Uri| Refusal::not_found(format!("there is no {}", uri.path())))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Refusal::wrong_method(format!("{} does not take {method}", uri.path()))
        })
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(Api { supervisor, stop })
}

async fn status(State(api): State<Api>) -> Json<Status> {
    Json(api.supervisor.status())
}

async fn describe(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<ComponentDetail>, Refusal> {
    Ok(Json(api.supervisor.describe(&name)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    names: Vec<String>,
}

async fn command(
    State(api): State<Api>,
    Path(verb): Path<String>,
    body: Result<Json<Names>, JsonRejection>,
) -> Result<Json<Vec<ComponentStatus>>, Refusal> {
    let command = match verb.as_str() {
        "start" => Command::Start,
        "stop" => Command::Stop,
        "restart" => Command::Restart,
        "reset" => Command::Reset,
        other => {
            return Err(Refusal::not_found(format!(
                "components can be told to start, stop, restart and reset, not to {other}"
            )));
        }
    };
    let Json(Names { names }) = body?;
    if names.is_empty() {
        return Err(Refusal::bad_request("no component is named"));
    }
    let supervisor = api.supervisor.clone();
    let asked = names.clone();
    to_its_end(async move { supervisor.command(command, &asked).await }).await?;
    let mut components = api.supervisor.status().components;
    components.retain(|component| names.contains(&component.name));
    Ok(Json(components))
}

async fn run_probe(
    State(api): State<Api>,
    Path((name, role)): Path<(String, String)>,
) -> Result<Json<ProbeAnswer>, Refusal> {
    let role = ProbeRole::ALL.into_iter().find(|known| known.name() == role).ok_or_else(|| {
        Refusal::bad_request(format!("`{role}` is no probe: there are startup, liveness and readiness"))
    })?;
    Ok(Json(api.supervisor.run_probe(&name, role).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    #[serde(default)]
    follow: bool,
    component: Option<String>,
}

async fn events(
    State(api): State<Api>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(EventsQuery { follow, component }) = query?;
    if let Some(name) = &component {
        api.supervisor.describe(name)?;
    }
    let (recent, news) = api.supervisor.events();
    let stop = follow.then_some((news, api.stop));
    Ok(events::ndjson(recent, stop, component))
}

async fn specs(State(api): State<Api>) -> Json<Vec<Arc<ComponentSpec>>> {
    Json(api.supervisor.specs())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    components: Vec<ComponentSpec>,
    /// Where they are from; as before, if nothing is said.
    manifests: Option<Vec<PathBuf>>,
}

async fn plan(
    State(api): State<Api>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Plan>, Refusal> {
    let components = api.supervisor.check(body?.0.components).await?;
    Ok(Json(api.supervisor.plan(&components)))
}

async fn apply(
    State(api): State<Api>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Plan>, Refusal> {
    let Json(Wanted { components, manifests }) = body?;
    check_together(&components)?;
    let plan = to_its_end(async move {
        let components = api.supervisor.check(components).await?;
        match manifests {
            Some(manifests) => api.supervisor.apply_from(manifests, components).await,
            None => api.supervisor.apply(components).await,
        }
    });
    Ok(Json(plan.await?))
}

async fn plugins(State(api): State<Api>) -> Json<Vec<PluginStatus>> {
    Json(api.supervisor.plugins().await)
}

async fn plugin_folders(State(api): State<Api>) -> Json<Vec<String>> {
    // JSON is text, and paths need not be.
    Json(
        api.supervisor
            .plugin_folders()
            .iter()
            .filter_map(|folder| Some(folder.to_str()?.to_owned()))
            .collect(),
    )
}

async fn plugin_limits(State(api): State<Api>) -> Json<Option<PluginLimits>> {
    Json(api.supervisor.plugin_limits())
}

async fn reload_plugins(State(api): State<Api>) -> Result<Json<PluginChanges>, Refusal> {
    Ok(Json(to_its_end(async move { api.supervisor.reload_plugins().await }).await?))
}

/// Whether these can be components of one supervisor. Whoever sends them has read them from manifests, where
/// everything else is checked.
fn check_together(components: &[ComponentSpec]) -> Result<(), Refusal> {
    let mut before = BTreeSet::new();
    for component in components {
        // It becomes the name of files.
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if component.name.is_empty() || !component.name.chars().all(label) {
            return Err(Refusal::bad_request(format!("no component can be named `{}`", component.name)));
        }
        let missing = component.depends_on.iter().find(|on| !before.contains(on.name.as_str()));
        if let Some(missing) = missing {
            return Err(Refusal::bad_request(format!(
                "component `{}` does not come after `{}`, which it depends on",
                component.name, missing.name
            )));
        }
        if !before.insert(component.name.as_str()) {
            return Err(Refusal::bad_request(format!("two components are named `{}`", component.name)));
        }
    }
    Ok(())
}

/// Carries something out to its end, even if the client goes away meanwhile.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, CommandError>> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::spawn(work).await;
    Ok(done.map_err(|err| Refusal::bad_request(format!("the command was not carried out: {err}")))??)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shutdown {
    #[serde(default)]
    mode: Mode,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
enum Mode {
    #[default]
    Graceful,
    Now,
    Keep,
}

async fn shutdown(State(api): State<Api>, body: Bytes) -> Result<StatusCode, Refusal> {
    let Shutdown { mode } = if body.is_empty() {
        Shutdown { mode: Mode::Graceful }
    } else {
        serde_json::from_slice(&body).map_err(|err| Refusal::bad_request(err.to_string()))?
    };
    api.supervisor.shutdown(match mode {
        Mode::Graceful => ShutdownMode::Graceful,
        Mode::Now => ShutdownMode::Now,
        Mode::Keep => ShutdownMode::Keep,
    });
    Ok(StatusCode::ACCEPTED)
}
