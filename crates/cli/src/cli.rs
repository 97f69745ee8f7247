//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vitald_core::spec::ProbeRole;
use vitald_plugin::Limits;

/// Kubernetes probes and restarts for the processes on one machine.
///
/// Exit status: 0 done, 1 not, 2 wrong usage or a bad manifest, 3 no supervisor.
#[derive(Debug, Parser)]
#[command(
    name = "vitald",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// Where the supervisor keeps its state [default: one folder per folder of manifests, below
    /// $XDG_STATE_HOME/vitald]
    // Without a parser of its own, an empty VITALD_STATE_DIR would be refused instead of counting as unset.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "VITALD_STATE_DIR",
        hide_env_values = true,
        value_parser = clap::builder::OsStringValueParser::new()
    )]
    pub(crate) state_dir: Option<OsString>,
    #[command(flatten)]
    pub(crate) plugins: PluginFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the libraries of custom probes are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PluginFlags {
    /// Folder of custom probes' libraries (*.so), before those of VITALD_PLUGIN_PATH and `plugins` in the state
    /// dir; may be repeated
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) plugin_dir: Vec<PathBuf>,
    /// Load libraries of custom probes from files and folders that others can write to
    #[arg(long, global = true)]
    pub(crate) allow_unsafe_plugins: bool,
    // Their variables are read by what loads libraries, so that a bad one stops no other command.
    /// Most memory for the process of each library of custom probes, such as 1Gi [default: 512Mi] [env:
    /// VITALD_PLUGIN_MEMORY]
    #[arg(long, global = true, value_name = "SIZE", value_parser = plugin_memory)]
    pub(crate) plugin_memory: Option<u64>,
    /// Most files that it may have open [default: 256] [env: VITALD_PLUGIN_OPEN_FILES]
    #[arg(long, global = true, value_name = "N", value_parser = plugin_open_files, allow_negative_numbers = true)]
    pub(crate) plugin_open_files: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Supervise in the foreground; Ctrl-C stops everything in reverse order, a second one at once
    Run(Run),
    /// Supervise in the background; return when all is ready. What is up already gets the manifests
    Up(Up),
    /// Stop all components and the supervisor, or what is left of a dead one
    Down(Down),
    /// List your supervisors, and dead ones whose components still run
    Ls(Listing),
    /// Show how the components are
    Status(Status),
    /// Show all about one component
    Describe(Describe),
    /// Show what components wrote
    #[command(after_help = "Over rotations and restarts, and without a supervisor, too.")]
    Logs(Logs),
    /// Show what happened, newest last
    Events(Events),
    /// Start components that do not run
    Start(Names),
    /// Stop components, until they are started again
    Stop(Names),
    /// Stop what runs, then start
    Restart(Names),
    /// Clear the restart counters and start
    Reset(Names),
    /// Make the components what the manifests say: only what has changed is touched
    #[command(
        after_help = "What the manifests do not have any more is stopped; `vitald diff` shows it before."
    )]
    Apply(Selector),
    /// Show what apply would do: exit status 1 if anything
    Diff(Selector),
    /// Check manifests, and start nothing
    Validate(Validate),
    /// Show what a field of the manifest means, such as spec.livenessProbe.grpc
    Explain(Explain),
    /// Print the JSON Schema of manifests, for editors
    Schema,
    /// Run one probe once: exit status 0 healthy, 1 not, 4 unknown
    #[command(after_help = "Example: vitald check grpc port=50051")]
    Check(Check),
    /// Show what this machine offers, and what is degraded without it
    Doctor(Listing),
    /// What probes there are, and running a component's probe now
    #[command(subcommand)]
    Probe(Probe),
    /// The libraries of custom probes
    #[command(subcommand)]
    Plugin(Plugin),
}

/// Which manifests, or the supervisor of which.
#[derive(Debug, Args)]
pub(crate) struct Selector {
    /// Manifest, or folder of manifests; may be repeated [default: manifests/ in the current folder]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) filename: Vec<PathBuf>,
}

/// The same for commands whose `-f` means `--follow`.
#[derive(Debug, Args)]
pub(crate) struct LongSelector {
    /// Manifest or folder whose supervisor is meant [default: manifests/ in the current folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) filename: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) manifests: Selector,
    #[command(flatten)]
    pub(crate) logs: SupervisorLogs,
    /// What `vitald up` leaves in the background.
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) manifests: Selector,
    /// How long to wait until all is ready
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: f64,
    #[command(flatten)]
    pub(crate) logs: SupervisorLogs,
}

