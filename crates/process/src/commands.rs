//! Commands of probes and hooks that an earlier supervisor left running: nobody waits for them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use nix::sys::signal::Signal;

use crate::pidfd::Pinned;
use crate::procfs::{self, Stat};
use crate::root::Root;
use crate::scan::Scan;
use crate::tree::{Tree, Whole};
use crate::{mark, pidfd, reaper, turn};

/// Looks after which what forks on is left to the next supervisor.
const ROUNDS: u32 = 20;

/// Ends the commands of a component that are still under way, each with all that belongs to it. What has
/// outlived its command is left alone if it has made itself a session of its own, as it would have been by
/// the supervisor that ran the command. Blocks.
pub(crate) fn end(component: &str, instance: &str) -> io::Result<()> {
    let mark = mark::entries(&mark::of_commands(component, instance));
    let mut done = BTreeSet::new();
    for _ in 0..ROUNDS {
        let found = look(&mark)?;
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

/// Ends the errands of a component that a dead supervisor was at, whose marks begin like this, each with its group.
/// What has left that is what it was to leave running. Blocks.
pub(crate) fn end_errands(component: &str, beginning: &str) -> io::Result<()> {
    let of_component = format!("{}={component}", mark::COMPONENT);
    let scan = Scan::from_now()?;
    let _turn = turn::wait();
    let waited_for = reaper::registered().clone();
    for process in &scan.all {
        if process.carries(std::slice::from_ref(&of_component))
            && process.variable(mark::EXEC).is_some_and(|mark| mark.starts_with(beginning))
            && process.variable(mark::MAIN_PID).is_some_and(|main| main == process.pid.to_string())
            && !waited_for.has(process)
            && !process.is_dead()
        {
            pidfd::signal_group_of(&procfs::identity_of(process), Signal::SIGKILL)?;
        }
    }
    Ok(())
}

/// The living processes of the commands, by the pid of each one's main process.
fn look(mark: &[String]) -> io::Result<BTreeMap<i32, Vec<Stat>>> {
    let scan = Scan::from_now()?;
    let _turn = turn::wait();
    let waited_for = reaper::registered().clone();
    let mut found: BTreeMap<i32, Vec<Stat>> = BTreeMap::new();
    for process in &scan.all {
        if process.pid != procfs::own_pid()
            && !process.is_dead()
            && !waited_for.has(process)
            && process.carries(mark)
            && let Some(main) = process.variable(mark::MAIN_PID)
            && let Ok(main) = main.parse()
        {
            found.entry(main).or_default().push(Stat::clone(process));
        }
    }
    Ok(found)
}
