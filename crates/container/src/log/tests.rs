use super::*;

/// What the engine has of a container's output: stream, time in nanoseconds, text.
type Message = (u8, i64, &'static str);

fn encoded((stream, time, text): Message) -> LogOutput {
    let time = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap();
    let message = format!("{time:.9} {text}").into();
    match stream {
        1 => LogOutput::StdOut { message },
        _ => LogOutput::StdErr { message },
    }
}

/// A log of its own, which survives those who write to it.
struct World {
    temp: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Sink {
        let at = |name| self.temp.path().join(name);
        Copy::open(&at("web.log"), &at("web.lock"), "e", "c1", None).unwrap().sink.unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.temp.path().join("web.log")).unwrap()
    }
}

/// A connection that tells these of the engine's messages.
fn connect(sink: &mut Sink, told: &[Message]) {
    let (mut repeats, since) = sink.resume();
    for message in told.iter().filter(|(_, time, _)| *time >= i64::from(since) * 1_000_000_000) {
        sink.take(&mut repeats, encoded(*message));
    }
}

/// Two streams, pieces of one line with one time, and a clock that goes back once.
const OUTPUT: [Message; 8] = [
    (1, 1_000_000_000_000, "a\n"),
    (1, 1_000_000_000_001, "long-"),
    (2, 1_000_000_000_000, "err\n"),
    (1, 1_000_000_000_001, "long-"),
    (1, 1_000_000_000_001, "end\n"),
    (1, 1_009_000_000_000, "b\n"),
    (2, 1_008_000_000_000, "err\n"),
    (1, 1_008_500_000_000, "back\n"),
];

fn whole() -> String {
    OUTPUT.map(|(_, _, text)| text).concat()
}

#[test]
fn a_copy_that_is_broken_off_anywhere_goes_on_there() {
    for broken_off in 0..=OUTPUT.len() {
        let world = World::new();
        let mut sink = world.open();
        connect(&mut sink, &OUTPUT[..broken_off]);
        sink.write(true).unwrap();
        connect(&mut sink, &OUTPUT);
        sink.write(true).unwrap();
        assert_eq!(world.log(), whole(), "the connection ended after {broken_off}");
        // And once more, after the supervisor ended in order.
        let mut next = world.open();
        connect(&mut next, &OUTPUT);
        next.write(true).unwrap();
        assert_eq!(world.log(), whole());
    }
}

#[test]
fn what_a_dead_supervisor_copied_and_did_not_note_is_not_copied_again() {
    for noted in 0..=OUTPUT.len() {
        for copied in 0..=whole().len() {
            let world = World::new();
            let mut sink = world.open();
            connect(&mut sink, &OUTPUT[..noted]);
            sink.write(true).unwrap();
            let Some(rest) = whole().get(world.log().len()..copied).map(str::to_owned) else { continue };
            // Killed in the middle of a write.
            sink.log.write_all(rest.as_bytes()).unwrap();
            drop(sink);
            let mut next = world.open();
            connect(&mut next, &OUTPUT);
            next.write(true).unwrap();
            assert_eq!(world.log(), whole(), "noted after {noted} messages, killed after {copied} bytes");
        }
    }
}

#[test]
fn another_container_s_position_is_none() {
    let world = World::new();
    let mut sink = world.open();
    connect(&mut sink, &OUTPUT);
    sink.write(true).unwrap();
    let at = |name| world.temp.path().join(name);
    let mut other = Copy::open(&at("web.log"), &at("web.lock"), "e", "c2", None).unwrap();
    assert_eq!(other.end(), whole().len() as u64);
    let other = other.sink.as_mut().unwrap();
    connect(other, &OUTPUT[..1]);
    other.write(true).unwrap();
    assert_eq!(world.log(), whole() + "a\n");
}

#[test]
fn bytes_are_passed_on_as_they_are() {
    let world = World::new();
    let mut sink = world.open();
    let (mut repeats, _) = sink.resume();
    let mut message = b"2026-01-02T03:04:05.000000006Z ".to_vec();
    message.extend([0xff, 0, b' ', 0xfe, b'\n']);
    sink.take(&mut repeats, LogOutput::StdOut { message: message.into() });
    sink.take(&mut repeats, LogOutput::StdErr { message: "error from the engine\n".into() });
    sink.write(true).unwrap();
    let log = std::fs::read(world.temp.path().join("web.log")).unwrap();
    assert_eq!(log, b"\xff\0 \xfe\nerror from the engine\n");
}

#[test]
fn the_end_of_a_line_that_came_in_pieces_is_put_back() {
    let world = World::new();
    let mut sink = world.open();
    let pieces = [
        (1, 1_000, "long-"),
        (1, 1_000, "line"),
        (2, 1_001, "other\n"),
        (1, 1_002, "next\n"),
        (1, 1_003, "end"),
    ];
    connect(&mut sink, &pieces[..2]);
    sink.write(true).unwrap();
    drop(sink);
    let mut sink = world.open();
    connect(&mut sink, &pieces);
    sink.write(true).unwrap();
    assert_eq!(world.log(), "long-lineother\n\nnext\nend");
}

/// Told in two parts, of which the second connection hears what the engine has by then.
fn in_two_parts(output: &[Message], broken_off: usize) -> String {
    let world = World::new();
    let mut sink = world.open();
    connect(&mut sink, &output[..broken_off]);
    sink.write(true).unwrap();
    let mut next = world.open();
    connect(&mut next, output);
    next.write(true).unwrap();
    world.log()
}

#[test]
fn a_line_that_takes_an_hour_is_whole() {
    // The pieces of a line have the time of its first.
    let output =
        [(1, 1_000_000_000_000, "long-"), (2, 4_600_000_000_000, "err\n"), (1, 1_000_000_000_000, "line\n")];
    assert_eq!(in_two_parts(&output, 2), "long-err\nline\n");
}

#[test]
fn a_clock_that_is_set_back_by_an_hour_loses_no_line() {
    let output = [
        (1, 4_600_000_000_000, "a\n"),
        (1, 1_000_000_000_000, "b\n"),
        (2, 1_001_000_000_000, "err\n"),
        (1, 1_001_000_000_000, "c\n"),
        (1, 1_100_000_000_000, "d\n"),
    ];
    for broken_off in 2..=output.len() {
        assert_eq!(in_two_parts(&output, broken_off), "a\nb\nerr\nc\nd\n", "after {broken_off}");
    }
}
