//! The test's side of the network: ports, a server whose answers the test decides, a proxy that counts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A port that nobody listens on, given out once. It lies below those that the kernel gives to clients, so
/// that none of them takes it before the test does.
pub fn free_port() -> u16 {
    const RANGE: Range<u32> = 12_000..32_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Test programs that run at the same time begin in different places.
    let begin = std::process::id().wrapping_mul(211);
    loop {
        let next = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = RANGE.start + next % (RANGE.end - RANGE.start);
        let port = u16::try_from(port).expect("a range of ports");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Sends a request to a server on this machine; gives status and body.
pub fn http(method: &str, port: u16, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

/// When somebody came.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<Mutex<Vec<Instant>>>);

impl Counter {
    fn count(&self) {
        self.0.lock().expect("no panic while counting").push(Instant::now());
    }

    /// How often so far.
    pub fn len(&self) -> usize {
        self.0.lock().expect("no panic while counting").len()
    }

    /// Whether nobody came yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The moments.
    pub fn times(&self) -> Vec<Instant> {
        self.0.lock().expect("no panic while counting").clone()
    }

    /// The spans between one and the next.
    pub fn gaps(&self) -> Vec<Duration> {
        self.times().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// An HTTP server in the test itself. It answers every request with the status last set.
pub struct Stub {
    /// Where it listens.
    pub port: u16,
    /// The requests.
    pub requests: Counter,
    status: Arc<Mutex<u16>>,
}

impl Stub {
    /// Answers 200 until told otherwise.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (requests, status) = (Counter::default(), Arc::new(Mutex::new(200)));
        let stub = Self { port, requests: requests.clone(), status: status.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (requests, status) = (requests.clone(), status.clone());
                thread::spawn(move || Self::answer(stream, &requests, &status));
            }
        });
        stub
    }

    /// The status of answers from now on; 0 closes the connection without one.
    pub fn answer_with(&self, status: u16) {
        *self.status.lock().expect("no panic while answering") = status;
    }

    fn answer(mut stream: TcpStream, requests: &Counter, status: &Mutex<u16>) {
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        requests.count();
        let status = *status.lock().expect("no panic while answering");
        if status != 0 {
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    }
}

impl Default for Stub {
    fn default() -> Self {
        Self::new()
    }
}

/// Passes connections on to another port, counting them.
pub fn counting_proxy(to: u16) -> (u16, Counter) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let counter = Counter::default();
    let connections = counter.clone();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            connections.count();
            let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else {
                continue;
            };
            for (mut from, mut into) in both_ways(client, server) {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut into);
                    let _ = into.shutdown(Shutdown::Write);
                });
            }
        }
    });
    (port, counter)
}

fn both_ways(a: TcpStream, b: TcpStream) -> Vec<(TcpStream, TcpStream)> {
    match (a.try_clone(), b.try_clone()) {
        (Ok(a2), Ok(b2)) => vec![(a, b), (b2, a2)],
        _ => vec![],
    }
}
