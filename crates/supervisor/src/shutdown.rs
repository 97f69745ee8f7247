//! The end of a supervisor: everything stopped, in the order that dependencies ask for, or left to the next one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use vitald_core::lifecycle::Command;

use crate::handle::ShutdownMode;
use crate::logs::Logs;
use crate::member::Member;
use crate::state_dir::StateLock;
use crate::supervisor::Shared;

/// How far the end has come.
pub(crate) struct Shutdown {
    asked: watch::Sender<Option<ShutdownMode>>,
    finished: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<StateLock>>,
}

impl Shutdown {
    pub(crate) fn new(lock: StateLock) -> Self {
        Self {
            asked: watch::Sender::new(None),
            finished: watch::Sender::new(false),
            tasks: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        }
    }

    /// The end comes only after this task's.
    pub(crate) fn wait_for(&self, task: JoinHandle<()>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
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
                    match mode {
                        ShutdownMode::Now => kill_all(&shared).await,
                        ShutdownMode::Graceful => stop_all(&shared).await,
                        ShutdownMode::Keep => leave_all(&shared),
                    }
                    shared.shutdown.finish(&shared.nursery.logs).await;
                });
            }
            (Some(ShutdownMode::Graceful | ShutdownMode::Keep), ShutdownMode::Now) => {
                tokio::spawn(async move { kill_all(&shared).await });
            }
            // What is being stopped is not kept, what is kept is not stopped in order, and a kill is one.
            (Some(before), _) => {
                shared.shutdown.asked.send_replace(Some(before));
            }
        }
    }

    async fn finish(&self, logs: &Logs) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(tasks).await;
        logs.end().await;
        self.finished.send_replace(true);
    }

    pub(crate) fn keeps(&self) -> bool {
        *self.asked.borrow() == Some(ShutdownMode::Keep)
    }

    /// Hands over the state dir's lock, as the last thing that the supervisor does.
    pub(crate) fn take_lock(&self) -> Option<StateLock> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

async fn kill_all(shared: &Shared) {
    join_all(shared.members().iter().map(|member| member.tell(Command::Kill))).await;
}

async fn stop_all(shared: &Shared) {
    let members = shared.members();
    // First of all nothing is started any more, so that nothing comes up while others go down.
    join_all(members.iter().map(|member| member.tell(Command::Close))).await;
    in_reverse_order(&members, &members, None, |_| Some(Command::Shutdown)).await;
}

fn leave_all(shared: &Shared) {
    shared.members().iter().for_each(|member| member.leave());
}

/// Tells each of them its command once those of them that depend on it, be it by way of others among `all`, have
/// come to where theirs leads: a stop, or something newer that somebody else wants. What the command is, if there
/// is to be one, is asked when its turn has come. `under_way` is told when the first ones know.
pub(crate) async fn in_reverse_order(
    members: &[Arc<Member>],
    all: &[Arc<Member>],
    under_way: Option<oneshot::Sender<()>>,
    command: impl Fn(&Member) -> Option<Command>,
) {
    let under_way = Mutex::new(under_way);
    let members = in_start_order(members, all);
    let (command, under_way) = (&command, &under_way);
    let done: Vec<watch::Sender<bool>> = members.iter().map(|_| watch::Sender::new(false)).collect();
    join_all(members.iter().zip(&done).enumerate().map(|(i, (member, here))| {
        // What is against the order, as when specs of different manifests come together, is no reason to wait
        // for each other.
        let dependants: Vec<_> = members
            .iter()
            .zip(&done)
            .skip(i + 1)
            .filter(|(other, _)| depends(other, member, all))
            .map(|(_, done)| done.subscribe())
            .collect();
        async move {
            for mut dependant in dependants {
                // The sender outlives this wait.
                let _ = dependant.wait_for(|done| *done).await;
            }
            if let Some(command) = command(member) {
                member.tell(command).await;
            }
            let told = under_way.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(told) = told {
                // Whoever waits may have gone away.
                let _ = told.send(());
            }
            member.until(|view| view.lifecycle.is_settled()).await;
            here.send_replace(true);
        }
    }))
    .await;
}

/// Whether one depends on the other, be it by way of others.
fn depends(member: &Member, on: &Member, all: &[Arc<Member>]) -> bool {
    let names = |member: &Member| -> Vec<String> {
        member.spec().depends_on.iter().map(|dependency| dependency.name.clone()).collect()
    };
    let (mut seen, mut next) = (BTreeSet::new(), names(member));
    while let Some(name) = next.pop() {
        if name == on.name {
            return true;
        }
        if let Some(other) = all.iter().find(|other| other.name == name)
            && seen.insert(name)
        {
            next.append(&mut names(other));
        }
    }
    false
}

/// Each after what it depends on, as far as that is among them.
pub(crate) fn in_start_order(members: &[Arc<Member>], all: &[Arc<Member>]) -> Vec<Arc<Member>> {
    let (mut ordered, mut left): (Vec<Arc<Member>>, Vec<_>) = (Vec::new(), members.to_vec());
    while !left.is_empty() {
        let waits = |member: &Arc<Member>| {
            left.iter().any(|other| !Arc::ptr_eq(other, member) && depends(member, other, all))
        };
        let next = left.iter().position(|member| !waits(member)).unwrap_or_default();
        ordered.push(left.remove(next));
    }
    ordered
}
