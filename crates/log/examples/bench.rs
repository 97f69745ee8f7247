//! What rotation costs the writer and the keeper: `cargo run --release -p vitald-log --example bench [DIR]`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use vitald_log::{Keeper, LogReader, Policy, Read, Settings, capabilities};

const GIB: usize = 1 << 30;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "write", path] => write(Path::new(path)),
        [_, "keep", folder, sync] => keep(Path::new(folder), *sync == "true"),
        [_, folder] => compare(Path::new(folder)),
        _ => compare(&std::env::temp_dir()),
    }
}

/// As a component that says all it can: 1 GiB in writes of 64 KiB.
fn write(path: &Path) {
    let line: Vec<u8> = [vec![b'x'; 127], vec![b'\n']].concat();
    let block = line.repeat(512);
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    for _ in 0..GIB / block.len() {
        file.write_all(&block).unwrap();
    }
    println!("  the writer took {:.2} s of CPU", cpu("self"));
}

fn keep(folder: &Path, sync: bool) {
    let keeper = Keeper::start(folder, Policy::default(), |_| {}).unwrap();
    keeper.keep("web", Settings { max_files: 100, sync, ..Settings::default() });
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn compare(folder: &Path) {
    println!("{}: {:?}", folder.display(), capabilities(folder).unwrap());
    // In turns, so that what else the machine does meets all of them.
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..5 {
        for (times, kept) in times.iter_mut().zip([None, Some(true), Some(false)]) {
            times.push(run(folder, kept));
        }
    }
    let [alone, synced, unsynced] = times.each_mut().map(|times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!("the writer, alone {alone:.2} s; medians of {times:.2?}");
    println!("rotated, sync: {:.2} times; without sync: {:.2} times", synced / alone, unsynced / alone);
}

/// Seconds that the writer takes.
fn run(folder: &Path, kept: Option<bool>) -> f64 {
    let dir = tempfile::tempdir_in(folder).unwrap();
    let log = dir.path().join("web.log");
    let mut keeper = kept.map(|sync| again(&["keep", dir.path().to_str().unwrap(), &sync.to_string()]));
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    assert!(again(&["write", log.to_str().unwrap()]).wait().unwrap().success());
    let took = began.elapsed().as_secs_f64();
    if let Some(keeper) = &mut keeper {
        let size = || vitald_log::extent(&log).unwrap();
        while size().end - size().live > 50 << 20 {
            std::thread::sleep(Duration::from_millis(10));
        }
        println!(
            "  all rotated {:.2} s later; the keeper took {:.2} s of CPU",
            began.elapsed().as_secs_f64() - took,
            cpu(&keeper.id().to_string())
        );
        keeper.kill().unwrap();
        keeper.wait().unwrap();
        let began = Instant::now();
        let bytes = read(&log);
        println!("  {bytes} bytes read in {:.2} s", began.elapsed().as_secs_f64());
        assert_eq!(bytes, GIB);
    }
    took
}

fn read(log: &Path) -> usize {
    let (mut reader, mut buffer, mut bytes) = (LogReader::open(log).unwrap(), vec![0; 256 * 1024], 0);
    while let Read::Bytes(length) = reader.read(&mut buffer).unwrap() {
        bytes += length;
    }
    bytes
}

fn again(args: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap()).args(args).spawn().unwrap()
}

/// Seconds of CPU that a process has used: fields 14 and 15 of its stat, in hundredths.
fn cpu(process: &str) -> f64 {
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{process}/stat"))).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<f64>().unwrap() / 100.0).sum()
}
