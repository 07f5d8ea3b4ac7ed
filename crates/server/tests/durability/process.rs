//! The real binary as a child process, with thresholds so small that flush and compaction run all the time.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{http::Client, load::DIMENSION};

/// A data directory that several servers use one after the other.
pub(crate) struct Directory {
    folder: tempfile::TempDir,
    port: u16,
    /// Held so that no other directory takes the same ports.
    _claim: TcpListener,
    /// The size of the data's own small disk, in MiB.
    disk_mib: Option<u32>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        let (port, _claim) = free_ports();
        Self { folder: tempfile::tempdir().expect("a folder"), port, _claim, disk_mib: None }
    }
    /// A directory whose data lie on a disk of this size for as long as one server runs.
    pub(crate) fn on_a_small_disk(mib: u32) -> Self {
        let dir = Self { disk_mib: Some(mib), ..Self::new() };
        fs::create_dir(dir.data()).expect("a folder");
        dir
    }
    /// Takes the data off the small disk as a kill at this moment would leave them, and ends the server.
    pub(crate) fn leave_the_small_disk(&mut self, server: Server) {
        server.signal("STOP");
        copy(&server.disk(self), &self.data());
        self.disk_mib = None;
        server.kill();
    }
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }
    /// What the last server said, at most 4,000 bytes.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(self.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4000)..]).into_owned()
    }
    /// In a folder of its own, which the first start makes.
    fn root_key(&self) -> PathBuf {
        self.path().join("config/root.key")
    }
    /// Runs an operator's command on the directory; whether it succeeded, and all it said.
    pub(crate) fn command(&self, words: &[&str]) -> (bool, String) {
        self.command_with(words, &[])
    }
    /// The same, with settings in the environment.
    pub(crate) fn command_with(&self, words: &[&str], env: &[(&str, &str)]) -> (bool, String) {
        let output = Command::new(binary())
            .args(words)
            .arg("--data-dir")
            .arg(self.data())
            .arg("--root-key-file")
            .arg(self.root_key())
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}

/// How many ports a directory has for itself: the control port, the indexes' after it, and the last, which claims them all.
const PORTS: u16 = 40;

/// Ports that no client is given by the system, so that a port stays free while a server is down.
fn free_ports() -> (u16, TcpListener) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let slot = (std::process::id() as u16 % 500).wrapping_mul(7).wrapping_add(step) % 500;
        let first = 11_000 + slot * PORTS;
        let bind = |port: u16| TcpListener::bind(("127.0.0.1", port));
        if let Ok(claim) = bind(first + PORTS - 1)
            && (first..first + PORTS - 1).all(|port| bind(port).is_ok())
        {
            return (first, claim);
        }
    }
}

/// Copies a folder's files and folders.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// The binary under test; `PINYON_TEST_BINARY` names another, so that a long run is not disturbed by a build.
fn binary() -> String {
    std::env::var("PINYON_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pinyon").to_owned())
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub(crate) fn start(dir: &Directory, env: &[(&str, &str)]) -> Self {
        Self::try_start(dir, env).expect("the server did not become ready")
    }

    /// `None` when the process ended before it was ready, as an injected fault may make it.
    pub(crate) fn try_start(dir: &Directory, env: &[(&str, &str)]) -> Option<Self> {
        let mut server = Self::spawn(dir, "dev", &[], env);
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            if server.is_gone() {
                return None;
            }
            // With a damaged audit log it serves reads, is never ready for more, and says so; with a fault set it may not get ready.
            match Client::new(&server.control_host()).send("GET", "/readyz", None).map(|a| a.status) {
                Some(200) => return Some(server),
                Some(503) if !env.is_empty() || dir.last_words().contains("is damaged") => return Some(server),
                _ => {}
            }
            assert!(Instant::now() < patience, "the server neither started nor ended: {}", dir.last_words());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts the process in one of its modes and waits for nothing.
    pub(crate) fn spawn(dir: &Directory, mode: &str, flags: &[&str], env: &[(&str, &str)]) -> Self {
        let log = fs::File::create(dir.path().join("server.log")).expect("a log file");
        let config = dir.path().join("pinyon.toml");
        fs::write(&config, include_str!("small.toml")).expect("a settings file");
        let mut command = match dir.disk_mib {
            None => Command::new(binary()),
            // A file system of its own, in a mount namespace that only this process sees and that goes with it.
            Some(mib) => {
                let mut command = Command::new("unshare");
                command.args(["-Urm", "sh", "-c", &format!("mount -t tmpfs -o size={mib}m tmpfs \"$0\" && exec \"$@\"")]);
                command.arg(dir.data()).arg(binary());
                command
            }
        };
        let child = command
            .args([mode, "--bind", "127.0.0.1", "--port", &dir.port.to_string()])
            .args(flags)
            .arg("--data-dir")
            .arg(dir.data())
            .arg("--config")
            .arg(&config)
            .arg("--root-key-file")
            .arg(dir.root_key())
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        Self { child, port: dir.port }
    }

    /// Whether the process has ended.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// The data directory as this process sees it, which may lie on a disk that it alone sees.
    pub(crate) fn disk(&self, dir: &Directory) -> PathBuf {
        let outside = dir.data();
        let inside = outside.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.child.id())).join(inside)
    }

    pub(crate) fn create_index(&self) {
        let body = json!({"name": "crash", "dimension": DIMENSION, "metric": "cosine", "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}});
        let answer = Client::new(&self.control_host()).send("POST", "/indexes", Some(&body)).expect("an answer");
        assert_eq!(answer.status, 201, "{answer:?}");
        let host = answer.body["host"].as_str().expect("a host").to_owned();
        assert!(host.ends_with(&format!(":{}", self.port + 1)), "{host}");
    }

    pub(crate) fn control_host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
    pub(crate) fn index_host(&self) -> String {
        format!("127.0.0.1:{}", self.port + 1)
    }

    /// Waits for `moment`, or for the process to end by itself, then kills it if it still runs.
    pub(crate) fn kill_after(&mut self, moment: Duration) {
        let end = Instant::now() + moment;
        while Instant::now() < end && !self.is_gone() {
            thread::sleep(Duration::from_millis(1));
        }
        self.end();
    }

    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop, and expects it to leave with 0.
    pub(crate) fn terminate(mut self) {
        self.signal("TERM");
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "after SIGTERM: {status}");
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(done.success());
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
