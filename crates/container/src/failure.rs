//! What the engine says when a program cannot be executed, in our words.

use vitald_core::restarter::StartError;

/// What is wrong with an engine that is none of Docker's, and what to do.
pub(crate) const NO_LOG_DRIVER: &str = "this engine has no log driver `local`, which components with an `image` need: Podman has none, a Docker engine \
     has; DOCKER_HOST names which is asked";

/// The engine's account of a log driver that it does not have; `None` if it is about something else.
///
/// The first words are Podman's, the second Docker's.
pub(crate) fn of_log_driver(message: &str) -> Option<&'static str> {
    let unknown = ["invalid log driver", "no log driver named"].iter().any(|words| message.contains(words));
    unknown.then_some(NO_LOG_DRIVER)
}

/// The engine's account of a program that could not be executed; `None` if it is about something else.
///
/// The words are runc's: `exec: "nope": executable file not found in $PATH: unknown`.
pub(crate) fn of_program(message: &str, program: &str) -> Option<StartError> {
    let program = quoted(message).unwrap_or(program).to_owned();
    if message.contains("executable file not found") {
        return Some(StartError::NotFound { program, searched: " on the container's PATH".into() });
    }
    // Also where an interpreter is missing.
    if message.contains("exec: \"") && message.contains("no such file or directory") {
        return Some(StartError::NotFound { program, searched: " in the container".into() });
    }
    if message.contains("exec: \"") && message.contains("permission denied") {
        return Some(StartError::NotExecutable { program, reason: "permission denied".into() });
    }
    if message.contains("exec format error") {
        return Some(StartError::NotExecutable {
            program,
            reason: "not a program of this machine's kind".into(),
        });
    }
    if message.contains("unable to find user") || message.contains("no matching entries in passwd") {
        let who = message.split("unable to find ").nth(1).and_then(|rest| rest.split(':').next());
        return Some(StartError::User {
            who: who.unwrap_or("user").to_owned(),
            reason: "the image's passwd has no such entry".into(),
        });
    }
    None
}

/// What stands in quotes after `exec: `.
fn quoted(message: &str) -> Option<&str> {
    message.split("exec: \"").nth(1)?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(message: &str) -> String {
        of_program(message, "web").map_or_else(|| "-".to_owned(), |err| err.to_string())
    }

    #[test]
    fn programs_that_cannot_be_executed_are_named() {
        let oci = "OCI runtime create failed: container_linux.go:380: starting container process caused: ";
        assert_eq!(
            told(&format!("{oci}exec: \"nope\": executable file not found in $PATH: unknown")),
            "no such file: `nope` on the container's PATH"
        );
        assert_eq!(
            told(&format!("{oci}exec: \"/x/y\": stat /x/y: no such file or directory: unknown")),
            "no such file: `/x/y` in the container"
        );
        assert_eq!(
            told(&format!("{oci}exec: \"/etc\": permission denied: unknown")),
            "`/etc` cannot be executed: permission denied"
        );
        assert_eq!(told("driver failed programming external connectivity: port is already allocated"), "-");
    }

    #[test]
    fn a_missing_log_driver_is_told_from_other_failures() {
        let podman =
            "container create: running container create option: invalid log driver: invalid argument";
        assert_eq!(of_log_driver(podman), Some(NO_LOG_DRIVER));
        let docker = "logger: no log driver named 'local' is registered";
        assert_eq!(of_log_driver(docker), Some(NO_LOG_DRIVER));
        assert_eq!(of_log_driver("invalid argument"), None);
    }
}
