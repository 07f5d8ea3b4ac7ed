//! What a backup costs when nothing changed since the last one, and what writers notice while one is taken.
//!
//! The engine runs in this process. A backup's objects are second names of the namespace's own, so its work is names and a manifest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use pinyon_engine::{BackupSummary, Engine, EngineSettings, IndexHandle, IndexOptions, Progress};
use pinyon_model::{BackupId, DenseVector, Dimension, IndexId, Metadata, Metric, NamespaceName, Record, RecordId, VectorShape};
use pinyon_storage::{DataDir, DataDirOptions, KeyAbove, KeyStore, LocalStore, RootKey, random_bytes};
use tempfile::TempDir;

use crate::{
    Failure,
    report::{Report, Target},
    scan::RunningClock,
    stats::Latencies,
    vectors::Values,
};

/// Seconds that a backup may take when nothing changed.
const BACKUP_TARGET_S: f64 = 2.0;
/// Milliseconds that 99 of 100 writes may take while backups are taken.
const PAUSE_TARGET_MS: f64 = 50.0;
/// Records an upsert: while the index is filled, and while its writers are timed.
const FILL_BATCH: usize = 1_000;
const WRITE_BATCH: usize = 10;

/// What to back up.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Vectors in the namespace
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// Values a vector
    #[arg(long, default_value_t = 384)]
    dimension: usize,
    /// How often to measure
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of writing in each run, without backups and with them
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

struct Bed {
    _folder: TempDir,
    keys: Arc<KeyStore>,
    engine: Engine,
    index: Arc<IndexHandle>,
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let bed = Bed::open(settings).await?;
    let mut report = Report::new("backup");
    bed.fill(settings).await?;
    bed.engine.flush_all().await?;
    bed.back_up().await?;
    for _ in 0..settings.runs {
        let begun = Instant::now();
        let (captured_s, summary) = bed.back_up().await?;
        report.record("backup, nothing changed", "s", begun.elapsed().as_secs_f64());
        report.record("of it before the answer", "s", captured_s);
        if summary.records != settings.rows as u64 {
            return Err(format!("the backup holds {} records, and there are {}", summary.records, settings.rows).into());
        }
    }
    for run in 0..settings.runs {
        let alone = bed.write(settings, run, false).await?;
        let beside = bed.write(settings, run, true).await?;
        report.record("write, p99", "ms", alone.at(0.99) / 1e3);
        report.record("write while backups are taken, p99", "ms", beside.at(0.99) / 1e3);
        report.record("write while backups are taken, slowest", "ms", beside.at(1.0) / 1e3);
    }
    report.expect("backup, nothing changed", Target::AtMost(BACKUP_TARGET_S));
    report.expect("write while backups are taken, p99", Target::AtMost(PAUSE_TARGET_MS));
    report.finish();
    bed.engine.close().await;
    Ok(())
}

impl Bed {
    async fn open(settings: &Settings) -> Result<Self, Failure> {
        let folder = TempDir::with_prefix("pinyon-bench-")?;
        let dir = DataDir::open(folder.path(), DataDirOptions::default())?;
        let store = Arc::new(LocalStore::open(dir.path(), dir.space())?);
        let keys = Arc::new(KeyStore::open(&dir.path().join("keys"), RootKey::generate())?);
        let clock = Arc::new(RunningClock(Instant::now()));
        let engine = Engine::open(store, dir.path().to_owned(), Arc::clone(&keys), clock, EngineSettings::default()).await?;
        let shape = VectorShape { dense: Some((Dimension::new(u32::try_from(settings.dimension)?)?, Metric::Cosine)), sparse: false };
        let (options, id) = (IndexOptions { shape, metadata_schema: None }, IndexId::from_bytes([1; 16]));
        engine.create_index(id, &options).await?;
        let index = engine.index(id, options);
        Ok(Self { _folder: folder, keys, engine, index })
    }

    async fn fill(&self, settings: &Settings) -> Result<(), Failure> {
        let (mut values, namespace) = (Values::new(7), NamespaceName::new("")?);
        for first in (0..settings.rows).step_by(FILL_BATCH) {
            let ids = first..settings.rows.min(first + FILL_BATCH);
            self.index.upsert(&namespace, records(ids, settings.dimension, &mut values)?).await?;
        }
        Ok(())
    }

    /// Takes a backup and deletes it again; the seconds until it was captured.
    async fn back_up(&self) -> Result<(f64, BackupSummary), Failure> {
        let backup = BackupId::from_random(random_bytes());
        let begun = Instant::now();
        self.keys.create_backup_key(backup, KeyAbove::Root).await?;
        let capture = self.engine.capture(&self.index, backup).await?;
        let captured_s = begun.elapsed().as_secs_f64();
        let summary = capture.store(&Progress::default()).await?;
        self.engine.delete_backup(backup).await?;
        Ok((captured_s, summary))
    }

    /// One writer for some seconds, on its own or beside backups that follow one another.
    async fn write(&self, settings: &Settings, run: usize, beside_backups: bool) -> Result<Latencies, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (index, stop, dimension) = (Arc::clone(&self.index), Arc::clone(&stop), settings.dimension);
            tokio::spawn(async move {
                let (mut values, namespace) = (Values::new(100 + run as u64), NamespaceName::new("")?);
                let (mut micros, mut first) = (Vec::new(), 0);
                while !stop.load(Ordering::Relaxed) {
                    let batch = records(first..first + WRITE_BATCH, dimension, &mut values)?;
                    first = (first + WRITE_BATCH) % 100_000;
                    let begun = Instant::now();
                    index.upsert(&namespace, batch).await?;
                    micros.push(begun.elapsed().as_secs_f64() * 1e6);
                }
                Ok::<_, Failure>(micros)
            })
        };
        let end = Instant::now() + Duration::from_secs(settings.seconds);
        while Instant::now() < end {
            match beside_backups {
                true => drop(self.back_up().await?),
                false => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        stop.store(true, Ordering::Relaxed);
        Ok(Latencies::new(writer.await??))
    }
}

fn records(ids: std::ops::Range<usize>, dimension: usize, values: &mut Values) -> Result<Vec<Record>, Failure> {
    let record = |at: usize| {
        let dense = Some(DenseVector::new(values.take(dimension))?);
        Ok(Record { id: RecordId::new(format!("record-{at:08}"))?, dense, sparse: None, metadata: Metadata::default() })
    };
    ids.map(record).collect()
}
