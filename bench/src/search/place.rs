//! The engine in this process, over a temporary directory, with the records of a set.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use pinyon_engine::{Engine, EngineSettings, IndexHandle, IndexOptions};
use pinyon_model::{
    Condition, DeleteSelector, DenseVector, Dimension, Explain, Filter, IndexId, Metadata, MetadataValue, Metric, NamespaceName, Query,
    QueryTarget, Record, RecordId, Scalar, TopK, VectorShape,
};
use pinyon_storage::{DataDir, DataDirOptions, KeyStore, LocalStore, RootKey};
use tempfile::TempDir;

use crate::{
    Failure,
    scan::RunningClock,
    server::files_below,
    sets::{Field, Set, classes::Class, truth::Placed},
    stats::own_processor_time,
};

/// Records an upsert, and ids a delete.
const BATCH: usize = 1_000;
/// How often to look whether anything happens.
pub(crate) const QUIET: Duration = Duration::from_secs(2);
/// Looks in a row at which nothing may have happened: a namespace that is quiet for some seconds is merged into one segment.
pub(crate) const QUIET_LOOKS: u32 = 7;
/// The share of a core that counts as nothing.
pub(crate) const IDLE_SHARE: f64 = 0.03;

/// A running engine with one index.
pub(crate) struct InProcess {
    folder: TempDir,
    engine: Engine,
    index: Arc<IndexHandle>,
    namespace: NamespaceName,
}

/// What is asked besides the vector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) class: Class,
    pub(crate) k: usize,
    /// A factor on the engine's own effort, far beyond what a caller may ask for; none is the default.
    pub(crate) effort: Option<f32>,
}

impl InProcess {
    /// An empty index in a new directory.
    pub(crate) async fn open(dimension: usize, metric: Metric, settings: EngineSettings) -> Result<Self, Failure> {
        let folder = TempDir::with_prefix("pinyon-bench-")?;
        let dir = DataDir::open(folder.path(), DataDirOptions::default())?;
        let store = Arc::new(LocalStore::open(dir.path(), dir.space())?);
        let keys = Arc::new(KeyStore::open(&dir.path().join("keys"), RootKey::generate())?);
        let clock = Arc::new(RunningClock(Instant::now()));
        let engine = Engine::open(store, dir.path().to_owned(), keys, clock, settings).await?;
        let shape = VectorShape { dense: Some((Dimension::new(u32::try_from(dimension)?)?, metric)), sparse: false };
        let options = IndexOptions { shape, metadata_schema: None };
        let id = IndexId::from_bytes([1; 16]);
        engine.create_index(id, &options).await?;
        let index = engine.index(id, options);
        Ok(Self { folder, engine, index, namespace: NamespaceName::new("")? })
    }

    /// Writes records over whatever has their ids.
    pub(crate) async fn upsert(&self, set: &Set, records: &[Placed]) -> Result<(), Failure> {
        for batch in records.chunks(BATCH) {
            let records = batch.iter().map(|record| record_of(set, *record)).collect::<Result<Vec<_>, Failure>>()?;
            self.index.upsert(&self.namespace, records).await?;
        }
        Ok(())
    }

    /// Deletes records.
    pub(crate) async fn delete(&self, records: &[Placed]) -> Result<(), Failure> {
        for batch in records.chunks(BATCH) {
            let ids = batch.iter().map(|record| Ok(RecordId::new(record.row.to_string())?)).collect::<Result<Vec<_>, Failure>>()?;
            self.index.delete(&self.namespace, DeleteSelector::Ids(ids)).await?;
        }
        Ok(())
    }

    /// Stores what is in memory, waits until no background work is left, and gives the moment when there was none any more.
    pub(crate) async fn settle(&self) -> Result<Instant, Failure> {
        self.engine.flush_all().await?;
        let mut before = (self.files()?, own_processor_time());
        let (mut looks, mut last) = (0, Instant::now());
        while looks < QUIET_LOOKS {
            tokio::time::sleep(QUIET).await;
            let now = (self.files()?, own_processor_time());
            let idle = (now.1 - before.1).as_secs_f64() < IDLE_SHARE * QUIET.as_secs_f64();
            looks = if idle && now.0 == before.0 { looks + 1 } else { 0 };
            if looks == 0 {
                last = Instant::now();
            }
            before = now;
        }
        Ok(last)
    }

    /// Bytes of all the files.
    pub(crate) fn stored_bytes(&self) -> Result<u64, Failure> {
        Ok(self.files()?.values().sum())
    }

    fn files(&self) -> Result<BTreeMap<PathBuf, u64>, Failure> {
        files_below(self.folder.path())
    }

    /// Answers a query: the rows found, best first, and the microseconds that it took.
    pub(crate) async fn query(&self, set: &Set, query: u32, asked: Asked) -> Result<(Vec<u32>, f64), Failure> {
        let query = query_of(set, query, asked)?;
        let begun = Instant::now();
        let answer = self.index.query(&self.namespace, query).await?;
        let micros = begun.elapsed().as_secs_f64() * 1e6;
        let rows = answer.matches.iter().map(|found| Ok(found.id.as_str().parse()?)).collect::<Result<_, Failure>>()?;
        Ok((rows, micros))
    }

    /// What the search for a query does.
    pub(crate) async fn explain(&self, set: &Set, query: u32, asked: Asked) -> Result<Explain, Failure> {
        Ok(self.index.explain(&self.namespace, query_of(set, query, asked)?).await?.1)
    }

    /// Ends the engine.
    pub(crate) async fn close(self) {
        self.engine.close().await;
    }
}

fn query_of(set: &Set, query: u32, asked: Asked) -> Result<Query, Failure> {
    let filter = set.condition(asked.class, query);
    let filter = filter.map(|(field, keyword)| Filter::Field(field.to_owned(), Condition::Eq(Scalar::String(keyword))));
    Ok(Query {
        target: QueryTarget::Vector { dense: Some(DenseVector::new(set.queries.row(query as usize))?), sparse: None },
        top_k: TopK::new(u32::try_from(asked.k)?)?,
        filter,
        include_values: false,
        include_metadata: false,
        scan_factor: asked.effort,
        max_candidates: None,
    })
}

fn record_of(set: &Set, record: Placed) -> Result<Record, Failure> {
    let fields = set.fields(record.row).into_iter().map(|(name, field)| {
        let value = match field {
            Field::Text(text) => MetadataValue::String(text),
            Field::Number(number) => MetadataValue::Number(number),
        };
        (name.to_owned(), value)
    });
    Ok(Record {
        id: RecordId::new(record.row.to_string())?,
        dense: Some(DenseVector::new(set.base.row(record.vector as usize))?),
        sparse: None,
        metadata: Metadata::new(fields.collect())?,
    })
}
