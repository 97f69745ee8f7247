//! Folders on the file systems that matter, lines that can be told apart, and processes to write them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use vitald_log::{
    FolderWatch, Keeper, LogReader, OnDiskFull, Policy, Read, RotatingLog, Settings, Way, capabilities,
};

/// Bytes of a line.
pub(crate) const LINE: usize = 64;

/// The folders to try: one where files can be collapsed, one where they can only be punched.
pub(crate) fn beds() -> Vec<Bed> {
    [Bed::ordinary(), Bed::memory()].into_iter().flatten().collect()
}

/// A folder of its own, removed in the end.
pub(crate) struct Bed {
    dir: tempfile::TempDir,
    pub(crate) way: Way,
}

impl Bed {
    /// Where temporary files are, or where this was built.
    pub(crate) fn ordinary() -> Option<Self> {
        Self::of(&[&std::env::temp_dir(), Path::new(env!("CARGO_TARGET_TMPDIR"))], Way::Collapse)
    }

    pub(crate) fn memory() -> Option<Self> {
        Self::of(&[Path::new("/dev/shm"), &std::env::temp_dir()], Way::Punch)
    }

    fn of(folders: &[&Path], way: Way) -> Option<Self> {
        for folder in folders {
            let Ok(dir) = tempfile::tempdir_in(folder) else { continue };
            if capabilities(dir.path()).unwrap().way == way {
                return Some(Self { dir, way });
            }
        }
        skip(&format!("none of {folders:?} offers {way:?}"));
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path().join("web.log")
    }
}

/// A test that cannot be made here says so; where everything has to be tested, that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot be tested here: {why}");
    eprintln!("skipped: {why}");
}

pub(crate) fn settings(max_size: u64, max_files: u32) -> Settings {
    Settings { max_size, max_files, on_disk_full: OnDiskFull::Keep, sync: false }
}

pub(crate) fn rotating(log: &Path, settings: Settings) -> RotatingLog {
    RotatingLog::open(log, settings).unwrap()
}

/// Lines with these numbers: `000000000017 a xxx…`.
pub(crate) fn lines(mark: char, numbers: Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LINE * (numbers.end - numbers.start) as usize);
    for number in numbers {
        let begin = bytes.len();
        bytes.resize(begin + LINE, b'x');
        let mut rest = number;
        for digit in bytes[begin..begin + 12].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        bytes[begin + 12..begin + 15].copy_from_slice(&[b' ', mark as u8, b' ']);
        bytes[begin + LINE - 1] = b'\n';
    }
    bytes
}

/// The file as a component has it.
pub(crate) fn open_append(log: &Path) -> File {
    vitald_log::append(log).unwrap().0
}

/// All there is, and how many bytes were said to be gone.
pub(crate) fn read_all(log: &Path) -> (Vec<u8>, u64) {
    let mut reader = LogReader::open(log).unwrap();
    let (mut bytes, mut gone) = (Vec::new(), 0);
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match reader.read(&mut buffer).unwrap() {
            Read::Bytes(length) => bytes.extend_from_slice(&buffer[..length]),
            Read::Gone(length) => gone += length,
            Read::Restarted => {}
            Read::End => return (bytes, gone),
        }
    }
}

/// The files as `cat` shows them, oldest first.
pub(crate) fn cat(log: &Path) -> Vec<u8> {
    let archive = |number: u32| format!("{}.{number}", log.display());
    let highest = (1..1000).take_while(|number| Path::new(&archive(*number)).exists()).last().unwrap_or(0);
    let mut bytes = Vec::new();
    for number in (1..=highest).rev() {
        bytes.extend(fs::read(archive(number)).unwrap());
    }
    bytes.extend(fs::read(log).unwrap_or_default());
    bytes
}

