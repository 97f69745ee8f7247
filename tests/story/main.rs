//! The story that vitald is for: the stack of `manifests/stigmer`, on a real Temporal server, real workers and a real
//! Docker engine, falls ill in every way that is known of it, and is mended. `docs/stigmer.md` tells it to people.
//!
//! `cargo xtask test story` brings up what this needs. Each stack has a network of its own, so that the manifests are
//! those of the repository to the letter, ports included.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // A test fails by panicking; the table is for people.

mod examples;
mod stack;
mod table;

use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use vitald_tests::seconds;

use crate::stack::{ALL, Stack, WITHOUT_CONTAINER};

#[test]
fn each_part_in_turn_is_killed_hung_and_made_unhealthy_and_only_that_one_is_restarted() {
    let Some(stack) = Stack::up(&ALL) else { return };
    stack.assert_came_up_in_order();
    let rows = [
        stack.fault("temporal", "killed", "SIGKILL", |part| part.pid().kill()),
        stack.fault("temporal", "hung", "LivenessProbeFailed", |part| part.pid().signal(Signal::SIGSTOP)),
        stack.fault("stigmer-server", "killed", "SIGKILL", |part| part.pid().kill()),
        stack.fault("stigmer-server", "hung", "LivenessProbeFailed", |part| {
            part.pid().signal(Signal::SIGSTOP)
        }),
        stack.fault("stigmer-server", "port closed", "LivenessProbeFailed", |part| {
            part.pid().signal(Signal::SIGUSR1);
        }),
        stack.fault("workflow-runner", "killed", "SIGKILL", |part| part.pid().kill()),
        stack.fault("agent-runner", "killed", "SIGKILL", |_| stack.docker(&["kill", "CONTAINER"])),
        stack.fault("agent-runner", "paused", "LivenessProbeFailed", |_| {
            stack.docker(&["pause", "CONTAINER"])
        }),
        stack.fault("agent-runner", "poll loop ended", "LivenessProbeFailed", |_| {
            stack.docker(&["kill", "--signal", "USR1", "CONTAINER"]);
        }),
    ];
    table::print(&rows);
    stack.down();
}

#[test]
fn a_worker_that_polls_no_more_is_found_though_its_process_lives() {
    let Some(stack) = Stack::up(&WITHOUT_CONTAINER) else { return };
    let rows = [
        stack.fault("workflow-runner", "hung", "LivenessProbeFailed", |part| {
            part.pid().signal(Signal::SIGSTOP)
        }),
        stack.fault("workflow-runner", "poll loops ended", "LivenessProbeFailed", |part| {
            part.pid().signal(Signal::SIGUSR1);
        }),
    ];
    table::print(&rows);
    stack.down();
}

#[test]
fn five_idle_minutes_and_a_minute_without_temporal_restart_nobody() {
    let Some(stack) = Stack::up(&ALL) else { return };
    let before = stack.runs();

    let idle_until = Instant::now() + seconds(300);
    while Instant::now() < idle_until {
        let status = stack.status();
        let unwell: Vec<_> = status.components.iter().filter(|part| !part.ready).collect();
        assert!(unwell.is_empty(), "an idle stack is well: {unwell:?}");
        thread::sleep(seconds(5));
    }
    assert_eq!(stack.runs(), before, "nobody was restarted while all were idle");

    stack.cli(&["stop", "temporal"]).expect(0);
    let away_until = Instant::now() + seconds(60);
    let told = stack.wait_slowly("workflow-runner", "known to be unknown", seconds(59), |part| {
        part.is("Running", "ProbeUnknown")
    });
    assert!(told.message.contains("127.0.0.1:7233"), "says what could not be asked: {told:?}");
    thread::sleep(away_until.saturating_duration_since(Instant::now()));
    stack.cli(&["start", "temporal"]).expect(0);
    let back = Instant::now();
    stack.wait_all_ready(seconds(120));
    println!(
        "after a minute without Temporal all is ready {:.1} s after its start",
        back.elapsed().as_secs_f64()
    );
    let after = stack.runs();
    for part in ["stigmer-server", "workflow-runner", "agent-runner"] {
        assert_eq!(after[part], before[part], "{part} was not restarted for Temporal's outage");
    }
    stack.down();
}
