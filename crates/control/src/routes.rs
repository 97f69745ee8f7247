//! The routes, each a few lines over [`SupervisorHandle`].

use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use vitald_core::spec::ProbeRole;
use vitald_core::status::{ComponentDetail, ComponentStatus, ProbeAnswer, Status};
use vitald_supervisor::handle::Command;
use vitald_supervisor::{ShutdownMode, SupervisorHandle};

use crate::error::Refusal;
use crate::events;

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
        .route("/v1/shutdown", post(shutdown))
        .fallback(async |uri: Uri| Refusal::not_found(format!("there is no {}", uri.path())))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Refusal::wrong_method(format!("{} does not take {method}", uri.path()))
        })
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
    // Carried out to its end even if the client goes away meanwhile.
    let supervisor = api.supervisor.clone();
    let asked = names.clone();
    tokio::spawn(async move { supervisor.command(command, &asked).await })
        .await
        .map_err(|err| Refusal::bad_request(format!("the command was not carried out: {err}")))??;
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
    });
    Ok(StatusCode::ACCEPTED)
}