/// Where two texts begin to differ, for a message that can be read.
#[track_caller]
pub(crate) fn assert_same(left: &[u8], right: &[u8], what: &str) {
    if left == right {
        return;
    }
    let at = left.iter().zip(right).position(|(a, b)| a != b).unwrap_or(left.len().min(right.len()));
    let show = |bytes: &[u8]| String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 40)]).into_owned();
    panic!(
        "{what}: {} and {} bytes, differ at {at}: {:?} and {:?}",
        left.len(),
        right.len(),
        show(left),
        show(right)
    );
}

/// Reads a log of numbered lines from its first byte until so many have come, and checks them piece by piece:
/// no more memory than a buffer, however long it is.
pub(crate) fn check_lines(log: &Path, mark: char, count: u64) {
    let watch = FolderWatch::new(log.parent().unwrap());
    let mut reader = LogReader::open(log).unwrap();
    assert_eq!(reader.offset(), 0, "the oldest bytes are gone");
    let (mut buffer, mut next) = (vec![0; LINE * 8192], 0);
    let mut filled = 0;
    let deadline = Instant::now() + Duration::from_secs(300);
    while next < count {
        match reader.read(&mut buffer[filled..]).unwrap() {
            Read::Bytes(length) => filled += length,
            Read::End => {
                assert!(Instant::now() < deadline, "only {next} of {count} lines came");
                watch.wait(Some(Duration::from_secs(5)));
            }
            other => panic!("{other:?} at {}", reader.offset()),
        }
        let whole = filled / LINE;
        assert_same(&buffer[..whole * LINE], &lines(mark, next..next + whole as u64), "lines");
        next += whole as u64;
        buffer.copy_within(whole * LINE..filled, 0);
        filled -= whole * LINE;
    }
    assert_eq!((next, filled, reader.read(&mut buffer).unwrap()), (count, 0, Read::End), "lines in the log");
}

/// This program again, as another process that does one of the jobs below.
pub(crate) fn helper(job: &str, log: &Path, numbers: &[u64]) -> Child {
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bed::does_a_job", "--nocapture", "--test-threads=1"])
        .env("VITALD_LOG_JOB", job)
        .env("VITALD_LOG_FILE", log)
        .env("VITALD_LOG_NUMBERS", numbers.join(" "))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn does_a_job() {
    let Ok(job) = std::env::var("VITALD_LOG_JOB") else { return };
    let log = PathBuf::from(std::env::var_os("VITALD_LOG_FILE").unwrap());
    let numbers: Vec<u64> = std::env::var("VITALD_LOG_NUMBERS")
        .unwrap()
        .split(' ')
        .map(|number| number.parse().unwrap())
        .collect();
    match (job.as_str(), numbers.as_slice()) {
        // In writes of 64 KiB, with a pause of so many microseconds between them.
        ("write", &[mark, count, pause]) => {
            let mut file = open_append(&log);
            let mark = char::from(mark as u8);
            let mut next = 0;
            while next < count {
                let until = (next + 1024).min(count);
                file.write_all(&lines(mark, next..until)).unwrap();
                next = until;
                std::thread::sleep(Duration::from_micros(pause));
            }
        }
        // The log, and as many others as are asked for: c0, c1 …
        ("keep", &[max_size, max_files, others]) => {
            let policy = Policy { max_total: Some(1 << 40) };
            let keeper = Keeper::start(log.parent().unwrap(), policy, |_| {}).unwrap();
            keeper.keep("web", settings(max_size, max_files as u32));
            (0..others).for_each(|n| keeper.keep(&format!("c{n}"), settings(max_size, max_files as u32)));
            std::thread::sleep(Duration::from_secs(600));
        }
        _ => panic!("no such job: {job} {numbers:?}"),
    }
}

/// Waits for something that is going to happen.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < deadline, "waited a minute for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn write(file: &mut File, bytes: &[u8]) {
    file.write_all(bytes).unwrap();
}

/// The file as a component has it that opens its log by itself, and counts for itself where it is.
pub(crate) fn open_at_own_offset(log: &Path) -> File {
    OpenOptions::new().write(true).create(true).truncate(true).open(log).unwrap()
}
