//! `vitald run`.

use std::pin::Pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::interval;
use vitald_core::lifecycle::EventReason;
use vitald_core::status::{ComponentStatus, EventType, Status};
use vitald_supervisor::{
    Refused, ShutdownMode, StateDir, StateDirError, StateLock, SupervisorHandle, Wanted,
};

use crate::account::{Account, Look};
use crate::cli::{LogFormat, Run};
use crate::exit::{Exit, Failure, Outcome};
use crate::format::count;
use crate::places::{ANOTHER_PLACE, Places};
use crate::plugin_news::{self, News, PluginNews};
use crate::{detach, manifests, output, plugins, reload, survivors, table, threads, wiring};

/// How often to see whether all is ready, until it has been once.
const LOOK: Duration = Duration::from_millis(250);

/// Supervises until told to stop.
pub(crate) async fn run(args: &Run, places: &Places) -> Outcome {
    wiring::check_processes()?;
    if args.detached {
        detach::leave_session()?;
    }
    // Before anything is started: a signal in between must not leave components behind.
    let signals = Signals::listen()?;
    let paths = places.manifests(&args.manifests.filename)?;
    let logs_max_total = args.logs.max_total()?;
    let state_dir = places.of_manifests(&paths);
    let (tell_of_plugins, plugin_news) = plugin_news::channel();
    let probes = plugins::of_supervisor(places, &state_dir, tell_of_plugins)?;
    let components = manifests::load(&paths, &probes.registry)?;
    let number = count(components.len(), "component");
    let names: Vec<_> = components.iter().map(|component| component.name.clone()).collect();
    let lock = lock(&state_dir)?;
    wiring::prepare()?;
    threads::keep_one();

    let log_format = args.logs.log_format;
    let live = output::is_terminal() && !args.detached && log_format == LogFormat::Text;
    let look = Look::new(names, output::colour(), args.detached, log_format);
    let wanted = Wanted::Manifests(components);
    let supervisor = wiring::supervise(state_dir.clone(), lock, wanted, probes, logs_max_total)
        .await
        .map_err(|refused| refused_copy(&refused, args.detached))?;
    supervisor.set_manifests(places.all_absolute(&paths));
    places.remember(&state_dir);
    let kept = args.detached.then(|| state_dir.supervisor_log());
    let account = Account::begin(kept);
    let opening = format!("supervising {number} in {}", state_dir.path().display());
    account.say(look.own(&opening));
    let control = match vitald_control::serve(supervisor.clone(), &state_dir).await {
        Ok(control) => control,
        Err(err) => {
            supervisor.shutdown(ShutdownMode::Graceful);
            supervisor.finished().await;
            let socket = state_dir.socket();
            return Err(Failure::not(format!("cannot listen on {}: {err}", socket.display())));
        }
    };
    tell(&supervisor, signals, plugin_news, &account, &look, live).await;
    control.stop().await;
    let last = match supervisor.keeps() {
        true => "the components go on; the next `vitald up` or `vitald run` takes them over",
        false => {
            places.forget(&state_dir);
            "all stopped"
        }
    };
    supervisor.unlock();
    account.say(look.own(last));
    account.end();
    Ok(Exit::Done)
}

fn refused_copy(refused: &Refused, detached: bool) -> Failure {
    let exit = if detached { Exit::NeverSupervisor } else { Exit::NoSupervisor };
    let hint = match survivors::holds_another(refused) {
        true => {
            "`vitald down --state-dir DIR` with the other state dir ends them; to let them be, and begin anew here, \
             remove the folder `components` of the copy"
        }
        // Whoever began anew here would have them twice.
        false => {
            "Should there be no other state dir, because the folder `locks` of this one was removed: end those that \
             hold no lock with `kill`, then try again"
        }
    };
    let text = format!("{refused}\nNothing was started. {hint}");
    Failure::new(exit, text)
}

fn lock(state_dir: &StateDir) -> Result<StateLock, Failure> {
    state_dir.lock().map_err(|err| match err {
        StateDirError::Held { .. } => Failure::no_supervisor(format!(
            "{err}; `vitald status` shows how it is, `vitald down` ends it, --state-dir chooses another place"
        )),
        StateDirError::Io { .. } => Failure::not(format!("{err}; {ANOTHER_PLACE}")),
    })
}

