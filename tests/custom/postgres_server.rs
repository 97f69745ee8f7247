//! A real PostgreSQL server of a test's own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use tempfile::TempDir;
use vitald_tests::{Output, Pid, eventually, free_port, seconds};

/// What its superuser `postgres` must say.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// A server with its data in a folder of its own. Dropped, it ends at once.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl Server {
    /// One that runs and answers.
    pub(crate) fn new() -> Self {
        let mut server = Self::prepare();
        server.start();
        server
    }

    /// All that it needs, and no server yet.
    pub(crate) fn prepare() -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        let password = folder.path().join("password");
        fs::File::create_new(&password).unwrap().write_all(PASSWORD.as_bytes()).unwrap();
        if let Some(user) = user() {
            for path in [folder.path(), &password] {
                chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
            }
        }
        let server = Self { port: free_port(), folder, process: None };
        let mut initdb = unprivileged("initdb");
        initdb.args(["--no-sync", "--locale=C", "--encoding=UTF8", "--auth=scram-sha-256"]);
        initdb.args(["--username=postgres", "--pwfile"]).arg(&password).arg("-D").arg(server.data());
        Output::of(initdb.current_dir("/")).expect(0);
        server
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let words = self.words();
        let mut postgres = unprivileged("postgres");
        postgres.args(&words[1..]).current_dir("/").stdin(Stdio::null());
        postgres.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(postgres.spawn().unwrap());
        eventually("PostgreSQL", seconds(30), || self.psql("SELECT 1").ok().map(drop), || self.log());
    }

    /// The program and its arguments, for whoever else is to start it, as its user.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec![program("postgres").display().to_string(), "-D".to_owned()];
        words.push(self.data().display().to_string());
        for setting in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", self.folder.path().display()),
            "fsync=off".to_owned(),
        ] {
            words.extend(["-c".to_owned(), setting]);
        }
        words
    }

    /// Ends it as `systemctl stop postgresql` does.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            self.pid_of(&process).signal(Signal::SIGINT);
            process.wait().unwrap();
        }
    }

    /// It answers nobody any more; its port stays open.
    pub(crate) fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// It goes on where it was.
    pub(crate) fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    /// Runs SQL as its superuser; what it said.
    pub(crate) fn psql(&self, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(program("psql"));
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres"]);
        psql.args(["-p", &self.port.to_string(), "-c", sql]).env("PGPASSWORD", PASSWORD);
        let output = Output::of(psql.stdin(Stdio::null()));
        if output.code == 0 { Ok(output.stdout.trim().to_owned()) } else { Err(output.stderr) }
    }

    /// What it wrote into its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn signal_all(&self, signal: Signal) {
        let main = self.pid_of(self.process.as_ref().expect("it was started"));
        main.signal(signal);
        main.descendants().into_iter().for_each(|pid| pid.signal(signal));
    }

    fn pid_of(&self, process: &Child) -> Pid {
        Pid(i32::try_from(process.id()).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.thaw();
        }
        if let Some(mut process) = self.process.take() {
            self.pid_of(&process).signal(Signal::SIGQUIT);
            let _ = process.wait();
        }
    }
}

/// Who runs it where we are root, whom PostgreSQL refuses.
pub(crate) fn user() -> Option<User> {
    let is_root = Uid::effective().is_root();
    is_root.then(|| User::from_name("postgres").unwrap().expect("PostgreSQL's package makes the user"))
}

/// A program of PostgreSQL's, as a user who it works for. It dies with the test.
fn unprivileged(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user() {
        command.args(["--reuid", &user.name, "--regid", &user.gid.to_string(), "--init-groups"]);
    }
    command.arg("--").arg(program(name));
    command
}

/// On PATH, else where Debian puts what several versions have.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.exists());
    let debians = || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let mut found: Vec<PathBuf> = versions.flatten().map(|version| version.path()).collect();
        found.sort_by_key(|folder| version(folder));
        Some(found.pop()?.join("bin").join(name))
    };
    let found = on_path.or_else(debians).filter(|file| file.exists());
    found.unwrap_or_else(|| panic!("there is no {name}: `cargo xtask test plugins` installs PostgreSQL"))
}

fn version(folder: &Path) -> u32 {
    folder.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
}
