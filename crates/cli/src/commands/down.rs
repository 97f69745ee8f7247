//! `vitald down`.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use vitald_client::ShutdownMode;
use vitald_core::restarter::ProcessIdentity;
use vitald_supervisor::StateDir;
use vitald_supervisor::clock::SystemClock;
use vitald_supervisor::survivors as stored;

use crate::cli::Down;
use crate::exit::{Exit, Failure, Outcome};
use crate::format::count;
use crate::places::Places;
use crate::{known, output, reach, survivors};

/// How long a supervisor may take to end once it has given up its lock. It may wait for 2 s for what is still at work.
const LEAVING: Duration = Duration::from_secs(4);

/// Ends a supervisor and all its components, and waits until it is gone; or what is left of a dead one.
pub(crate) async fn run(args: &Down, places: &Places) -> Outcome {
    let named = &args.selector.filename;
    loop {
        let dirs = match places.find_running(named)? {
            Some(found) => {
                let state_dir = found.into_changed();
                if end(&state_dir, args.keep).await? {
                    return Ok(Exit::Done);
                }
                output::note("the supervisor died before all was stopped");
                vec![state_dir]
            }
            None => places.own(named),
        };
        if args.keep {
            let left: usize = dirs.iter().map(known::left_running).sum();
            output::say(match left {
                0 => "no supervisor is running; nothing to keep".to_owned(),
                _ => format!("no supervisor is running; {}", keeps_on(left)),
            })?;
            return Ok(Exit::Done);
        }
        // Else a supervisor has begun meanwhile.
        if let Some(ended) = end_left(&dirs, places).await? {
            output::say(match ended {
                0 => "no supervisor is running; nothing to stop",
                _ => "stopped what a supervisor that has died left running",
            })?;
            return Ok(Exit::Done);
        }
    }
}

/// Ends what dead supervisors left in these state dirs. Gives of how many components there was something; `None`
/// if a supervisor has begun in one.
async fn end_left(dirs: &[StateDir], places: &Places) -> Result<Option<usize>, Failure> {
    let mut ended = 0;
    for state_dir in dirs.iter().filter(|dir| has_components(dir)) {
        match survivors::end(state_dir).await? {
            Some(number) => ended += number,
            None => return Ok(None),
        }
        places.forget(state_dir);
    }
    Ok(Some(ended))
}

/// Whether a supervisor has kept a lock or a record of any component there. Where it has not, nothing can be left, and
/// nothing is to be written: that may be why no supervisor ever began.
fn has_components(dir: &StateDir) -> bool {
    // What cannot be read is told by who tries to end it.
    stored::look(dir, &SystemClock).map_or(true, |components| !components.is_empty())
}

/// Ends a supervisor that runs. `false` if it died before it had stopped all of its components.
async fn end(state_dir: &StateDir, keep: bool) -> Result<bool, Failure> {
    let holder = state_dir.holder();
    let process = holder.and_then(|pid| vitald_process::identity(pid.try_into().ok()?));
    let asked = match ask(state_dir, keep).await {
        // It was just going: its lock goes a moment after its socket.
        Err(gone) if gone.exit == Exit::NoSupervisor => ask(state_dir, keep).await,
        asked => asked,
    };
    let running = match asked {
        Ok(running) => running,
        // It went away by itself while it was being asked.
        Err(_) if state_dir.holder().is_none() => 0,
        Err(failure) => return Err(failure),
    };
    // It is done all the same where it cannot be told.
    let told = match !keep && running > 0 {
        true => output::say(format!("stopping {} …", count(running, "component"))),
        false => Ok(()),
    };
    // Not one that somebody starts meanwhile.
    while holder.is_some() && state_dir.holder() == holder {
        sleep(Duration::from_millis(50)).await;
    }
    if let Some(process) = process {
        ended(&process).await;
    }
    told?;
    if !keep {
        let all_stopped = left_behind(state_dir) == 0;
        if all_stopped {
            output::say("stopped; the supervisor is gone")?;
        }
        return Ok(all_stopped);
    }
    // It may have been stopping everything already, as somebody else wanted.
    output::say(match known::left_running(state_dir) {
        0 => "the supervisor is gone; nothing of its components runs".to_owned(),
        left => format!("the supervisor is gone; {}", keeps_on(left)),
    })?;
    Ok(true)
}

