//! One run of a component.

use std::future::pending;
use std::io;
use std::sync::{Arc, Once};

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use vitald_core::notify::{Heard, Notified};
use vitald_core::restarter::{Exit, ProcessIdentity, RunHandle, RunView};

use crate::cgroup::Cage;
use crate::main_process::MainProcess;
use crate::notify::{Hearing, NotifySocket, Source};
use crate::root::Main;
use crate::tree::Tree;

/// A run, begun by us or taken over.
pub(crate) struct Run {
    main: Arc<MainProcess>,
    tree: Arc<Tree>,
    cage: Arc<Cage>,
    log_offset: u64,
    exit: OnceCell<Exit>,
    /// What it tells of itself; else why nobody can hear it.
    hearing: Result<Hearing, String>,
    /// That nothing of it is left has been seen, and cleared away.
    over: Arc<Once>,
}

impl Run {
    pub(crate) fn new(main: Main, tree: Arc<Tree>, cage: Arc<Cage>, log_offset: u64) -> Self {
        let main = Arc::new(MainProcess::new(main, Arc::clone(&tree)));
        let hearing = Err("it was given no socket to tell on".into());
        Self { main, tree, cage, log_offset, exit: OnceCell::new(), hearing, over: Arc::new(Once::new()) }
    }

    /// Listens to what it tells on its socket, if it has one; `missed`: it may have told something before. Must
    /// be called within a tokio runtime.
    pub(crate) fn listening(self, socket: Option<NotifySocket>, missed: bool) -> Self {
        let Some(socket) = socket else { return self };
        let source = Source { tree: Arc::clone(&self.tree), main: Arc::clone(&self.main), missed };
        match Hearing::begin(socket, source) {
            Ok(hearing) => Self { hearing: Ok(hearing), ..self },
            Err(err) => self.deaf(err.to_string()),
        }
    }

    /// It cannot be listened to: why.
    pub(crate) fn deaf(self, why: String) -> Self {
        Self { hearing: Err(format!("it cannot be listened to: {why}")), ..self }
    }

    fn is_gone(&self) -> bool {
        self.over.is_completed()
    }

    /// What there is to do when nothing of it is left and its end is known. The next run may begin when this
    /// has returned, to whoever asked: it lives where this one did. May block for a moment.
    fn finish(&self) -> impl FnOnce() + Send + 'static {
        let (over, tree, main) = (Arc::clone(&self.over), Arc::clone(&self.tree), Arc::clone(&self.main));
        let socket = self.hearing.as_ref().ok().map(|hearing| hearing.path().to_owned());
        move || {
            over.call_once(|| {
                tree.close();
                // As with its cgroups.
                let _ = socket.map(std::fs::remove_file);
                // What cannot be removed now is removed by the next start.
                tree.remove_cage();
                main.reap();
            });
        }
    }
}

#[async_trait]
impl RunView for Run {
    fn process(&self) -> ProcessIdentity {
        self.main.identity()
    }

    fn log_offset(&self) -> u64 {
        self.log_offset
    }

    async fn pids(&self) -> io::Result<Vec<i32>> {
        let tree = Arc::clone(&self.tree);
        let members = spawn_blocking(move || tree.members()).await.map_err(io::Error::other)??;
        Ok(members.into_iter().map(|member| member.pid).collect())
    }

    async fn memory(&self) -> io::Result<u64> {
        let tree = Arc::clone(&self.tree);
        spawn_blocking(move || tree.memory()).await.map_err(io::Error::other)?
    }

    async fn heard(&self) -> Result<Heard, String> {
        match &self.hearing {
            Ok(hearing) => Ok(hearing.heard().await),
            Err(why) => Err(why.clone()),
        }
    }
}

#[async_trait]
impl RunHandle for Run {
    async fn exited(&self) -> Exit {
        let told = async {
            match self.main.exited(self.hearing.as_ref().ok()).await {
                Exit::Signal(signal) if signal == "SIGKILL" && self.cage.has_killed_for_memory() => {
                    Exit::OomKilled
                }
                exit => exit,
            }
        };
        self.exit.get_or_init(|| told).await.clone()
    }

    fn is_alive(&self) -> bool {
        if self.is_gone() {
            return false;
        }
        // Where nothing can be found out, nothing is said to be gone.
        let alive = !self.main.has_exited() || self.tree.members().map_or(true, |left| !left.is_empty());
        // Who hears that it is over may not wait for `gone`.
        if !alive && self.exit.initialized() {
            self.finish()();
        }
        alive
    }

    async fn gone(&self) {
        if self.is_gone() {
            return;
        }
        self.exited().await;
        self.tree.empty().await;
        let _ = spawn_blocking(self.finish()).await;
    }

    fn terminate(&self) -> io::Result<()> {
        if self.is_gone() { Ok(()) } else { self.tree.terminate() }
    }

    fn kill(&self) -> io::Result<()> {
        if self.is_gone() {
            return Ok(());
        }
        if !self.main.has_exited() {
            // From now on it is us.
            self.cage.forgive();
        }
        self.tree.kill()
    }

    fn survivors(&self) -> Vec<String> {
        if self.is_gone() { Vec::new() } else { self.tree.survivors() }
    }

    async fn news(&self, known: &Notified) -> Notified {
        match &self.hearing {
            Ok(hearing) => hearing.news(known).await,
            Err(_) => pending().await,
        }
    }

    fn remember(&self, told: Notified) {
        if let Ok(hearing) = &self.hearing {
            hearing.remember(told);
        }
    }

    fn shortcomings(&self) -> Vec<String> {
        self.cage.shortcomings().to_vec()
    }
}
