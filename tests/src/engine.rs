//! A Docker engine of a test's own: private data, socket and cgroups, an image made here, and nothing of it left.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::{Output, Pid, eventually, seconds};

/// The image that every engine has: busybox, and nothing to run by itself.
pub const IMAGE: &str = "test/busy:1";

/// What busybox is asked for by these tests.
const APPLETS: [&str; 18] = [
    "sh", "sleep", "cat", "echo", "test", "touch", "rm", "true", "false", "date", "ls", "seq", "tail",
    "kill", "ps", "env", "pwd", "id",
];

/// A Docker engine.
pub struct Engine {
    /// Short: the engine makes sockets below it.
    root: tempfile::TempDir,
    live_restore: bool,
    /// Words before `dockerd`, such as those that lead into a namespace.
    prefix: Vec<String>,
    process: Option<Child>,
}

impl Engine {
    /// An engine that ends its containers when it ends.
    pub fn start() -> Self {
        Self::prepare(false, Vec::new())
    }

    /// The same in a network of the test's own: what to put before a command so that it runs there.
    pub fn within(prefix: Vec<String>) -> Self {
        Self::prepare(false, prefix)
    }

    /// One whose containers outlive it.
    pub fn with_live_restore() -> Self {
        Self::prepare(true, Vec::new())
    }

    fn prepare(live_restore: bool, prefix: Vec<String>) -> Self {
        let root = tempfile::Builder::new().prefix("vd").tempdir_in("/tmp").expect("a temporary folder");
        let mut engine = Self { root, live_restore, prefix, process: None };
        engine.up();
        engine.import();
        engine
    }

