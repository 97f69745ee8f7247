//! One thing after the other that a probe must not do.

use std::fs::File;
use std::future::pending;
use std::io::{Write as _, stderr, stdout};
use std::panic::panic_any;
use std::sync::Once;
use std::thread;
use std::time::Duration;

use vitald_sdk::probe::ProbeResult;

use crate::How;

const AN_HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn when_built(how: How) {
    match how {
        How::PanicWhenBuilt => panic!("built to panic"),
        How::BlockWhenBuilt => thread::sleep(AN_HOUR),
        _ => {}
    }
}

pub(crate) async fn when_asked(how: How) -> ProbeResult {
    match how {
        How::PanicWhenBuilt | How::BlockWhenBuilt => {}

        How::Panic => panic!("asked to panic"),
        How::PanicOfNoText => panic_any(42),
        How::PanicWhenPanicIsDropped => panic_any(Bomb),
        How::PanicWhenDropped => {
            let _bomb = Bomb;
            pending::<()>().await;
        }

        // SAFETY: there is none; that is what it is for.
        How::Segfault => unsafe { std::ptr::null_mut::<u8>().write_volatile(1) },
        How::StackOverflow => {
            std::hint::black_box(deeper(std::hint::black_box(1)));
        }
        How::Abort => std::process::abort(),
        How::Exit => std::process::exit(0),
        // SAFETY: it never comes back.
        How::ExitAtOnce => unsafe { libc::_exit(0) },
        // SAFETY: signals touch no memory.
        How::KillGroup => drop(unsafe { libc::kill(0, libc::SIGKILL) }),

        How::Spin => loop {
            std::hint::spin_loop();
        },
        How::Block => thread::sleep(AN_HOUR),
        How::Pending => pending().await,
        How::SlowToLetGo => {
            thread::sleep(Duration::from_millis(1500));
        }
        // SAFETY: signals touch no memory.
        How::Stop => drop(unsafe { libc::raise(libc::SIGSTOP) }),

        How::Leak => Box::leak(vec![1_u8; 10 << 20].into_boxed_slice()).fill(2),
        How::OpenFiles => loop {
            match File::open("/dev/null") {
                Ok(file) => std::mem::forget(file),
                Err(err) => return ProbeResult::unknown(err.to_string()),
            }
        },
        How::Fork => fork(false),
        How::ForkDaemon => fork(true),
        How::Orphan => orphan(),
        How::SpinBeside => {
            static BEGUN: Once = Once::new();
            BEGUN.call_once(|| {
                for _ in 0..4 {
                    thread::spawn(|| {
                        loop {
                            std::hint::spin_loop();
                        }
                    });
                }
            });
        }

        How::Flood => {
            let line = format!("{}\n", "flood ".repeat(100));
            for _ in 0..(4 << 20) / line.len() {
                let _ = stdout().write_all(line.as_bytes());
                let _ = stderr().write_all(line.as_bytes());
            }
        }
        How::Rubbish => {
            let rubbish = b"{\"rubbish\":\n\0\xff\xfe\n";
            for descriptor in 3..1024 {
                // SAFETY: it only reads the bytes it is given; to whom they go is what it is for.
                unsafe { libc::write(descriptor, rubbish.as_ptr().cast(), rubbish.len()) };
            }
        }
        How::CloseAll => {
            for descriptor in 0..1024 {
                // SAFETY: there is none; whose descriptors these are is what it is for.
                unsafe { libc::close(descriptor) };
            }
        }
        How::HugeMessage => return ProbeResult::unknown("huge ".repeat(20 << 20)),
        How::OddMessage => {
            return ProbeResult::unknown("first line\nsecond\r\n\u{1b}[31mred\u{7}\0 \u{202e}drawkcab");
        }

        How::Surroundings => {
            let _ = std::env::set_current_dir("/");
            for (name, _) in std::env::vars_os() {
                // SAFETY: there is none; that is what it is for.
                unsafe { std::env::remove_var(name) };
            }
            // SAFETY: neither touches memory.
            unsafe {
                libc::umask(0o777);
                for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE, libc::SIGCHLD] {
                    libc::signal(signal, libc::SIG_IGN);
                }
            }
        }
    }
    ProbeResult::Success
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped to panic");
    }
}

#[allow(unconditional_recursion)]
fn deeper(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    deeper(depth + 1) + room[0]
}

/// A child that outlives the host, unless somebody ends it; as a daemon it leaves session and group, too.
fn fork(daemon: bool) {
    // SAFETY: the child calls nothing but what a signal handler may, too.
    unsafe {
        if libc::fork() == 0 {
            if daemon {
                libc::setsid();
                if libc::fork() > 0 {
                    libc::_exit(0);
                }
            }
            loop {
                libc::pause();
            }
        }
    }
}

/// A child of a child, in a group of its own, which ends as soon as nobody waits for it any more.
fn orphan() {
    // SAFETY: the children call nothing but what a signal handler may, too.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::setpgid(0, 0);
            let parent = libc::getpid();
            if libc::fork() == 0 {
                while libc::getppid() == parent {
                    libc::usleep(1000);
                }
            }
            libc::_exit(0);
        }
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}
