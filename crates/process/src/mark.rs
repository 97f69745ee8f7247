//! The mark that processes carry in their environment, so that they can be found again wherever they
//! have wandered.

use vitald_core::restarter::RunId;

/// Name of the component, in the environment of its processes and of its probes and hooks.
pub(crate) const COMPONENT: &str = "VITALD_COMPONENT";
/// Number of the run, likewise.
pub(crate) const RUN: &str = "VITALD_RUN";
/// Which supervisor's component it is, in the environment of a component's processes: the identity of the
/// lock file. Two supervisors may have components of the same name; they never share a lock file.
pub(crate) const INSTANCE: &str = "VITALD_INSTANCE";
/// Which command of a probe or hook it is, in the environment of its processes.
pub(crate) const EXEC: &str = "VITALD_EXEC";
/// Whose probe or hook it is, there: what [`INSTANCE`] is to a component's own processes. Another name, since
/// a command is no part of the run.
pub(crate) const EXEC_OF: &str = "VITALD_EXEC_OF";
/// The pid of the process that was started, in its environment and in those of its descendants: only the
/// main process of a run or a command finds its own pid there.
pub(crate) const MAIN_PID: &str = "VITALD_MAIN_PID";
/// Where a run may tell of itself, how often it is to do so, and which process of it: sd_notify(3),
/// sd_watchdog_enabled(3).
pub(crate) const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
pub(crate) const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
pub(crate) const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// Variables that are addressed to our own process, and that nothing we start may take for its own.
pub(crate) fn is_for_us_alone(name: &str) -> bool {
    matches!(name, COMPONENT | RUN | INSTANCE | EXEC | EXEC_OF | MAIN_PID)
        || matches!(name, NOTIFY_SOCKET | WATCHDOG_USEC | WATCHDOG_PID)
        || name.starts_with("LISTEN_")
}

/// What tells the processes of one run.
pub(crate) fn of_run(component: &str, instance: &str, run: RunId) -> Vec<(String, String)> {
    let mut mark = of_component(component, instance);
    mark.push((RUN.to_owned(), run.to_string()));
    mark
}

/// What tells the processes of a component, whichever run they belong to.
pub(crate) fn of_component(component: &str, instance: &str) -> Vec<(String, String)> {
    vec![(COMPONENT.to_owned(), component.to_owned()), (INSTANCE.to_owned(), instance.to_owned())]
}

/// What tells the commands of a component's probes and hooks.
pub(crate) fn of_commands(component: &str, instance: &str) -> Vec<(String, String)> {
    vec![(COMPONENT.to_owned(), component.to_owned()), (EXEC_OF.to_owned(), instance.to_owned())]
}

/// What tells the main process of a run or a command, if it has this pid.
pub(crate) fn main_pid(pid: i32) -> String {
    format!("{MAIN_PID}={pid}")
}

/// As entries of an environment.
pub(crate) fn entries(mark: &[(String, String)]) -> Vec<String> {
    mark.iter().map(|(name, value)| format!("{name}={value}")).collect()
}