    /// What DOCKER_HOST is to be.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.path("d.sock")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn cgroup(&self) -> String {
        format!("vitald-{}", self.root.path().file_name().expect("a name").display())
    }

    /// Starts it (again); returns once it answers.
    pub fn up(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).expect("a file");
        // One that was killed leaves these, and a zombie's counts as alive.
        for left in ["pid", "exec/containerd/containerd.pid"] {
            let _ = fs::remove_file(self.path(left));
        }
        let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let words: Vec<_> = self.prefix.iter().map(String::as_str).chain(["dockerd"]).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg(flag("data-root", &self.path("data")))
            .arg(flag("exec-root", &self.path("exec")))
            .arg(flag("pidfile", &self.path("pid")))
            .args(["-H", &self.address(), &format!("--cgroup-parent=/{}", self.cgroup())])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"])
            .args(["--ip-masq=false", "--userland-proxy=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second descriptor"))
            .stderr(log);
        if self.live_restore {
            command.arg("--live-restore");
        }
        self.process = Some(command.spawn().expect("dockerd: `cargo xtask test docker` installs it"));
        let log = self.path("log");
        eventually(
            "the Docker engine to answer",
            seconds(60),
            || (self.docker(&["version"]).code == 0).then_some(()),
            || fs::read_to_string(&log).unwrap_or_default(),
        );
    }

    /// Ends it as a package's upgrade does, or by SIGKILL; returns when it is gone.
    pub fn down(&mut self, signal: Signal) {
        self.signal(signal);
        let Some(mut process) = self.process.take() else { return };
        process.wait().expect("the end of dockerd");
        // What it had started ends with it.
        let part = fs::read_to_string(self.path("exec/containerd/containerd.pid")).unwrap_or_default();
        if let Ok(part) = part.trim().parse() {
            Pid(part).wait_gone(seconds(30));
        }
    }

    /// Sends it a signal, where it runs.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            Pid(i32::try_from(process.id()).expect("a pid")).signal(signal);
        }
    }

    /// `docker`, as a user of the same engine.
    pub fn docker(&self, args: &[&str]) -> Output {
        Output::of(Command::new("docker").args(args).env("DOCKER_HOST", self.address()).stdin(Stdio::null()))
    }

    /// What a template says of a container.
    pub fn inspect(&self, container: &str, template: &str) -> String {
        let told = self.docker(&["inspect", "--format", template, container]);
        assert_eq!(told.code, 0, "{told:?}");
        told.stdout.trim().to_owned()
    }

    /// The names of all containers, dead ones included.
    pub fn containers(&self) -> Vec<String> {
        let told = self.docker(&["ps", "--all", "--format", "{{.Names}}"]);
        assert_eq!(told.code, 0, "{told:?}");
        told.stdout.lines().map(str::to_owned).collect()
    }

    /// Makes the image out of the machine's own busybox: nothing is pulled.
    fn import(&self) {
        let bin = self.path("image/bin");
        fs::create_dir_all(&bin).expect("a folder");
        for folder in ["etc", "tmp"] {
            fs::create_dir_all(self.path("image").join(folder)).expect("a folder");
        }
        fs::write(self.path("image/etc/passwd"), "root:x:0:0::/:/bin/sh\nworker:x:1234:1234::/:/bin/sh\n")
            .expect("a file");
        fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static, which xtask installs");
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("a link");
        }
        let tar = self.path("image.tar");
        let packed =
            Output::of(Command::new("tar").arg("-C").arg(self.path("image")).arg("-cf").arg(&tar).arg("."));
        assert_eq!(packed.code, 0, "{packed:?}");
        let tar = tar.display().to_string();
        let imported =
            self.docker(&["import", "-c", "ENV PATH=/bin", "-c", "CMD [\"sleep\", \"1000\"]", &tar, IMAGE]);
        assert_eq!(imported.code, 0, "{imported:?}");
    }

    /// Gives the image another name, too.
    pub fn tag(&self, name: &str) {
        assert_eq!(self.docker(&["tag", IMAGE, name]).code, 0, "the image is there");
    }

    /// Makes an image of one static program, and of what it is started with.
    pub fn import_program(&self, name: &str, program: &Path, args: &[&str]) {
        let (folder, file) = (program.parent().expect("a folder"), program.file_name().expect("a name"));
        let tar = self.path("program.tar");
        let packed = Output::of(Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(&tar).arg(file));
        assert_eq!(packed.code, 0, "{packed:?}");
        let words: Vec<_> = args.iter().map(|arg| format!("\"{arg}\"")).collect();
        let entrypoint = format!("ENTRYPOINT [\"/{}\"]", file.display());
        let command = format!("CMD [{}]", words.join(", "));
        let tar = tar.display().to_string();
        let imported = self.docker(&["import", "-c", &entrypoint, "-c", &command, &tar, name]);
        assert_eq!(imported.code, 0, "{imported:?}");
    }

    fn clear_away(&mut self) {
        if self.process.is_some() {
            let left = self.docker(&["ps", "--all", "--quiet"]).stdout;
            let left: Vec<&str> = left.lines().collect();
            if !left.is_empty() {
                self.docker(&[&["rm", "-f"], &left[..]].concat());
            }
            self.down(Signal::SIGTERM);
        }
        // An engine that was away, or would not answer, has left what ran.
        Pid::marked(&self.path("exec").display().to_string()).iter().for_each(|left| left.kill());
        let root = self.root.path().display().to_string();
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        for place in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if place.starts_with(&root) {
                Output::of(Command::new("umount").arg(place));
            }
        }
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        for hierarchy in hierarchies {
            remove_empty(&hierarchy.path().join(self.cgroup()));
        }
        remove_empty(&Path::new("/sys/fs/cgroup").join(self.cgroup()));
    }
}

/// Folders of cgroups are removed from within, and by nothing but rmdir(2).
fn remove_empty(folder: &Path) {
    for inner in fs::read_dir(folder).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&inner.path());
        }
    }
    // Containers that outlived a shim.
    for left in fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Ok(left) = left.parse() {
            Pid(left).kill();
            Pid(left).wait_gone(seconds(10));
        }
    }
    let _ = fs::remove_dir(folder);
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- dockerd said\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        self.clear_away();
    }
}
