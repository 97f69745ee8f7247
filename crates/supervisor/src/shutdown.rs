//! The end of a supervisor: everything stopped, in the order that dependencies ask for.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vitald_core::lifecycle::Command;

use crate::handle::ShutdownMode;
use crate::state_dir::StateLock;
use crate::supervisor::{Member, Shared};

/// How far the end has come.
pub(crate) struct Shutdown {
    asked: watch::Sender<Option<ShutdownMode>>,
    finished: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<StateLock>>,
}

impl Shutdown {
    pub(crate) fn new(tasks: Vec<JoinHandle<()>>, lock: StateLock) -> Self {
        Self {
            asked: watch::Sender::new(None),
            finished: watch::Sender::new(false),
            tasks: Mutex::new(tasks),
            lock: Mutex::new(Some(lock)),
        }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.borrow().is_some()
    }

    pub(crate) async fn finished(&self) {
        // The sender lives in `self`, so that the wait cannot fail.
        let _ = self.finished.subscribe().wait_for(|finished| *finished).await;
    }

    /// Begins the end, or hurries it.
    pub(crate) fn ask(shared: &Arc<Shared>, mode: ShutdownMode) {
        let before = shared.shutdown.asked.send_replace(Some(mode));
        let shared = Arc::clone(shared);
        match (before, mode) {
            (None, mode) => {
                tokio::spawn(async move {
                    if mode == ShutdownMode::Now {
                        kill_all(&shared).await;
                    } else {
                        stop_all(&shared).await;
                    }
                    shared.shutdown.finish().await;
                });
            }
            (Some(ShutdownMode::Graceful), ShutdownMode::Now) => {
                tokio::spawn(async move { kill_all(&shared).await });
            }
            // No way back from a kill.
            (Some(ShutdownMode::Now), _) => {
                shared.shutdown.asked.send_replace(Some(ShutdownMode::Now));
            }
            (Some(ShutdownMode::Graceful), ShutdownMode::Graceful) => {}
        }
    }

    async fn finish(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(tasks).await;
        self.finished.send_replace(true);
    }

    /// Gives up the state dir's lock, as the last thing before the process ends.
    pub(crate) fn unlock(&self) {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

async fn kill_all(shared: &Shared) {
    join_all(shared.components.iter().map(|member| member.tell(Command::Kill))).await;
}

async fn stop_all(shared: &Shared) {
    // First of all nothing is started any more, so that nothing comes up while others go down.
    join_all(shared.components.iter().map(|member| member.tell(Command::Close))).await;
    let all: Vec<&Member> = shared.components.iter().collect();
    in_reverse_order(&all, Command::Shutdown).await;
}

/// Tells each of them once those of them that depend on it have come to where the command leads: a stop,
/// or something newer that somebody else wants.
pub(crate) async fn in_reverse_order(members: &[&Member], command: Command) {
    let done: Vec<watch::Sender<bool>> = members.iter().map(|_| watch::Sender::new(false)).collect();
    join_all(members.iter().zip(&done).map(|(member, here)| {
        let dependants: Vec<_> = members
            .iter()
            .zip(&done)
            .filter(|(other, _)| depends(other, member))
            .map(|(_, done)| done.subscribe())
            .collect();
        async move {
            for mut dependant in dependants {
                // The sender outlives this wait.
                let _ = dependant.wait_for(|done| *done).await;
            }
            member.tell(command).await;
            member.until(|view| view.lifecycle.is_settled()).await;
            here.send_replace(true);
        }
    }))
    .await;
}

fn depends(member: &Member, on: &Member) -> bool {
    member.spec.depends_on.iter().any(|dependency| dependency.name == on.name)
}
