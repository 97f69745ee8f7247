//! A registry with one image, which gives its larger layer only when told to. Engines take one on 127.0.0.1 without
//! TLS.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use vitald_tests::{Engine, Output, seconds};

/// Bytes of the layer that is held back: more than a client reads ahead.
const LARGE: usize = 8 << 20;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What it answers to a path: the type, and the bytes.
type Answers = HashMap<String, (String, Vec<u8>)>;

pub(crate) struct Registry {
    port: u16,
    open: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Registry {
    /// Serves until the test ends. The engine is asked which kind of machine it is on.
    pub(crate) fn serve(engine: &Engine) -> Self {
        let answers = Arc::new(answers(engine));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let registry = Self { port, open: Arc::clone(&open), asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (answers, open, asked) = (Arc::clone(&answers), Arc::clone(&open), Arc::clone(&asked));
                // One that goes away in the middle is no business of ours.
                std::thread::spawn(move || answer(&client, &answers, &open, &asked));
            }
        });
        registry
    }

    pub(crate) fn image(&self) -> String {
        format!("127.0.0.1:{}/test/slow:1", self.port)
    }

    /// Gives everything from now on.
    pub(crate) fn let_go(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// How often it was asked for something.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// All requests of one connection.
fn answer(
    client: &TcpStream,
    answers: &Answers,
    open: &AtomicBool,
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client.try_clone()?;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while reader.read_line(&mut header)? > 2 {
            header.clear();
        }
        asked.fetch_add(1, Ordering::Relaxed);
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Some((kind, body)) = answers.get(path) else {
            let none = "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}";
            write!(
                client,
                "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{none}",
                none.len()
            )?;
            continue;
        };
        write!(
            client,
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\n\
             Docker-Distribution-Api-Version: registry/2.0\r\n\r\n",
            body.len(),
            sha256(body),
        )?;
        if method == "HEAD" {
            continue;
        }
        if body.len() < LARGE {
            client.write_all(body)?;
            continue;
        }
        let (first, rest) = body.split_at(body.len() / 2);
        client.write_all(first)?;
        while !open.load(Ordering::Relaxed) {
            std::thread::sleep(seconds(0.05));
        }
        client.write_all(rest)?;
    }
}

fn answers(engine: &Engine) -> Answers {
    let temp = tempfile::tempdir().unwrap();
    let pack = |name: &str, fill: &dyn Fn(&Path)| {
        let folder = temp.path().join(name);
        fs::create_dir(&folder).unwrap();
        fill(&folder);
        let tar = temp.path().join(format!("{name}.tar"));
        Output::of(Command::new("tar").arg("-C").arg(&folder).arg("-cf").arg(&tar).arg(".")).expect(0);
        // Stored, not compressed: it is to be large.
        Output::of(Command::new("gzip").args(["-n", "-1", "-k"]).arg(&tar)).expect(0);
        (fs::read(&tar).unwrap(), fs::read(tar.with_extension("tar.gz")).unwrap())
    };
    let (small_tar, small) = pack("small", &|folder| {
        fs::create_dir(folder.join("bin")).unwrap();
        fs::copy("/bin/busybox", folder.join("bin/busybox")).unwrap();
    });
    let (large_tar, large) = pack("large", &|folder| fs::write(folder.join("noise"), noise()).unwrap());
    let architecture = engine.docker(&["version", "--format", "{{.Server.Arch}}"]).expect(0);
    let config = serde_json::json!({
        "architecture": architecture.stdout.trim(), "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["busybox", "sleep", "1000"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(&small_tar), sha256(&large_tar)]},
    });
    let config = config.to_string().into_bytes();
    let layer = |blob: &[u8]| {
        let kind = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        serde_json::json!({"mediaType": kind, "size": blob.len(), "digest": sha256(blob)})
    };
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": config.len(), "digest": sha256(&config),
        },
        "layers": [layer(&small), layer(&large)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut answers = Answers::from([("/v2/".to_owned(), ("application/json".to_owned(), b"{}".to_vec()))]);
    for tag in ["1".to_owned(), sha256(&manifest)] {
        answers.insert(format!("/v2/test/slow/manifests/{tag}"), (MANIFEST.into(), manifest.clone()));
    }
    for blob in [config, small, large] {
        let path = format!("/v2/test/slow/blobs/{}", sha256(&blob));
        answers.insert(path, ("application/octet-stream".into(), blob));
    }
    answers
}

/// Bytes that cannot be compressed, the same every time: xorshift.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..LARGE / 4).flat_map(|_| next()).collect()
}

/// `sha256:…`
fn sha256(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let sum = Output::of(Command::new("sha256sum").arg(file.path())).expect(0);
    format!("sha256:{}", sum.stdout.split(' ').next().unwrap_or_default())
}
