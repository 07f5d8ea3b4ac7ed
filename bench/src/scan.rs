//! How fast one core answers an exact query over a whole namespace, against how fast it reads memory.
//!
//! The engine runs in this process with one thread for queries and a cache that holds all vectors, so that what is measured is
//! the search: finding the blocks, scoring them, keeping the best, reading the ids of the matches.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use pinyon_engine::{Clock, Engine, EngineSettings, IndexHandle, IndexOptions};
use pinyon_model::{
    DenseVector, Dimension, IndexId, Metadata, Metric, NamespaceName, Query, QueryTarget, Record, RecordId, TopK, VectorShape,
};
use pinyon_storage::{DataDir, DataDirOptions, KeyStore, LocalStore, RootKey};
use tempfile::TempDir;

use crate::{
    Failure,
    bandwidth::{Probe, TRIES},
    report::{Report, Target},
    server::files_below,
    vectors::Values,
};

/// The share of the bandwidth that an exact search should reach.
const SHARE_TARGET: f64 = 0.7;
/// Records an upsert.
const BATCH: usize = 1_000;
/// How long no file may have changed for background work to be over.
const QUIET: Duration = Duration::from_secs(3);

/// What to search.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Vectors in the namespace
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
    /// Values a vector
    #[arg(long, default_value_t = 384)]
    dimension: usize,
    /// Matches a query asks for
    #[arg(long, default_value_t = 10)]
    top_k: u32,
    /// Size of the memory that tells the bandwidth, in MiB
    #[arg(long, default_value_t = 2_048)]
    buffer_mib: usize,
    /// How often to measure each metric
    #[arg(long, default_value_t = 7)]
    runs: usize,
}

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let folder = TempDir::with_prefix("pinyon-bench-")?;
    let dir = DataDir::open(folder.path(), DataDirOptions::default())?;
    let store = Arc::new(LocalStore::open(dir.path(), dir.space())?);
    let keys = Arc::new(KeyStore::open(&dir.path().join("keys"), RootKey::generate())?);
    let bytes = settings.rows * settings.dimension * size_of::<f32>();
    // Twice what the vectors need: nothing is evicted, whatever else the cache holds. No codes: this is the scan of every vector that small segments and hybrid searches get.
    let engine_settings = EngineSettings {
        query_threads: 1,
        cache_bytes: 2 * bytes as u64 + (64 << 20),
        coded_vectors: usize::MAX,
        recall_one_in: 0,
        // No merge of a quiet namespace in the middle, after which every block is read anew.
        idle_check_ms: 3_600_000,
        ..EngineSettings::default()
    };
    let engine = Engine::open(store, dir.path().to_owned(), keys, Arc::new(RunningClock(Instant::now())), engine_settings).await?;

    let mut report = Report::new("scan");
    let probe = Probe::new(settings.buffer_mib);
    for (number, metric) in [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean].into_iter().enumerate() {
        let id = IndexId::from_bytes([number as u8 + 1; 16]);
        let shape = VectorShape { dense: Some((Dimension::new(settings.dimension as u32)?, metric)), sparse: false };
        let options = IndexOptions { shape, metadata_schema: None };
        engine.create_index(id, &options).await?;
        let index = engine.index(id, options);
        fill(&index, settings).await?;
        engine.flush_all().await?;
        settle(&index, settings, dir.path()).await?;
        let name = metric.as_str();
        for run in 0..settings.runs {
            let (mut bandwidth, mut seconds) = (0.0f64, f64::INFINITY);
            for each in 0..TRIES {
                // Reading the probe drives the vectors out of the processor's caches before each query.
                bandwidth = bandwidth.max(probe.gb_per_s());
                seconds = seconds.min(search(&index, settings, (1_000 + run * TRIES + each) as u64).await?);
            }
            let speed = bytes as f64 / seconds / 1e9;
            report.record("read", "GB/s", bandwidth);
            report.record(&format!("query {name}"), "ms", seconds * 1e3);
            report.record(&format!("scan {name}"), "GB/s", speed);
            report.record(&format!("scan {name} / read"), "", speed / bandwidth);
        }
        report.expect(&format!("scan {name} / read"), Target::AtLeast(SHARE_TARGET));
        engine.delete_index(id).await?;
    }
    report.finish();
    engine.close().await;
    Ok(())
}

async fn fill(index: &IndexHandle, settings: &Settings) -> Result<(), Failure> {
    let mut values = Values::new(7);
    for first in (0..settings.rows).step_by(BATCH) {
        let records = (first..settings.rows.min(first + BATCH))
            .map(|at| {
                let dense = Some(DenseVector::new(values.take(settings.dimension))?);
                Ok(Record { id: RecordId::new(format!("record-{at:08}"))?, dense, sparse: None, metadata: Metadata::default() })
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        index.upsert(&NamespaceName::new("")?, records).await?;
    }
    Ok(())
}

/// Waits until nothing is written any more, so that no compaction competes with the searches, and fills the cache.
async fn settle(index: &IndexHandle, settings: &Settings, folder: &Path) -> Result<(), Failure> {
    let mut files = files_below(folder)?;
    loop {
        tokio::time::sleep(QUIET).await;
        let now = files_below(folder)?;
        if now == files {
            break;
        }
        files = now;
    }
    for _ in 0..TRIES {
        search(index, settings, 0).await?;
    }
    Ok(())
}

/// Answers one query and gives the seconds it took.
async fn search(index: &IndexHandle, settings: &Settings, seed: u64) -> Result<f64, Failure> {
    let query = Query {
        target: QueryTarget::Vector { dense: Some(DenseVector::new(Values::new(seed).take(settings.dimension))?), sparse: None },
        top_k: TopK::new(settings.top_k)?,
        filter: None,
        include_values: false,
        include_metadata: false,
        scan_factor: None,
        max_candidates: None,
    };
    let namespace = NamespaceName::new("")?;
    let begun = Instant::now();
    let answer = index.query(&namespace, query).await?;
    let seconds = begun.elapsed().as_secs_f64();
    if answer.matches.len() == settings.rows.min(settings.top_k as usize) {
        Ok(seconds)
    } else {
        Err(format!("{} matches were found", answer.matches.len()).into())
    }
}

/// The time since the start.
pub(crate) struct RunningClock(pub(crate) Instant);

#[async_trait::async_trait]
impl Clock for RunningClock {
    fn now_ms(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
    fn now_us(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
    async fn wait_ms(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