/// What a supervisor does about logs, from its start to its end.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SupervisorLogs {
    /// Most room that the logs of all components take together, such as 2Gi: the oldest go first. Holds for the
    /// supervisor that this starts [default: no limit] [env: VITALD_LOGS_MAX_TOTAL]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) logs_max_total: Option<u64>,
    /// How the supervisor that this starts tells what happens
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
}

/// How a supervisor tells what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one object a line
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) selector: Selector,
    /// Leave the components running; the next `vitald up` takes them over
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Components; all if none is named
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) selector: Selector,
    /// Go on, and show it whenever it changes
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// How to show it; with --watch, json is one line each time
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// The component
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) selector: Selector,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Components; all if none is named
    #[arg(conflicts_with = "all")]
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) selector: LongSelector,
    /// Of every component
    #[arg(long)]
    pub(crate) all: bool,
    /// Go on with what is written from now on, over restarts, too
    #[arg(short, long, conflicts_with = "previous")]
    pub(crate) follow: bool,
    /// No more than the last N lines of each component
    #[arg(long, value_name = "N", value_parser = lines, allow_negative_numbers = true)]
    pub(crate) tail: Option<usize>,
    /// What was written since, to about a second: 90s, 5m, 1h30m, 2d, or a time such as 2026-01-22T10:00:00Z
    #[arg(long, value_name = "AGE|TIME", value_parser = since, allow_negative_numbers = true)]
    pub(crate) since: Option<Since>,
    /// What the run before the latest wrote
    #[arg(short, long)]
    pub(crate) previous: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// The component; all if none is named
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) selector: LongSelector,
    /// Go on with what happens from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How to show it; json: one object a line
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Components
    #[arg(required = true)]
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) selector: Selector,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) manifests: Selector,
    /// More manifests, as with -f
    #[arg(value_name = "PATH")]
    pub(crate) path: Vec<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The field; the whole document if none is named
    pub(crate) path: Option<String>,
    /// Names and types of everything below it
    #[arg(long)]
    pub(crate) recursive: bool,
    /// How to show it; json is its part of `vitald schema`
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t, conflicts_with = "recursive")]
    pub(crate) output: ExplainFormat,
}

/// How a field is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ExplainFormat {
    /// For people
    #[default]
    Text,
    /// For programs: JSON Schema
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The kind of probe, such as httpGet; `vitald probe list` shows all
    pub(crate) handler: String,
    /// Its settings, such as port=8080
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// How long it may take
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "3",
        value_parser = positive_seconds,
        // So that what is told is the range, and not that there is no option -1.
        allow_negative_numbers = true
    )]
    pub(crate) timeout: f64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Probe {
    /// What probes there are, and their settings
    List(Listing),
    /// Run a component's probe now, beside its schedule: 0 healthy, 1 not, 4 unknown
    Run(ProbeRun),
}

#[derive(Debug, Args)]
pub(crate) struct ProbeRun {
    /// The component
    pub(crate) name: String,
    /// Which of its probes; all if none is named
    #[arg(value_enum)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) selector: Selector,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// What libraries there are, and which are refused, and why
    List(PluginList),
    /// Show what a library says of itself, and what its probes take
    Inspect(PluginInspect),
    /// Make a crate with a probe that works and passes its tests, to be made yours
    New(PluginNew),
    /// Have the supervisor look for libraries again: checks under way end first, and nothing is restarted
    #[command(
        after_help = "Nothing changes if a library does not take what a component of the supervisor asks of it."
    )]
    Reload(Selector),
}

#[derive(Debug, Args)]
pub(crate) struct PluginList {
    #[command(flatten)]
    pub(crate) selector: Selector,
    /// What the running supervisor has, instead of what a command finds now
    #[arg(long)]
    pub(crate) running: bool,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct PluginInspect {
    /// The library
    pub(crate) file: PathBuf,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct PluginNew {
    /// The crate, and the folder that is made for it: words with - between them, such as disk-space
    pub(crate) name: String,
    /// What manifests call the probe [default: the same in camelCase, such as diskSpace]
    #[arg(long, value_name = "KEY")]
    pub(crate) probe: Option<String>,
    /// Use the SDK in a checkout of vitald's sources [default: a copy of it in the new folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) sdk: Option<PathBuf>,
    /// Where to make the folder
    #[arg(long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub(crate) dir: PathBuf,
}

/// How something listed is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For people with wide screens
    Wide,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

/// A probe of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Startup,
    Liveness,
    Readiness,
}

impl From<Role> for ProbeRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Startup => Self::Startup,
            Role::Liveness => Self::Liveness,
            Role::Readiness => Self::Readiness,
        }
    }
}

/// From when on logs are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Age(Duration),
    /// Milliseconds since 1970.
    Time(u64),
}

