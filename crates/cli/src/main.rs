//! `vitald`: Kubernetes probes and restarts for the processes on one machine.
//!
//! What every command shares stands here in the order of its use: the command line, the way to a state dir
//! and its supervisor, exit statuses, words and tables. What a command does stands in `commands/`.

mod account;
mod builtin;
mod cli;
mod commands;
mod detach;
mod exit;
mod format;
mod kept;
mod known;
mod log_file;
mod log_keeper;
mod log_watch;
mod manifests;
mod nearest;
mod new_probe;
mod output;
mod places;
mod plugin_news;
mod plugins;
mod progress;
mod reach;
mod reload;
mod scope;
mod survivors;
mod table;
mod threads;
mod variables;
mod wiring;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::cli::{Cli, Command};
use crate::places::Places;

/// How long what is still at work may hold up the end.
const END_PATIENCE: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<ExitCode> {
    vitald_process::set_signals_right();
    // Before anything is read, begun or looked for: the process of a library has no more than that library.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == plugins::HOST) {
        return Ok(vitald_plugin::host::serve(words));
    }
    let Cli { state_dir, plugins, command } = Cli::parse();
    if matches!(command, Command::Run(_))
        && let Err(refusal) = threads::are_allowed()
    {
        output::complain(&refusal.text);
        return Ok(refusal.exit.into());
    }
    // A supervisor has many things to do at once; everything else has one.
    let runtime = match command {
        Command::Run(_) => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_keep_alive(threads::KEPT)
            .enable_all()
            .build(),
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    }
    .context("the async runtime cannot be started")?;

    let outcome = Places::find(state_dir, plugins)
        .and_then(|places| runtime.block_on(commands::dispatch(command, &places)))
        .unwrap_or_else(|failure| {
            output::complain(&failure.text);
            failure.exit
        });
    // A command that was dropped is being killed right now; that is waited for. A name lookup may block
    // for much longer, and is not.
    runtime.shutdown_timeout(END_PATIENCE);
    Ok(outcome.into())
}