/// Waits until a process that is just ending has ended. Where its pid is another one's here, as from within another
/// container, that is not for ever.
async fn ended(process: &ProcessIdentity) {
    let deadline = Instant::now() + LEAVING;
    while vitald_process::is_same(process) && Instant::now() < deadline {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Of how many components something runs, and nobody watches over it.
fn left_behind(state_dir: &StateDir) -> usize {
    let left = known::left_running(state_dir);
    // They are those of the next supervisor then.
    if state_dir.holder().is_some() { 0 } else { left }
}

/// Asks for the end; gives how many components run.
async fn ask(state_dir: &StateDir, keep: bool) -> Result<usize, Failure> {
    let client = reach::connect(state_dir).await?;
    let running = client.status().await?.components.iter().filter(|c| c.pid.is_some()).count();
    client.shutdown(if keep { ShutdownMode::Keep } else { ShutdownMode::Graceful }).await?;
    Ok(running)
}

fn keeps_on(number: usize) -> String {
    let verb = if number == 1 { "goes" } else { "go" };
    let components = count(number, "component");
    format!("{components} {verb} on: `vitald up` takes over, `vitald down` ends what is left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_supervisor_left_is_not_taken_for_stopped() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path().join("state"));
        assert!(!has_components(&dir));
        let supervisor = dir.lock().unwrap();
        assert!(!has_components(&dir));
        let component = std::fs::File::create(dir.component_lock("web")).unwrap();
        component.lock().unwrap();
        assert_eq!(left_behind(&dir), 0, "it is its supervisor's");
        drop(supervisor);
        assert_eq!(left_behind(&dir), 1);
        drop(component);
        assert_eq!(left_behind(&dir), 0);
        assert!(has_components(&dir));
        std::fs::remove_dir_all(dir.path().join("locks")).unwrap();
        assert!(!has_components(&dir));
        std::fs::write(dir.record("web"), "").unwrap();
        assert!(has_components(&dir), "the folder of locks may have been cleaned away");
    }

    #[tokio::test]
    async fn a_supervisor_is_gone_only_when_its_process_is() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path().join("state"));
        let supervisor = dir.lock().unwrap();
        // It takes a while from giving up its lock to its end. A thread has an identity as a process has, and begins without
        // a fork, in which the locks of all other tests would go on for a moment.
        let (tell, told) = std::sync::mpsc::channel();
        let process = std::thread::spawn(move || {
            tell.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
            std::thread::sleep(Duration::from_secs(2));
        });
        let id = told.recv().unwrap();
        std::fs::write(dir.path().join("vitald.lock"), id.file_name().unwrap().as_encoded_bytes()).unwrap();
        let gives_up = async {
            sleep(Duration::from_millis(100)).await;
            drop(supervisor);
        };
        let (ended, ()) = tokio::join!(end(&dir, false), gives_up);
        assert!(matches!(ended, Ok(true)));
        assert!(process.is_finished(), "it was said to be gone, and was still there");
    }

    #[tokio::test]
    async fn a_supervisor_whose_lock_outlives_its_socket_is_just_going() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path().join("state"));
        let supervisor = dir.lock().unwrap();
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("vitald.sock")).unwrap();
        let dies = std::thread::spawn(move || {
            drop(socket.accept());
            drop(socket);
            std::thread::sleep(Duration::from_millis(300));
            drop(supervisor);
        });
        assert!(matches!(end(&dir, false).await, Ok(true)));
        dies.join().unwrap();
    }
}
