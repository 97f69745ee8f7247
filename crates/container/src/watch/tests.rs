use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;

fn told(status: ContainerStateStatusEnum, code: i64, oom_killed: bool) -> String {
    let state = ContainerState {
        status: Some(status),
        exit_code: Some(code),
        oom_killed: Some(oom_killed),
        ..ContainerState::default()
    };
    exit_in(&state).map_or_else(|| "-".into(), |exit| exit.to_string())
}

#[test]
fn ends_are_told_as_those_of_processes() {
    use ContainerStateStatusEnum::{CREATED, DEAD, EXITED, PAUSED, RESTARTING, RUNNING};
    assert_eq!(told(EXITED, 0, false), "exited with status 0");
    assert_eq!(told(EXITED, 3, false), "exited with status 3");
    assert_eq!(told(DEAD, 143, false), "was ended by SIGTERM");
    assert_eq!(told(EXITED, 137, false), "was ended by SIGKILL");
    assert_eq!(told(EXITED, 137, true), "was killed for using too much memory");
    // A child of it was; it has ended by itself.
    assert_eq!(told(EXITED, 1, true), "exited with status 1");
    assert_eq!(told(EXITED, 255, false), "exited with status 255");
    for status in [CREATED, PAUSED, RESTARTING, RUNNING] {
        assert_eq!(told(status, 0, false), "-");
    }
}

/// The time of the end, in seconds since the epoch, and as the engine writes it.
const END: i64 = 1_700_000_000;
const END_TEXT: &str = "2023-11-14T22:13:20.5Z";
const START_TEXT: &str = "2023-11-14T22:00:00Z";

/// An engine that answers as it is told to.
struct Script {
    /// What it says of the container.
    state: String,
    events: String,
    /// How often it is asked for the container until it answers nobody any more, but who listens already.
    answers: usize,
    /// How often it is asked until it tells of events.
    slow: usize,
    /// Told only when it answers no more.
    last_words: String,
    asked: AtomicUsize,
    is_heard: AtomicBool,
}

impl Script {
    fn of(state: String, events: &[(&str, i64, &str)]) -> Self {
        Self {
            state,
            events: lines(events),
            answers: usize::MAX,
            slow: 0,
            last_words: String::new(),
            asked: AtomicUsize::new(0),
            is_heard: AtomicBool::new(false),
        }
    }
}

/// How an end is told by an engine whose events are these, and that says of a container that has ended by SIGKILL
/// whether it was out of memory.
async fn told_by(events: &[(&str, i64, &str)], out_of_memory: bool) -> String {
    // Where the end is an event, nothing else tells of it.
    let status = if events.iter().any(|(action, ..)| *action == "die") { "running" } else { "exited" };
    told_by_engine(Script::of(state(status, 137, out_of_memory), events)).await
}

fn state(status: &str, code: i64, out_of_memory: bool) -> String {
    format!(
        r#"{{"State": {{"Status": "{status}", "ExitCode": {code}, "OOMKilled": {out_of_memory}, "Pid": 0,
            "StartedAt": "{START_TEXT}", "FinishedAt": "{END_TEXT}"}}}}"#
    )
}

fn lines(events: &[(&str, i64, &str)]) -> String {
    let line = |(action, time, attributes): &(&str, i64, &str)| {
        let actor = format!(r#"{{"Attributes": {{{attributes}}}}}"#);
        format!(r#"{{"Type": "container", "Action": "{action}", "time": {time}, "Actor": {actor}}}"#) + "\n"
    };
    events.iter().map(line).collect()
}

async fn told_by_engine(script: Script) -> String {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine");
    let listener = UnixListener::bind(&socket).unwrap();
    let script = Arc::new(script);
    let engine = Engine::at(format!("unix://{}", socket.display()));
    let serving = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer(connection, Arc::clone(&script)));
        }
    });
    // No container has such an id, and no process such a number.
    let watched =
        Watched { engine: &engine, id: "scripted", started_at: Some(START_TEXT), pid: Some(i64::MAX) };
    let exit = timeout(Duration::from_secs(60), watched.ended(|| None)).await.unwrap();
    serving.abort();
    exit.to_string()
}

