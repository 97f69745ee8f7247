//! Flags that a variable may stand for. It is read by the commands that need it, so that a bad one stops no other.

use std::env;
use std::ffi::OsStr;

use vitald_plugin::Limits;

use crate::cli::{self, PluginFlags, SupervisorLogs};
use crate::exit::Failure;

impl PluginFlags {
    /// Most bytes of memory for the process of a library, if that is said.
    ///
    /// # Errors
    /// The variable makes no sense.
    pub(crate) fn memory(&self) -> Result<Option<u64>, Failure> {
        or_variable(self.plugin_memory, "VITALD_PLUGIN_MEMORY", cli::plugin_memory)
    }

    /// Most files that it may have open, if that is said.
    ///
    /// # Errors
    /// The variable makes no sense.
    pub(crate) fn open_files(&self) -> Result<Option<u64>, Failure> {
        or_variable(self.plugin_open_files, "VITALD_PLUGIN_OPEN_FILES", cli::plugin_open_files)
    }

    /// What the process of a library may use.
    ///
    /// # Errors
    /// A variable makes no sense.
    pub(crate) fn limits(&self) -> Result<Limits, Failure> {
        let Limits { memory, open_files } = Limits::default();
        Ok(Limits {
            memory: self.memory()?.unwrap_or(memory),
            open_files: self.open_files()?.unwrap_or(open_files),
        })
    }
}

impl SupervisorLogs {
    /// Most bytes that the logs of all components take together, if that is said.
    ///
    /// # Errors
    /// The variable makes no sense.
    pub(crate) fn max_total(&self) -> Result<Option<u64>, Failure> {
        or_variable(self.logs_max_total, "VITALD_LOGS_MAX_TOTAL", cli::size)
    }
}

fn or_variable(
    flag: Option<u64>,
    name: &str,
    read: fn(&str) -> Result<u64, String>,
) -> Result<Option<u64>, Failure> {
    match flag {
        Some(value) => Ok(Some(value)),
        None => variable(name, env::var_os(name).as_deref(), read),
    }
}

/// An empty variable counts as unset.
fn variable(
    name: &str,
    value: Option<&OsStr>,
    read: fn(&str) -> Result<u64, String>,
) -> Result<Option<u64>, Failure> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    let value = value.to_string_lossy();
    read(&value)
        .map(Some)
        .map_err(|rule| Failure::usage(format!("the variable {name} is set to `{value}`: it {rule}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_variable_is_told_by_its_name_and_stands_back_for_its_flag() {
        let read = |value: &str| variable("VITALD_X", Some(OsStr::new(value)), cli::plugin_memory);
        assert_eq!(read("1Gi").unwrap(), Some(1 << 30));
        assert_eq!(read("").unwrap(), None);
        let failure = read("1Ki").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(failure.text, "the variable VITALD_X is set to `1Ki`: it must be at least 64Mi");
        // Set everywhere that tests run, and no number.
        assert_eq!(or_variable(Some(7), "PATH", cli::size).unwrap(), Some(7));
        assert!(or_variable(None, "PATH", cli::size).is_err());
    }
}