/// Tells what happens, and passes on signals, until everything has been stopped.
async fn tell(
    supervisor: &SupervisorHandle,
    mut signals: Signals,
    mut plugin_news: PluginNews,
    account: &Account,
    look: &Look,
    live: bool,
) {
    let (recent, mut news) = supervisor.events();
    for event in &recent {
        account.say(look.event(event));
    }
    let mut ready_once = false;
    let mut asked_to_stop = false;
    let mut looks = interval(LOOK);
    let mut reloading: Option<Reloading<'_>> = None;
    let mut reload_again = false;
    let reload = || -> Reloading<'_> { Box::pin(reload::reload(supervisor)) };
    let finished = supervisor.finished();
    tokio::pin!(finished);
    loop {
        tokio::select! {
            // Events first: what led to the end is told before it.
            biased;
            event = news.recv() => match event {
                Ok(event) => account.say(look.event(&event)),
                Err(RecvError::Lagged(missed)) => account.say(look.own(&format!("{missed} events are not shown"))),
                Err(RecvError::Closed) => return finished.await,
            },
            news = plugin_news.next() => match news {
                News::Output { library, line } => account.say(look.output(&library, &line)),
                News::Trouble(what) => supervisor.tell(EventType::Warning, EventReason::PluginFailed, what),
            },
            signal = signals.next() => match signal {
                Asked::Stop if asked_to_stop => {
                    account.say(look.own("killing everything that is left"));
                    supervisor.shutdown(ShutdownMode::Now);
                }
                Asked::Stop => {
                    asked_to_stop = true;
                    let again = if live { "; Ctrl-C again kills at once" } else { "" };
                    account.say(look.own(&format!("stopping everything, in reverse order{again}")));
                    supervisor.shutdown(ShutdownMode::Graceful);
                }
                // One at a time, so that the last word is that of the last one.
                Asked::Reload if reloading.is_some() => reload_again = true,
                Asked::Reload => {
                    account.say(look.own("SIGHUP: reading the manifests again"));
                    reloading = Some(reload());
                }
            },
            mistakes = async { reloading.as_mut()?.await }, if reloading.is_some() => {
                if let Some(mistakes) = mistakes {
                    account.say(look.as_it_is(mistakes));
                }
                reloading = std::mem::take(&mut reload_again).then(&reload);
            }
            _ = looks.tick(), if !ready_once && !asked_to_stop => {
                let status = supervisor.status();
                if !status.components.is_empty() && status.components.iter().all(ComponentStatus::is_settled) {
                    ready_once = true;
                    account.say(summary(&status, look, live));
                }
            }
            () = &mut finished => return,
        }
    }
}

/// A SIGHUP under way.
type Reloading<'a> = Pin<Box<dyn Future<Output = Option<String>> + 'a>>;

/// What is said when all is ready for the first time.
fn summary(status: &Status, look: &Look, live: bool) -> String {
    let headline = look.own(&format!("all is ready: {}", count(status.components.len(), "component")));
    if !live {
        return headline;
    }
    let rows = table::status(&status.components, false, output::colour());
    format!("{headline}\n\n{rows}\n\nCtrl-C stops everything. From another terminal: {}\n", hint(status))
}

fn hint(status: &Status) -> String {
    let first = status.components.first().map_or("NAME", |component| &component.name);
    format!("vitald status · vitald describe {first} · vitald logs -f")
}

/// What signals ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

/// The signals that mean something to a supervisor. The others keep their meaning.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|err| Failure::not(format!("signals cannot be listened for: {err}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            quit: listen(SignalKind::quit())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            // Ctrl-\ would else leave everything running without a supervisor.
            _ = self.quit.recv() => Asked::Stop,
            // A closed terminal says the same, and is no reason to stop what runs either.
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_begin_anew_beside_components_without_another_state_dir() {
        let told = |holder: &str| {
            let holders = vec![("web".to_owned(), holder.to_owned())];
            refused_copy(&Refused::Copied { dir: "/state/copy".into(), holders }, false).text
        };
        assert!(told("4242 (sleep), which holds /state/app/locks/web.lock").contains("remove the folder"));
        assert!(told("4242 (sleep)").ends_with("with `kill`, then try again"));
    }
}
