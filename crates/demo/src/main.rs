//! A small server to watch over: HTTP, gRPC health and TCP echo on three ports of the loopback
//! interface. It crashes, hangs, turns unready or gets slow when told to over HTTP, or by a script of
//! faults on its command line.
//!
//! It runs on a single thread, so that a hang is a real one: nothing answers any more, SIGTERM included.

// A server's plain log lines are what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod faults;
mod grpc;
mod http;
mod script;
mod tcp;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::faults::Faults;
use crate::script::Script;

/// A small server that crashes, hangs, slows down and turns unready on request.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Port of the HTTP server; 0 takes a free one.
    #[arg(long, default_value_t = 18080)]
    http_port: u16,
    /// Port of the gRPC server (grpc.health.v1); none without.
    #[arg(long)]
    grpc_port: Option<u16>,
    /// Port of the TCP echo server; none without.
    #[arg(long)]
    tcp_port: Option<u16>,
    #[command(flatten)]
    script: Script,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("vitald-demo: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(args))
}

async fn serve(args: Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let run = std::env::var("VITALD_RUN").ok();
    println!("starting{}", run.as_ref().map(|run| format!(", run {run}")).unwrap_or_default());
    if args.script.crashes_at_start() {
        println!("as told, crashing at once: exit status 1");
        std::process::exit(1);
    }

    let faults = Faults::new();
    let (stop, stopped) = watch::channel(false);
    let mut servers = tokio::task::JoinSet::new();
    let listener = listen("HTTP", args.http_port).await?;
    servers.spawn(http::serve(listener, faults.clone(), until(stopped.clone())));
    if let Some(port) = args.grpc_port {
        let listener = listen("gRPC", port).await?;
        servers.spawn(grpc::serve(listener, faults.clone(), until(stopped.clone())));
    }
    if let Some(port) = args.tcp_port {
        let listener = listen("TCP echo", port).await?;
        servers.spawn(tcp::serve(listener, faults.clone(), until(stopped)));
    }
    let script = Rc::new(args.script).play(faults);

    tokio::select! {
        _ = terminate.recv() => println!("SIGTERM: stopping"),
        _ = interrupt.recv() => println!("SIGINT: stopping"),
        ended = servers.join_next() => {
            return Err(match ended {
                Some(Ok(Err(err))) => err,
                ended => anyhow!("a server ended by itself: {ended:?}"),
            });
        }
        never = script => match never {},
    }
    let _ = stop.send(true);
    // Open connections get a moment; a server with nothing to say should not take longer to stop.
    let orderly = async { while servers.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), orderly).await;
    println!("stopped");
    Ok(())
}

async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn listen(what: &str, port: u16) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.map_err(|err| match err.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow!("port {port} is taken; stop what listens there, or choose another {what} port")
        }
        _ => anyhow::Error::new(err).context(format!("cannot listen on {address}")),
    })?;
    let address = listener.local_addr().context("no local address")?;
    println!("{what} on {address}");
    Ok(listener)
}
