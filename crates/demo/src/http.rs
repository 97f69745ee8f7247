//! The HTTP port: health, readiness, and the orders to misbehave.

use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::faults::Faults;

const USAGE: &str = "\
GET  /healthz                  200 while anything answers at all
GET  /ready                    200, or 503 while unready
POST /crash                    exit with status 1
POST /exit?code=N              exit with status N (0)
POST /hang?seconds=N           answer nothing on any port for N seconds (for good)
POST /unready?seconds=N        be unready for N seconds (10)
POST /slow?ms=N&seconds=N      take N ms (1000) longer for every answer, for N seconds (10)
";

pub(crate) async fn serve(
    listener: TcpListener,
    faults: Faults,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    axum::serve(listener, router(faults)).with_graceful_shutdown(stopped).await?;
    Ok(())
}

fn router(faults: Faults) -> Router {
    Router::new()
        .route("/", get(USAGE))
        .route("/healthz", get("ok\n"))
        .route("/ready", get(ready))
        .route("/crash", post(crash))
        .route("/exit", post(exit))
        .route("/hang", post(hang))
        .route("/unready", post(unready))
        .route("/slow", post(slow))
        .layer(from_fn_with_state(faults.clone(), take_time))
        .with_state(faults)
}

async fn take_time(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    faults.before_answer().await;
    next.run(request).await
}

async fn ready(State(faults): State<Faults>) -> (StatusCode, &'static str) {
    if faults.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn crash(State(faults): State<Faults>) -> &'static str {
    faults.exit(1);
    "crashing\n"
}

#[derive(Deserialize)]
struct Exit {
    code: Option<i32>,
}

async fn exit(State(faults): State<Faults>, Query(exit): Query<Exit>) -> &'static str {
    faults.exit(exit.code.unwrap_or(0));
    "exiting\n"
}

#[derive(Deserialize)]
struct Span {
    seconds: Option<f64>,
}

async fn hang(State(faults): State<Faults>, Query(span): Query<Span>) -> &'static str {
    faults.hang(span.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()));
    "hanging\n"
}

async fn unready(State(faults): State<Faults>, Query(span): Query<Span>) -> &'static str {
    faults.turn_unready(seconds(span.seconds));
    "turning unready\n"
}

#[derive(Deserialize)]
struct Slow {
    ms: Option<u64>,
    seconds: Option<f64>,
}

async fn slow(State(faults): State<Faults>, Query(slow): Query<Slow>) -> &'static str {
    faults.slow_down(Duration::from_millis(slow.ms.unwrap_or(1000)), seconds(slow.seconds));
    "slowing down\n"
}

fn seconds(given: Option<f64>) -> Duration {
    Duration::try_from_secs_f64(given.unwrap_or(10.0)).unwrap_or(Duration::MAX)
}
