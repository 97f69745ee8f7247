//! One file a command.

mod apply;
mod check;
mod describe;
mod diff;
mod doctor;
mod down;
mod events;
mod explain;
mod logs;
mod ls;
mod names;
mod plugin_inspect;
mod plugin_list;
mod plugin_new;
mod plugin_reload;
mod probe_list;
mod probe_run;
mod run;
mod schema;
mod status;
mod up;
mod validate;

use crate::cli::{Command, Plugin, Probe};
use crate::exit::Outcome;
use crate::places::Places;

/// Does what the command line says.
pub(crate) async fn dispatch(command: Command, places: &Places) -> Outcome {
    match command {
        Command::Run(args) => run::run(&args, places).await,
        Command::Up(args) => up::run(&args, places).await,
        Command::Down(args) => down::run(&args, places).await,
        Command::Ls(args) => ls::run(&args, places).await,
        Command::Status(args) => status::run(&args, places).await,
        Command::Describe(args) => describe::run(&args, places).await,
        Command::Logs(args) => logs::run(&args, places).await,
        Command::Events(args) => events::run(&args, places).await,
        Command::Start(args) => names::run(names::Verb::Start, &args, places).await,
        Command::Stop(args) => names::run(names::Verb::Stop, &args, places).await,
        Command::Restart(args) => names::run(names::Verb::Restart, &args, places).await,
        Command::Reset(args) => names::run(names::Verb::Reset, &args, places).await,
        Command::Apply(args) => apply::run(&args, places).await,
        Command::Diff(args) => diff::run(&args, places).await,
        Command::Validate(args) => validate::run(&args, places).await,
        Command::Explain(args) => explain::run(&args, places).await,
        Command::Schema => schema::run(places).await,
        Command::Check(args) => check::run(&args, places).await,
        Command::Doctor(args) => doctor::run(&args, places).await,
        Command::Probe(Probe::List(args)) => probe_list::run(&args, places).await,
        Command::Probe(Probe::Run(args)) => probe_run::run(&args, places).await,
        Command::Plugin(Plugin::List(args)) => plugin_list::run(&args, places).await,
        Command::Plugin(Plugin::Inspect(args)) => plugin_inspect::run(&args, places).await,
        Command::Plugin(Plugin::New(args)) => plugin_new::run(&args),
        Command::Plugin(Plugin::Reload(args)) => plugin_reload::run(&args, places).await,
    }
}