/// Answers one request after the other; the events are told, and then nothing for as long as somebody listens.
async fn answer(mut connection: UnixStream, script: Arc<Script>) {
    let mut asked = Vec::new();
    while connection.read_buf(&mut asked).await.is_ok_and(|count| count > 0) {
        if !asked.ends_with(b"\r\n\r\n") {
            continue;
        }
        let request = String::from_utf8_lossy(&std::mem::take(&mut asked)).into_owned();
        let request = request.lines().next().unwrap_or_default();
        let ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let is_over = script.asked.load(Relaxed) >= script.answers && script.is_heard.load(Relaxed);
        if request.contains("/scripted/json") {
            script.asked.fetch_add(1, Relaxed);
        }
        if is_over {
            return;
        }
        if request.contains("/events") {
            script.is_heard.store(true, Relaxed);
            while script.asked.load(Relaxed) < script.slow {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let answer = format!("{ok}Connection: close\r\n\r\n{}", script.events);
            connection.write_all(answer.as_bytes()).await.unwrap();
            while script.asked.load(Relaxed) <= script.answers {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            connection.write_all(script.last_words.as_bytes()).await.unwrap();
            let _ = connection.read_buf(&mut asked).await;
            return;
        }
        let answer = if request.contains("/version") { r#"{"ApiVersion": "1.41"}"# } else { &script.state };
        let answer = format!("{ok}Content-Length: {}\r\n\r\n{answer}", answer.len());
        connection.write_all(answer.as_bytes()).await.unwrap();
    }
}

const DIED: (&str, i64, &str) = ("die", END, r#""exitCode": "137""#);
const OUT_OF_MEMORY: (&str, i64, &str) = ("oom", END, "");
const KILLED: (&str, i64, &str) = ("kill", END, r#""signal": "9""#);

const FOR_MEMORY: &str = "was killed for using too much memory";
const BY_SIGKILL: &str = "was ended by SIGKILL";

#[tokio::test]
async fn memory_is_the_reason_whether_the_engine_tells_it_before_the_end_or_after() {
    assert_eq!(told_by(&[OUT_OF_MEMORY, DIED], true).await, FOR_MEMORY);
    assert_eq!(told_by(&[DIED, OUT_OF_MEMORY], false).await, FOR_MEMORY);
    // What is known of the end is what the engine says of the container.
    assert_eq!(told_by(&[OUT_OF_MEMORY], false).await, FOR_MEMORY);
    // Clearing away took a while, and the end was told when that was done.
    let (died, _, code) = DIED;
    assert_eq!(told_by(&[OUT_OF_MEMORY, (died, END + 30, code)], true).await, FOR_MEMORY);
}

#[tokio::test]
async fn memory_is_not_the_reason_of_what_somebody_did_or_nobody_told() {
    assert_eq!(told_by(&[DIED], false).await, BY_SIGKILL);
    assert_eq!(told_by(&[], false).await, BY_SIGKILL);
    // A child of it, before.
    let child = ("oom", END - 10, "");
    assert_eq!(told_by(&[child, DIED], true).await, BY_SIGKILL);
    // Nothing more is waited for.
    assert_eq!(told_by(&[KILLED, DIED, OUT_OF_MEMORY], false).await, BY_SIGKILL);
}

#[tokio::test]
async fn an_engine_that_answers_no_more_is_listened_to_until_it_is_gone() {
    let last_words = lines(&[("die", END, r#""exitCode": "3""#)]);
    let script = Script { answers: 1, last_words, ..Script::of(state("running", 0, false), &[]) };
    assert_eq!(told_by_engine(script).await, "exited with status 3");
}

#[tokio::test]
async fn one_that_is_removed_when_it_is_looked_at_has_ended_as_is_told_right_after() {
    let script = Script { slow: 1, ..Script::of(state("removing", 0, false), &[KILLED, DIED]) };
    assert_eq!(told_by_engine(script).await, BY_SIGKILL);
}
