//! Starting, and how a run ends by itself.

use std::os::unix::fs::PermissionsExt;

use vitald_core::restarter::{Exit, Restarter, RunId, StartError};

use crate::bed::{Bed, clear, eventually, within};

#[tokio::test]
async fn exit_statuses_and_signals_are_told() {
    let rt = format!("kill -{} $$", libc::SIGRTMIN() + 3);
    for (script, expected) in [
        ("exit 0", Exit::Code(0)),
        ("exit 7", Exit::Code(7)),
        ("kill -KILL $$", Exit::Signal("SIGKILL".into())),
        ("kill -TERM $$", Exit::Signal("SIGTERM".into())),
        (&rt, Exit::Signal("SIGRTMIN+3".into())),
    ] {
        let run = Bed::sh(script).start().await;
        assert_eq!(within(script, run.exited()).await, expected, "{script}");
        within(script, run.gone()).await;
        assert!(!run.is_alive(), "{script}");
    }
}

#[tokio::test]
async fn an_end_is_told_to_all_who_ask_and_again_after_it_was_reaped() {
    let run = Bed::sh("exit 3").start().await;
    let (a, b) = within("both", async { tokio::join!(run.exited(), run.exited()) }).await;
    within("its end", run.gone()).await;
    assert_eq!((a, b, run.exited().await), (Exit::Code(3), Exit::Code(3), Exit::Code(3)));
    assert_eq!(vitald_process::identity(run.process().pid), None, "it was reaped");
}

#[tokio::test]
async fn a_program_that_ends_at_once_was_started() {
    let run = Bed::new(&["false"]).start().await;
    assert_eq!(within("its end", run.exited()).await, Exit::Code(1));
    within("the end of its tree", run.gone()).await;
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_looked_for_on_the_components_path() {
    let bed = Bed::new(&["no-such-program", "secret-argument"]).env("PATH", "/usr/bin:/bin");
    assert_eq!(bed.refusal().await, "no such file: `no-such-program` on PATH /usr/bin:/bin");
    assert_eq!(Bed::new(&["/no/such/program"]).refusal().await, "no such file: `/no/such/program`");
    assert_eq!(Bed::new(&[""]).env("PATH", "/bin").refusal().await, "no such file: `` on PATH /bin");
}

#[tokio::test]
async fn the_components_path_decides_which_program_it_is() {
    let bed = Bed::new(&["tool"]);
    bed.write("tool", "#!/bin/sh\necho found as $0\n", 0o755);
    let path = bed.dir.path().to_string_lossy().into_owned();
    let bed = bed.env("PATH", &format!("/no/such:{path}"));
    assert_eq!(bed.output().await, format!("found as {path}/tool\n"));
}

#[tokio::test]
async fn a_path_with_a_slash_is_relative_to_the_working_directory() {
    let mut bed = Bed::new(&["./tool", "$(GREETING) you"]).env("GREETING", "hail");
    bed.write("tool", "#!/bin/sh\npwd -P; echo \"$1\"\n", 0o755);
    bed.spec.working_dir = bed.dir.path().canonicalize().unwrap();
    assert_eq!(bed.output().await, format!("{}\nhail you\n", bed.spec.working_dir.display()));
}

#[tokio::test]
async fn what_cannot_be_executed_is_refused_with_the_reason() {
    let bed = Bed::new(&["x"]);
    let reason = async |name: &str, text: &str, mode: u32| {
        let program = bed.write(name, text, mode).to_string_lossy().into_owned();
        let message = Bed::new(&[&program]).refusal().await;
        message.strip_prefix(&format!("`{program}` cannot be executed: ")).unwrap_or(&message).to_owned()
    };
    assert_eq!(reason("plain", "", 0o644).await, "is not marked executable (chmod +x)");
    assert_eq!(
        reason("no-interpreter", "#!/no/such/python -u\n", 0o755).await,
        "its interpreter /no/such/python does not exist"
    );
    assert_eq!(
        reason("no-first-line", "echo hello\n", 0o755).await,
        "not an executable; a script needs a first line such as #!/bin/sh"
    );
    let folder = bed.dir.path().to_string_lossy().into_owned();
    assert_eq!(
        Bed::new(&[&folder]).refusal().await,
        format!("`{folder}` cannot be executed: is a directory")
    );
}

#[tokio::test]
async fn a_file_on_the_path_that_is_not_executable_is_named() {
    let bed = Bed::new(&["tool"]);
    let tool = bed.write("tool", "", 0o644);
    let bed = Bed::new(&["tool"]).env("PATH", &bed.dir.path().to_string_lossy());
    assert_eq!(
        bed.refusal().await,
        format!("`tool` cannot be executed: {} is not marked executable (chmod +x)", tool.display())
    );
}

#[tokio::test]
async fn a_working_directory_that_cannot_be_entered_is_refused() {
    let mut bed = Bed::new(&["true"]);
    bed.spec.working_dir = "/no/such/folder".into();
    let expected = "working directory /no/such/folder cannot be entered: No such file or directory";
    assert_eq!(bed.refusal().await, expected);
    bed.spec.working_dir = "/bin/sh".into();
    assert_eq!(bed.refusal().await, "working directory /bin/sh cannot be entered: Not a directory");
}

#[tokio::test]
async fn a_failed_start_leaves_no_lock_behind() {
    let mut bed = Bed::new(&["/no/such/program"]);
    let restarter = bed.restarter();
    assert!(restarter.start(RunId(1)).await.is_err());
    bed.spec.command = vec!["true".to_owned()];
    bed.start().await;
}

#[tokio::test]
async fn output_is_appended_in_the_order_written() {
    let bed = Bed::sh("for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done");
    let one_run: String = (1..=5).map(|i| format!("out {i}\nerr {i}\n")).collect();
    let run = bed.start().await;
    within("its end", run.gone()).await;
    assert_eq!((run.log_offset(), bed.log()), (0, one_run.clone()));
    let run = bed.start().await;
    within("its end", run.gone()).await;
    assert_eq!((run.log_offset(), bed.log()), (one_run.len() as u64, one_run.repeat(2)));
}

#[tokio::test]
async fn log_and_folder_are_private() {
    let bed = Bed::new(&["true"]);
    bed.output().await;
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&bed.log_file()), mode(bed.log_file().parent().unwrap())), (0o600, 0o700));
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_named() {
    let bed = Bed::new(&["true"]);
    std::fs::create_dir_all(bed.log_file()).unwrap();
    let message = bed.refusal().await;
    assert!(message.starts_with(&format!("opening the log: {}: ", bed.log_file().display())), "{message}");
}

#[tokio::test]
async fn there_is_one_run_at_a_time() {
    let bed = Bed::new(&["sleep", "1000"]);
    let restarter = bed.restarter();
    let run = restarter.start(RunId(1)).await.unwrap();
    let Err(StartError::Occupied(who)) = restarter.start(RunId(2)).await else { panic!("started twice") };
    assert!(who.contains(&format!("{} (sleep", run.process().pid)), "{who}");
    assert!(run.is_alive());
    clear(&run).await;
    let next = restarter.start(RunId(3)).await.unwrap();
    clear(&next).await;
}

#[tokio::test]
async fn a_run_that_nobody_holds_any_more_lives_on() {
    let bed = Bed::new(&["sleep", "1000"]);
    let run = bed.start().await;
    let process = run.process();
    drop(run);
    assert!(vitald_process::is_same(&process));
    // The next supervisor's start ends it.
    clear(&bed.start().await).await;
    eventually("the end of the first", || !vitald_process::is_same(&process)).await;
}
