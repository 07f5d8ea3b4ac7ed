//! A real server in a process of its own, over a temporary directory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Method;
use pinyon_model::Metric;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Failure, client::Rest, pin};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which server to measure.
#[derive(clap::Args)]
pub(crate) struct ServerSettings {
    /// The server's program [default: pinyon, beside this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Port of its control plane; indexes take the ports after it
    #[arg(long, default_value_t = 15_080)]
    port: u16,
}

/// Where a server's data and its root key lie; removed at the end.
pub(crate) struct Place {
    folder: TempDir,
    program: PathBuf,
    port: u16,
    core: Option<usize>,
}

/// A running server. Killed when dropped, if it was not stopped.
pub(crate) struct Server {
    process: Child,
    port: u16,
}

impl Place {
    pub(crate) fn new(settings: &ServerSettings) -> Result<Self, Failure> {
        let program = match &settings.server {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("pinyon"),
        };
        if !program.is_file() {
            return Err(format!("{} is not there: build the server first", program.display()).into());
        }
        Ok(Self { folder: TempDir::with_prefix("pinyon-bench-")?, program, port: settings.port, core: None })
    }

    /// Servers of this place stay on one core.
    pub(crate) fn on_core(self, core: Option<usize>) -> Self {
        Self { core, ..self }
    }

    /// Starts a server on this place, and tells how long it took until it was ready.
    pub(crate) async fn start(&self) -> Result<(Server, Duration), Failure> {
        if Rest::connect(self.port).await.is_ok() {
            return Err(format!("something else listens on port {}; choose another with --port", self.port).into());
        }
        let begun = Instant::now();
        let mut command = Command::new(&self.program);
        command
            .args(["dev", "--log", "warn", "--port", &self.port.to_string()])
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .arg("--root-key-file")
            .arg(self.folder.path().join("root.key"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let process = pin::during(self.core, || Ok(command.spawn()?))?;
        let mut server = Server { process, port: self.port };
        while !server.is_ready().await {
            if let Some(status) = server.process.try_wait()? {
                return Err(format!("the server ended while starting: {status}").into());
            }
            if begun.elapsed() > PATIENCE {
                return Err("the server does not become ready".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok((server, begun.elapsed()))
    }

    /// Bytes of all the files of the data directory.
    pub(crate) fn stored_bytes(&self) -> Result<u64, Failure> {
        Ok(self.files()?.values().sum())
    }

    /// The files of the data directory, and their sizes.
    pub(crate) fn files(&self) -> Result<BTreeMap<PathBuf, u64>, Failure> {
        files_below(&self.folder.path().join("data"))
    }
}

/// Every file below a folder, and its size.
pub(crate) fn files_below(folder: &Path) -> Result<BTreeMap<PathBuf, u64>, Failure> {
    let (mut folders, mut files) = (vec![folder.to_owned()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => drop(files.insert(entry.path(), meta.len())),
                // Files come and go while a server or an engine works.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(files)
}

impl Server {
    async fn is_ready(&self) -> bool {
        let Ok(mut rest) = Rest::connect(self.port).await else { return false };
        rest.send(Method::GET, "/readyz", Bytes::new()).await.is_ok()
    }

    /// Makes a dense index that compares by cosine and tells its port.
    pub(crate) async fn create_index(&self, name: &str, dimension: usize) -> Result<u16, Failure> {
        self.create_index_of(name, dimension, Metric::Cosine).await
    }

    /// Makes a dense index and tells its port.
    pub(crate) async fn create_index_of(&self, name: &str, dimension: usize, metric: Metric) -> Result<u16, Failure> {
        let spec = json!({
            "name": name, "dimension": dimension, "metric": metric.as_str(),
            "spec": { "serverless": { "cloud": "aws", "region": "us-east-1" } },
        });
        let mut control = Rest::connect(self.port).await?;
        let answer = control.send(Method::POST, "/indexes", spec.to_string().into()).await?;
        let index: Value = serde_json::from_slice(&answer)?;
        let port = index["host"].as_str().and_then(|host| host.rsplit_once(':')?.1.parse().ok());
        port.ok_or_else(|| format!("the new index has no port: {index}").into())
    }

    /// Resident memory, and the most there ever was of it, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<(f64, f64), Failure> {
        resident_mib(&self.process.id().to_string())
    }

    /// Processor time that the server has used, all threads together.
    pub(crate) fn processor_time(&self) -> Result<Duration, Failure> {
        processor_time(&self.process.id().to_string())
    }

    /// Stops it gently, as an operator would.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::TERM)?;
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                return if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) };
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err("the server does not stop".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, and there is nobody to tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Resident memory of a process, and the most there ever was of it, in MiB; `self` is this one.
pub(crate) fn resident_mib(process: &str) -> Result<(f64, f64), Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let mib = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1_024.0)
    };
    mib("VmRSS").zip(mib("VmHWM")).ok_or_else(|| "the system does not tell the memory".into())
}

/// Processor time of a process; `self` is this one.
pub(crate) fn processor_time(process: &str) -> Result<Duration, Failure> {
    /// The unit of the file, on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may contain spaces; user and system time are the 12th and 13th fields after it.
    let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let ticks = ticks(11).zip(ticks(12)).ok_or("the system does not tell the processor time")?;
    Ok(Duration::from_secs_f64((ticks.0 + ticks.1) / TICKS_PER_SECOND))
}