/// A host with a small library takes a few MiB; its threads want room for their stacks, too.
const LEAST_PLUGIN_MEMORY: u64 = 64 << 20;
/// A host with a small library has about twenty open.
const LEAST_PLUGIN_FILES: u64 = 64;

/// Most seconds that a deadline may be: beyond that it is as good as none.
const MAX_SECONDS: f64 = 1e9;

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_SECONDS).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number of seconds, 0 or more".into()),
    }
}

/// Bytes. An empty variable counts as unset.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    if text.is_empty() { Ok(u64::MAX) } else { vitald_manifest::bytes(text, 1 << 20) }
}

/// Bytes. An empty variable counts as unset, as it does for the number of files.
pub(crate) fn plugin_memory(text: &str) -> Result<u64, String> {
    match text.is_empty() {
        true => Ok(Limits::default().memory),
        false => vitald_manifest::bytes(text, LEAST_PLUGIN_MEMORY),
    }
}

pub(crate) fn plugin_open_files(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(files) if files >= LEAST_PLUGIN_FILES => Ok(files),
        _ if text.is_empty() => Ok(Limits::default().open_files),
        _ => Err(format!("must be a number of files, {LEAST_PLUGIN_FILES} or more")),
    }
}

fn positive_seconds(text: &str) -> Result<f64, String> {
    match seconds(text) {
        Ok(seconds) if seconds > 0.0 => Ok(seconds),
        _ => Err("must be a number of seconds, more than 0".into()),
    }
}

fn lines(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "must be a number of lines, 0 or more".into())
}

fn since(text: &str) -> Result<Since, String> {
    let time = || u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()).ok();
    age(text).map(Since::Age).or_else(|| time().map(Since::Time)).ok_or_else(|| {
        "must be an age such as 90s, 5m, 1h30m, 2d, or a time such as 2026-01-22T10:00:00Z".into()
    })
}

/// Numbers with units, one after another: `1h30m`.
fn age(mut text: &str) -> Option<Duration> {
    let mut age = None;
    while !text.is_empty() {
        let (number, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let unit = rest.chars().next()?;
        let seconds = match unit {
            's' => 1.0,
            'm' => 60.0,
            'h' => 3600.0,
            'd' => 86400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        age = Some(age.unwrap_or(Duration::ZERO).checked_add(part)?);
        text = &rest[1..];
    }
    age
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help() {
        insta::assert_snapshot!(Cli::command().term_width(100).render_help());
    }

    #[test]
    fn state_dir_may_stand_before_and_after_the_command() {
        for line in [["vitald", "--state-dir", "/x", "status"], ["vitald", "status", "--state-dir", "/x"]] {
            assert_eq!(Cli::parse_from(line).state_dir, Some("/x".into()));
        }
    }

    #[test]
    fn deadlines_are_numbers_in_range() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["-1", "NaN", "inf", "1e300", "x", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert!(positive_seconds("0").is_err());
        assert_eq!(size("1.5Gi"), Ok(3 << 29));
        assert_eq!(size("1k"), Err("must be at least 1Mi".into()));
        assert_eq!(size("lots"), Err("must be a quantity, such as 512Mi".into()));
        assert_eq!(plugin_memory("1Gi"), Ok(1 << 30));
        assert_eq!(plugin_memory(""), Ok(512 << 20));
        assert_eq!(plugin_memory("1Mi"), Err("must be at least 64Mi".into()));
        assert_eq!(plugin_open_files("1024"), Ok(1024));
        assert_eq!(plugin_open_files(""), Ok(256));
        assert_eq!(plugin_open_files("-1"), Err("must be a number of files, 64 or more".into()));
        assert_eq!(lines("0"), Ok(0));
        assert!(lines("-1").is_err() && lines("1.5").is_err());
    }

    #[test]
    fn since_is_an_age_or_a_time() {
        let age = |seconds| Ok(Since::Age(Duration::from_secs_f64(seconds)));
        let table = [
            ("0s", age(0.0)),
            ("1.5s", age(1.5)),
            ("5m", age(300.0)),
            ("1h30m", age(5400.0)),
            ("2d", age(172_800.0)),
            ("1970-01-01T00:00:01.5Z", Ok(Since::Time(1500))),
            ("1970-01-01T01:00:00+01:00", Ok(Since::Time(0))),
        ];
        for (text, expected) in table {
            assert_eq!(since(text), expected, "{text}");
        }
        for wrong in ["", "5", "m", "-5m", "5 m", "5w", "1.2.3s", "9e9d", "yesterday", "2026-01-22", "5é"] {
            assert!(since(wrong).unwrap_err().contains("such as"), "{wrong}");
        }
        assert!(since(&format!("{}d", "9".repeat(40))).is_err());
    }
}
