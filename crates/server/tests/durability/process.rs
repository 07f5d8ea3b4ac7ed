//! The real binary as a child process, with thresholds so small that flush and compaction run all the time.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{http::Client, load::DIMENSION};

/// A data directory that several servers use one after the other.
pub(crate) struct Directory {
    folder: tempfile::TempDir,
    port: u16,
    /// The size of the data's own small disk, in MiB.
    disk_mib: Option<u32>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), port: free_port_pair(), disk_mib: None }
    }
    /// A directory whose data lie on a disk of this size for as long as one server runs.
    pub(crate) fn on_a_small_disk(mib: u32) -> Self {
        let dir = Self { disk_mib: Some(mib), ..Self::new() };
        std::fs::create_dir(dir.data()).expect("a folder");
        dir
    }
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }
    /// What the last server said, at most 4,000 bytes.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read(self.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4000)..]).into_owned()
    }
    /// Runs an operator's command on the directory; whether it succeeded, and all it said.
    pub(crate) fn command(&self, words: &[&str]) -> (bool, String) {
        let output = Command::new(binary())
            .args(words)
            .arg("--data-dir")
            .arg(self.data())
            .arg("--root-key-file")
            .arg(self.path().join("root.key"))
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}

/// A port whose follower is free too: the control port and the first index's.
fn free_port_pair() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = first.local_addr().expect("an address").port();
        if port < 65000 && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
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
        let log = std::fs::File::create(dir.path().join("server.log")).expect("a log file");
        let config = dir.path().join("pinyon.toml");
        std::fs::write(&config, include_str!("small.toml")).expect("a settings file");
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
            .args(["dev", "--bind", "127.0.0.1", "--port", &dir.port.to_string(), "--data-dir"])
            .arg(dir.data())
            .arg("--config")
            .arg(&config)
            .arg("--root-key-file")
            .arg(dir.path().join("root.key"))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let mut server = Self { child, port: dir.port };
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            if server.child.try_wait().expect("a child").is_some() {
                return None;
            }
            // With a damaged audit log it serves reads, is never ready for more, and says so.
            match Client::new(&server.control_host()).send("GET", "/readyz", None).map(|a| a.status) {
                Some(200) => return Some(server),
                Some(503) if dir.last_words().contains("is damaged") => return Some(server),
                _ => {}
            }
            assert!(Instant::now() < patience, "the server neither started nor ended: {}", dir.last_words());
            thread::sleep(Duration::from_millis(5));
        }
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
        while Instant::now() < end && self.child.try_wait().expect("a child").is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        self.end();
    }

    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop, and expects it to leave with 0.
    pub(crate) fn terminate(mut self) {
        let done = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(done.success());
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "after SIGTERM: {status}");
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
