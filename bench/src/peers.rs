//! Other libraries, each in a process of its own that `bench/peers/peer.py` runs: told by a line of JSON, answering with one.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Failure, pin,
    sets::{Set, SetArguments, npy},
};

/// How to run them.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What runs a peer: a program that installs what is missing and passes its arguments on
    #[arg(long, default_value = "bench/peers/run")]
    peer_program: PathBuf,
    /// Folder to keep the peers' built indexes in, for the next time; what a build took is kept beside them
    #[arg(long)]
    peer_cache: Option<PathBuf>,
}

/// The set as peers get it.
pub(crate) struct Files {
    base: PathBuf,
    query: PathBuf,
    truth: PathBuf,
    metric: &'static str,
    queries: usize,
    /// A name for the set, under which indexes are kept.
    name: String,
    /// Where the neighbours are; removed at the end.
    _folder: TempDir,
}

impl Files {
    /// The files that a set came from, and its neighbours in a new one.
    pub(crate) fn of(arguments: &SetArguments, set: &Set, truth: &[Vec<u32>]) -> Result<Self, Failure> {
        if arguments.rows.is_some() || arguments.skew != 0.0 {
            return Err("peers read the files themselves: --rows and --skew cannot be used with them".into());
        }
        let folder = TempDir::with_prefix("pinyon-bench-")?;
        let path = folder.path().join("truth.npy");
        npy::write_rows(&path, truth)?;
        let name = arguments.base.file_stem().map_or_else(|| "set".to_owned(), |name| name.to_string_lossy().into_owned());
        Ok(Self {
            base: arguments.base.clone(),
            query: arguments.query.clone(),
            truth: path,
            metric: set.metric.as_str(),
            queries: set.queries.rows(),
            name,
            _folder: folder,
        })
    }
}

/// A running peer. Killed when dropped.
pub(crate) struct Peer {
    pub(crate) name: String,
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// One pass of a peer over all queries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PeerPass {
    pub(crate) recall: f64,
    pub(crate) qps: f64,
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) resident_mib: f64,
}

/// What a peer's index took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PeerBuild {
    pub(crate) cpu_s: f64,
    pub(crate) wall_s: f64,
    pub(crate) index_mib: f64,
}

impl Peer {
    /// Starts a peer on a set; nothing is built yet.
    pub(crate) fn start(name: &str, arguments: &Arguments, files: &Files, core: Option<usize>) -> Result<Self, Failure> {
        let mut command = Command::new(&arguments.peer_program);
        command.args(["--peer", name, "--metric", files.metric, "--set", &files.name, "--limit", &files.queries.to_string()]);
        for (option, path) in [("--base", &files.base), ("--query", &files.query), ("--truth", &files.truth)] {
            command.arg(option).arg(path);
        }
        if let Some(cache) = &arguments.peer_cache {
            std::fs::create_dir_all(cache)?;
            command.arg("--cache").arg(cache);
        }
        let program = arguments.peer_program.display();
        command.env("OMP_NUM_THREADS", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = pin::during(core, || Ok(command.spawn().map_err(|error| format!("{program}: {error}"))?))?;
        let (orders, answers) = process.stdin.take().zip(process.stdout.take()).ok_or("a peer has no pipes")?;
        Ok(Self { name: name.to_owned(), process, orders, answers: BufReader::new(answers) })
    }

    /// Builds the index, or reads one that was kept.
    pub(crate) fn build(&mut self) -> Result<PeerBuild, Failure> {
        let told = self.ask(&json!({ "do": "build" }))?;
        let number = |key| number(&told, key);
        Ok(PeerBuild { cpu_s: number("build_cpu_s")?, wall_s: number("build_wall_s")?, index_mib: number("index_mib")? })
    }

    /// The effort that reaches a recall and does so fastest; nothing when none reaches it.
    pub(crate) fn least_effort(&mut self, recall: f64, k: usize) -> Result<Option<Value>, Failure> {
        let told = self.ask(&json!({ "do": "least", "recall": recall, "k": k }))?;
        Ok(Some(told["effort"].clone()).filter(|effort| !effort.is_null()))
    }

    /// One pass with an effort that the peer gave.
    pub(crate) fn pass(&mut self, effort: &Value, k: usize) -> Result<PeerPass, Failure> {
        let told = self.ask(&json!({ "do": "run", "effort": effort, "k": k }))?;
        let number = |key| number(&told, key);
        Ok(PeerPass {
            recall: number("recall")?,
            qps: number("qps")?,
            cpu_us: number("cpu_us")?,
            p50_us: number("p50_us")?,
            p99_us: number("p99_us")?,
            resident_mib: number("rss_mib")?,
        })
    }

    fn ask(&mut self, order: &Value) -> Result<Value, Failure> {
        writeln!(self.orders, "{order}")?;
        self.orders.flush()?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(format!("{} ended", self.name).into());
        }
        let told: Value = serde_json::from_str(&line).map_err(|error| format!("{}: {error}: {line}", self.name))?;
        match told.get("error") {
            Some(error) => Err(format!("{}: {error}", self.name).into()),
            None => Ok(told),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already, and there is nobody to tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn number(told: &Value, key: &str) -> Result<f64, Failure> {
    told[key].as_f64().ok_or_else(|| format!("a peer does not tell {key}: {told}").into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A peer that is a few lines of shell.
    fn fake(folder: &TempDir, answers: &str) -> Peer {
        let program = folder.path().join("peer");
        std::fs::write(&program, format!("#!/bin/sh\nwhile read -r order; do\ncase \"$order\" in\n{answers}\nesac\ndone\n"))
            .expect("it is written");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("it is ours");
        let path = || folder.path().to_owned();
        let gone = TempDir::new().expect("a folder");
        let files =
            Files { base: path(), query: path(), truth: path(), metric: "cosine", queries: 3, name: "set".to_owned(), _folder: gone };
        Peer::start("hnswlib", &Arguments { peer_program: program, peer_cache: None }, &files, None).expect("it starts")
    }

    #[test]
    fn a_peer_is_asked_and_answers() {
        let folder = TempDir::new().expect("a folder");
        let mut peer = fake(
            &folder,
            "*build*) echo '{\"build_cpu_s\": 2.5, \"build_wall_s\": 3, \"index_mib\": 4}';;\n\
             *least*0.99*) echo '{\"effort\": null, \"recall\": 0.9}';;\n\
             *least*) echo '{\"effort\": [40, 2]}';;\n\
             *40,2*) echo '{\"recall\": 0.96, \"qps\": 100, \"cpu_us\": 9, \"p50_us\": 8, \"p99_us\": 20, \"rss_mib\": 7}';;",
        );
        assert_eq!(peer.build().expect("it answers"), PeerBuild { cpu_s: 2.5, wall_s: 3.0, index_mib: 4.0 });
        assert_eq!(peer.least_effort(0.99, 10).expect("it answers"), None);
        let effort = peer.least_effort(0.95, 10).expect("it answers").expect("there is one");
        assert_eq!(peer.pass(&effort, 10).expect("it answers").recall, 0.96);
    }

    #[test]
    fn what_a_peer_cannot_do_is_told() {
        let folder = TempDir::new().expect("a folder");
        let mut peer = fake(&folder, "*build*) echo '{\"error\": \"ImportError: no such module\"}';;\n*least*) echo '{}';;\n*) exit;;");
        assert!(peer.build().expect_err("it fails").to_string().contains("no such module"));
        assert_eq!(peer.least_effort(0.9, 1).expect("it answers"), None);
        assert!(peer.pass(&json!([1]), 1).expect_err("it ended").to_string().contains("ended"));
    }
}
