//! Lines of any length, and of bytes that are no text.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use vitald_tests::{Disk, Kind, Supervisor, eventually, odd_line, seconds};

const MAX_SIZE: u64 = 64 << 10;
/// Several are longer than a file may be; the second is 1 MiB, and the last ones are short again.
const LENGTHS: [usize; 9] = [17, 1 << 20, 3, 300_001, 1, 65_536, 4096, 70_000, 20];
const SHORT: [usize; 3] = [5, 900, 12];

#[test]
fn lines_of_any_length_and_bytes_on_ext4() {
    lines_of_any_length_and_bytes(Kind::Ext4);
}

#[test]
fn lines_of_any_length_and_bytes_on_tmpfs() {
    lines_of_any_length_and_bytes(Kind::Tmpfs);
}

fn lines_of_any_length_and_bytes(kind: Kind) {
    let Some(disk) = Disk::of(kind, 64 << 20) else { return };
    let mut s = Supervisor::prepare("{metadata: {name: odd}, spec: {command: [vitald-fixture, sleep]}}")
        .with_state_dir(disk.path().join("state"));
    let go = s.path("go");
    let manifest = |name: &str, lengths: &[usize]| {
        let lengths: Vec<_> = lengths.iter().map(usize::to_string).collect();
        format!(
            "metadata: {{name: {name}}}\nspec:\n  command: [sh, -c]\n  args: ['while [ ! -e {} ]; do sleep 0.05; \
             done; exec vitald-fixture odd-lines {}']\n  restartPolicy: Never\n  logs: {{maxSize: 64Ki, maxFiles: 100}}",
            go.display(),
            lengths.join(" ")
        )
    };
    s.write_manifests(&[manifest("odd", &LENGTHS), manifest("b", &SHORT)].join("\n---\n"));
    s.start();
    s.wait_pid("odd");
    let seen = s.path("seen");
    let shown = fs::File::create(&seen).unwrap();
    let follower = s.command(&["logs", "-f", "odd"]).stdout(shown).stderr(Stdio::piped()).spawn().unwrap();
    s.write("go", "");
    s.wait_for("odd", "has ended", seconds(20), |c| {
        c.last_exit.as_ref().is_some_and(|exit| exit.code == Some(3))
    });
    let lines = lines(&LENGTHS);
    let all = lines.concat();
    s.wait_rotated("odd", MAX_SIZE, seconds(20));
    assert!(s.log_files("odd").len() as u64 >= all.len() as u64 / MAX_SIZE, "{}", s.log_listing());

    let shown = |args: &[&str]| {
        let output = s.command(args).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {:?}", output.stderr);
        output.stdout
    };
    let mut files = Vec::new();
    s.log_bytes("odd").read_to_end(&mut files).unwrap();
    assert_same("the files", &files, &all);
    assert_same("logs", &shown(&["logs", "odd"]), &all);
    for tail in 0..=lines.len() + 1 {
        let expected = lines[lines.len().saturating_sub(tail)..].concat();
        assert_same(
            &format!("--tail {tail}"),
            &shown(&["logs", "odd", "--tail", &tail.to_string()]),
            &expected,
        );
    }
    assert_same("--since", &shown(&["logs", "odd", "--since", "1h"]), &all);

    let merged = shown(&["logs", "--all"]);
    for (name, lengths) in [("odd", &LENGTHS[..]), ("b", &SHORT[..])] {
        let prefix = format!("{name:3} | ");
        let of_it = merged.split_inclusive(|byte| *byte == b'\n');
        let of_it: Vec<_> = of_it.filter_map(|line| line.strip_prefix(prefix.as_bytes())).collect();
        assert_same(&format!("{name} among others"), &of_it.concat(), &self::lines(lengths).concat());
    }

    let described = String::from_utf8(shown(&["describe", "odd"])).unwrap();
    let harmful = described.chars().find(|c| c.is_control() && *c != '\n');
    assert!(harmful.is_none() && described.len() < 128 << 10, "{harmful:?} in {} bytes", described.len());
    assert!(described.contains("Exit") || described.contains("exit"), "{described}");

    eventually(
        "the follower to see all",
        seconds(20),
        || (fs::metadata(&seen).unwrap().len() >= all.len() as u64).then_some(()),
        || format!("{} of {} bytes", fs::metadata(&seen).unwrap().len(), all.len()),
    );
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    let said = follower.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    assert_same("logs -f", &fs::read(&seen).unwrap(), &all);
    let output = s.command(&["logs", "odd", "--tail", "8"]).output().unwrap();
    assert_same("without a supervisor", &output.stdout, &lines[1..].concat());
}

fn lines(lengths: &[usize]) -> Vec<Vec<u8>> {
    lengths.iter().enumerate().map(|(number, length)| odd_line(number as u64, *length)).collect()
}

/// These bytes are for nobody's eyes: what is told is where they differ.
#[track_caller]
fn assert_same(of: &str, found: &[u8], expected: &[u8]) {
    let same = found.iter().zip(expected).take_while(|(ours, theirs)| ours == theirs).count();
    let lengths = (found.len(), expected.len());
    assert!(found == expected, "{of}: {} of {} bytes, the first {same} right", lengths.0, lengths.1);
}
