//! The control API of a supervisor: HTTP with JSON over the Unix socket `vitald.sock` in its state dir.
//!
//! Command line, dashboard and scripts use this one API. Only the supervisor's own user and root are
//! heard: the socket has mode 0600, and a connection of anybody else is closed unread.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`](vitald_core::status::Status) |
//! | `GET /v1/components/NAME` | | [`ComponentDetail`](vitald_core::status::ComponentDetail) |
//! | `GET /v1/events` | | recent [`EventRecord`](vitald_core::status::EventRecord)s, oldest first, one a line (NDJSON) |
//! | `GET /v1/events?follow=true` | | the same, then each further one as it happens, without end |
//! | `GET /v1/events?component=NAME` | | those of one component; goes with `follow`, too |
//! | `POST /v1/components/start` | `{"names": ["…"]}` | once it has taken effect: the named components' [`ComponentStatus`](vitald_core::status::ComponentStatus) |
//! | `POST /v1/components/stop` | the same | the same |
//! | `POST /v1/components/restart` | the same | the same |
//! | `POST /v1/components/reset` | the same | the same |
//! | `POST /v1/components/NAME/probes/ROLE` | | [`ProbeAnswer`](vitald_core::status::ProbeAnswer); ROLE is `startup`, `liveness` or `readiness` |
//! | `GET /v1/specs` | | the [`ComponentSpec`](vitald_core::spec::ComponentSpec)s that there are, in start order |
//! | `POST /v1/plan` | `{"components": [SPEC, …]}`, each after what it depends on | the [`Plan`](vitald_core::status::Plan): what becomes of the components when these are applied |
//! | `POST /v1/apply` | the same, and `"manifests": ["…"]`: where they are from, absolute paths that SIGHUP is to read again | once it has taken effect: what became of them |
//! | `GET /v1/plugins` | | the libraries of custom probes that the supervisor has found: [`PluginStatus`](vitald_core::status::PluginStatus) |
//! | `GET /v1/plugins/folders` | | the folders that it looks for them in, in order: absolute paths |
//! | `GET /v1/plugins/limits` | | what the process of each may use, from the supervisor's start to its end: [`PluginLimits`](vitald_core::status::PluginLimits); `null` if it loads none |
//! | `POST /v1/plugins/reload` | | once they were looked for again: the [`PluginChanges`](vitald_core::status::PluginChanges); no component is touched |
//! | `POST /v1/shutdown` | `{"mode": "graceful"}`, `"now"`, or `"keep"` for leaving the components to the next supervisor; none is graceful | 202 at once; all is over when the lock is free |
//!
//! What cannot be done is answered with an [`ApiError`](vitald_core::status::ApiError): 400 for a request
//! that makes no sense or a spec with a probe that this supervisor cannot make, 404 for a component, probe or route
//! that does not exist, 409 for a component in the wrong state or libraries that must not be exchanged, 503 while the
//! supervisor shuts down.
//!
//! A reader of `follow=true` that is too slow is told: an event with the reason `EventsLost` stands where
//! the gap is.

mod error;
mod events;
mod routes;
mod socket;

use std::io;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vitald_supervisor::SupervisorHandle;
use vitald_supervisor::state_dir::StateDir;

use crate::socket::{PeerChecked, SocketFile};

/// How long answers under way may still take once the server is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A control API that is being served. Dropped, it ends at once.
#[derive(Debug)]
pub struct ControlServer {
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
    /// Removes the socket when dropped.
    _socket: SocketFile,
}

/// Serves the control API of `handle` in `state_dir`, whose lock the caller holds: a socket that is already
/// there is the leftover of a dead supervisor, and is replaced.
///
/// # Errors
/// The socket could not be made.
pub async fn serve(handle: SupervisorHandle, state_dir: &StateDir) -> io::Result<ControlServer> {
    let (listener, socket) = socket::bind(&state_dir.socket())?;
    let stop = CancellationToken::new();
    let router = routes::router(handle, stop.clone());
    let server =
        axum::serve(PeerChecked(listener), router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let task = tokio::spawn(async move { server.await });
    Ok(ControlServer { stop, task, _socket: socket })
}

impl ControlServer {
    /// Takes no further requests, ends event streams, finishes what is being answered, removes the socket.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(LAST_ANSWERS, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}
