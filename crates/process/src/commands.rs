//! Commands of probes and hooks that an earlier supervisor left running: nobody waits for them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use nix::sys::signal::Signal;

use crate::pidfd::Pinned;
use crate::procfs::{self, Stat};
use crate::root::Root;
use crate::tree::{Tree, Whole};
use crate::{mark, reaper, turn};

/// Looks after which what forks on is left to the next supervisor.
const ROUNDS: u32 = 20;

/// Ends the commands of a component that are still under way, each with all that belongs to it. What has
/// outlived its command is left alone if it has made itself a session of its own, as it would have been by
/// the supervisor that ran the command. Blocks.
pub(crate) fn end(component: &str, instance: &str) -> io::Result<()> {
    let mark = mark::entries(&mark::of_commands(component, instance));
    let mut done = BTreeSet::new();
    for _ in 0..ROUNDS {
        let found = {
            let _turn = turn::wait();
            look(&mark)?
        };
        let mut new = false;
        for (main, processes) in found {
            match processes.iter().find(|process| process.pid == main) {
                Some(running) => {
                    new |= done.insert((running.pid, running.start_time));
                    let mut of_it = mark.clone();
                    of_it.push(mark::main_pid(main));
                    let root = Root::Stranger(Some(procfs::identity_of(running)));
                    // What we may not end is no reason to leave the rest, or the component.
                    let _ = Tree::new(root, Whole::marked(of_it)).kill();
                }
                None => {
                    for process in processes.iter().filter(|process| process.group == main) {
                        new |= done.insert((process.pid, process.start_time));
                        if let Some(pinned) = Pinned::open(process)? {
                            let _ = pinned.signal(Signal::SIGKILL);
                        }
                    }
                }
            }
        }
        if !new {
            break;
        }
    }
    Ok(())
}

/// The living processes of the commands, by the pid of each one's main process.
fn look(mark: &[String]) -> io::Result<BTreeMap<i32, Vec<Stat>>> {
    let waited_for = reaper::registered().clone();
    let mut found: BTreeMap<i32, Vec<Stat>> = BTreeMap::new();
    for process in procfs::processes()? {
        if process.pid != procfs::own_pid()
            && !process.is_dead()
            && !waited_for.has(&process)
            && procfs::environment_has(process.pid, mark)
            && let Some(main) = procfs::variable(process.pid, mark::MAIN_PID)
            && let Ok(main) = main.parse()
        {
            found.entry(main).or_default().push(process);
        }
    }
    Ok(found)
}
