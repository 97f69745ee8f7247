//! Commands of probes and hooks.

use std::sync::Arc;
use std::time::Duration;

use vitald_core::restarter::{
    ExecOutput, ExecRequest, Executor, Exit, MAX_EXEC_OUTPUT, Restarter, StartError,
};
use vitald_process::LocalExecutor;

use crate::bed::{Bed, clear, eventually, is_alive, verbatim, within};

fn sh(script: &str) -> ExecRequest {
    let command = ["/bin/sh", "-c", &verbatim(script)].map(str::to_owned).to_vec();
    ExecRequest { command, ..ExecRequest::default() }
}

async fn exec(request: ExecRequest) -> Result<ExecOutput, StartError> {
    within("the command", LocalExecutor::here().unwrap().exec(request)).await
}

#[tokio::test]
async fn exit_and_output_are_told() {
    let done = exec(sh("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!(done, ExecOutput { exit: Exit::Code(3), output: "out\nerr\n".into() });
    let done = exec(sh("kill -KILL $$")).await.unwrap();
    assert_eq!(done.exit, Exit::Signal("SIGKILL".into()));
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_an_error() {
    let request = ExecRequest { command: vec!["/no/such/check".into()], ..ExecRequest::default() };
    assert_eq!(exec(request).await.unwrap_err().to_string(), "no such file: `/no/such/check`");
    assert!(exec(ExecRequest::default()).await.is_err());
}

#[tokio::test]
async fn long_output_is_cut_and_never_blocks_the_command() {
    let done = exec(sh("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2; exit 4")).await.unwrap();
    assert_eq!((done.exit, done.output), (Exit::Code(4), "x".repeat(MAX_EXEC_OUTPUT)));
}

#[tokio::test]
async fn bytes_that_are_no_text_are_shown_as_such() {
    let done = exec(sh(r"printf 'a\377b'")).await.unwrap();
    assert_eq!(done.output, "a\u{fffd}b");
    let cut_in_a_character = format!("printf '%{}s' ; printf 'é'", MAX_EXEC_OUTPUT - 1);
    let done = exec(sh(&cut_in_a_character)).await.unwrap();
    assert_eq!(done.output, " ".repeat(MAX_EXEC_OUTPUT - 1));
}

#[tokio::test]
async fn commands_run_where_the_component_runs() {
    let mut bed = Bed::new(&["sleep", "1000"]).env("GREETING", "hail");
    bed.spec.working_dir = bed.dir.path().canonicalize().unwrap();
    std::fs::create_dir(bed.path("sub")).unwrap();
    bed.spec.open_files = Some(77);
    let restarter = bed.restarter();
    let run = restarter.start(vitald_core::restarter::RunId(4)).await.unwrap();
    let script = "pwd -P; ulimit -n; echo $GREETING $VITALD_COMPONENT $VITALD_RUN $EXTRA $1";
    let mut request = sh(script);
    request.command.extend(["sh".into(), "$(EXTRA)".into()]);
    request.working_dir = Some("sub".into());
    request.env = vec![("EXTRA".into(), "$(GREETING)!".into())];
    let done = within("the command", restarter.executor().exec(request)).await.unwrap();
    let sub = bed.spec.working_dir.join("sub");
    assert_eq!(done.output, format!("{}\n77\nhail it 4 hail! hail!\n", sub.display()));
    clear(&run).await;
}

#[tokio::test]
async fn commands_are_no_part_of_the_components_tree() {
    let bed = Bed::new(&["sleep", "1000"]);
    let restarter = bed.restarter();
    let run = restarter.start(vitald_core::restarter::RunId(1)).await.unwrap();
    let executor = restarter.executor();
    let file = bed.path("started");
    let script = format!("echo > {}; sleep 0.3; echo done", file.display());
    let command = tokio::spawn(async move { executor.exec(sh(&script)).await });
    eventually("the command has started", || file.exists()).await;
    clear(&run).await;
    assert_eq!(within("the command", command).await.unwrap().unwrap().output, "done\n");
}

#[tokio::test]
async fn what_a_command_leaves_in_its_group_is_killed() {
    let done = exec(sh("sleep 1000 & echo $!; (yes > /dev/stdout &); exit 0")).await.unwrap();
    assert_eq!(done.exit, Exit::Code(0));
    let left: i32 = done.output.lines().find_map(|line| line.parse().ok()).unwrap();
    eventually("the end of what was left", || !is_alive(left)).await;
}

#[tokio::test]
async fn what_keeps_the_pipe_open_elsewhere_delays_nothing() {
    let bed = Bed::new(&["true"]);
    let away = bed.path("away").display().to_string();
    // Until it has a session of its own, it belongs to the command, and would end with it.
    let script = format!(
        "setsid sh -c 'echo $$; : >{away}; exec sleep 1000' & until [ -e {away} ]; do sleep 0.01; done"
    );
    let started = std::time::Instant::now();
    let done = exec(sh(&script)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let daemon: i32 = done.output.trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_command_that_is_dropped_is_killed_with_all_its_descendants() {
    let bed = Bed::new(&["true"]);
    let pids = bed.path("pids");
    let script = format!(
        "exec >{} 2>&1; trap '' TERM; echo $$; sleep 1000 & echo $!; (setsid sh -c 'echo $$; exec sleep 1000' &); wait",
        pids.display()
    );
    let read = || -> Vec<i32> {
        std::fs::read_to_string(&pids).unwrap_or_default().lines().map(|l| l.parse().unwrap()).collect()
    };
    let executor: Arc<dyn Executor> = Arc::new(LocalExecutor::here().unwrap());
    {
        let command = executor.exec(sh(&script));
        tokio::pin!(command);
        tokio::select! {
            done = &mut command => panic!("it ended: {done:?}"),
            () = eventually("all three have started", || read().len() == 3) => {}
        }
    }
    for pid in read() {
        eventually(&format!("the end of {pid}"), || !is_alive(pid)).await;
    }
    let main = read()[0];
    eventually("it is reaped", || vitald_process::identity(main).is_none()).await;
}

#[tokio::test]
async fn many_timeouts_in_a_row_pile_up_nothing() {
    let executor = LocalExecutor::here().unwrap();
    let bed = Bed::new(&["true"]);
    let file = bed.path("pids");
    // Some are dropped while they are being started.
    for timeout in (0..30).map(Duration::from_millis) {
        let script = format!("echo $$ >> {0}; sleep 1000 & echo $! >> {0}; wait", file.display());
        let _ = tokio::time::timeout(timeout, executor.exec(sh(&script))).await;
    }
    let living = || -> Vec<i32> {
        let pids = std::fs::read_to_string(&file).unwrap_or_default();
        pids.lines().map(|pid| pid.parse().unwrap()).filter(|pid| is_alive(*pid)).collect()
    };
    eventually("all are gone", || living().is_empty()).await;
    let after = async {
        while executor.exec(sh("true")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("a command after them", after).await;
    assert_eq!(living(), [0; 0]);
}

#[test]
fn a_command_is_killed_though_the_runtime_ends() {
    let bed = Bed::new(&["true"]);
    let file = bed.path("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", file.display());
    let read = || std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let executor = LocalExecutor::here().unwrap();
        let command = executor.exec(sh(&script));
        tokio::pin!(command);
        tokio::select! {
            done = &mut command => panic!("it ended: {done:?}"),
            () = eventually("it has started", || read().is_some()) => {}
        }
    });
    drop(runtime);
    let pid = read().unwrap();
    let deadline = std::time::Instant::now() + crate::bed::DEADLINE;
    while is_alive(pid) {
        assert!(std::time::Instant::now() < deadline, "{pid} lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}
