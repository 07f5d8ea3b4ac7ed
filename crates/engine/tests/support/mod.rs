//! What the tests of the engine share: a directory with an engine in it, a clock that is turned by hand, and records.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part of this")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use pinyon_engine::{Clock, Engine, EngineSettings, IndexHandle, IndexOptions};
use pinyon_model::{
    DenseVector, Dimension, IndexId, Metadata, MetadataValue, Metric, NamespaceName, Query, QueryTarget, Record, RecordId, SparseVector,
    TopK, VectorShape,
};
use pinyon_storage::{BlobStore, KeyStore, LocalStore, RootKey, Space};
use tempfile::TempDir;
use tokio::sync::Notify;

/// A clock that stands still until it is turned; each turn ends every wait.
#[derive(Default)]
pub struct HandClock {
    now: AtomicU64,
    turned: Notify,
}

impl HandClock {
    pub fn turn_ms(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
        self.turned.notify_waiters();
    }
}

#[async_trait::async_trait]
impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }
    async fn wait_ms(&self, _ms: u64) {
        self.turned.notified().await;
    }
}

/// A directory in which engines are opened one after the other, with the same keys.
pub struct Home {
    pub dir: TempDir,
    /// A folder that is used in place of it.
    pub folder: Option<PathBuf>,
    pub keys: Arc<KeyStore>,
    pub clock: Arc<HandClock>,
    pub settings: EngineSettings,
    pub reserve: Option<u64>,
}

impl Home {
    pub fn new(settings: EngineSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Arc::new(KeyStore::open(&dir.path().join("keys"), RootKey::generate()).unwrap());
        Self { dir, folder: None, keys, clock: Arc::default(), settings, reserve: Some(0) }
    }
    pub fn data(&self) -> PathBuf {
        self.folder.as_deref().unwrap_or(self.dir.path()).join("data")
    }
    pub async fn open(&self) -> Engine {
        std::fs::create_dir_all(self.data()).unwrap();
        let space = Space::of(&self.data(), self.reserve).unwrap();
        self.open_on(Arc::new(LocalStore::open(&self.data(), space).unwrap())).await
    }
    pub async fn open_on(&self, store: Arc<dyn BlobStore>) -> Engine {
        Engine::open(store, self.data(), self.keys.clone(), self.clock.clone(), self.settings.clone()).await.unwrap()
    }
}

/// Settings under which a few writes make a flush, and a few flushes a compaction.
pub fn small() -> EngineSettings {
    EngineSettings {
        memtable_bytes: 12_000,
        compact_segments: 3,
        compact_dead_percent: 30,
        query_threads: 2,
        cache_bytes: 1 << 20,
        ..EngineSettings::default()
    }
}

pub const INDEX: IndexId = IndexId::from_bytes([7; 16]);

pub fn dense(dimension: u32, metric: Metric) -> IndexOptions {
    let shape = VectorShape { dense: Some((Dimension::new(dimension).unwrap(), metric)), sparse: metric == Metric::Dotproduct };
    IndexOptions { shape, metadata_schema: None }
}

pub fn sparse() -> IndexOptions {
    IndexOptions { shape: VectorShape { dense: None, sparse: true }, metadata_schema: None }
}

/// A two-dimensional dot-product index, made if it is not there.
pub async fn index(engine: &Engine) -> Arc<IndexHandle> {
    let options = dense(2, Metric::Dotproduct);
    engine.create_index(INDEX, &options).await.unwrap();
    engine.index(INDEX, options)
}

pub fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

pub fn name(text: &str) -> NamespaceName {
    NamespaceName::new(text).unwrap()
}

/// A record of [`index`] with this value and a metadata field `n` that says the same.
pub fn record(text: &str, value: f32) -> Record {
    let metadata = Metadata::new(BTreeMap::from([("n".to_owned(), MetadataValue::Number(f64::from(value)))])).unwrap();
    Record { id: id(text), dense: Some(DenseVector::new(vec![value, 1.0]).unwrap()), sparse: None, metadata }
}

pub fn sparse_vector(pairs: &[(u32, f32)]) -> SparseVector {
    SparseVector::new(pairs.iter().map(|p| p.0).collect(), pairs.iter().map(|p| p.1).collect()).unwrap()
}

/// A search of [`index`] for the records of the greatest values.
pub fn greatest(top_k: u32) -> Query {
    Query {
        target: QueryTarget::Vector { dense: Some(DenseVector::new(vec![1.0, 0.0]).unwrap()), sparse: None },
        top_k: TopK::new(top_k).unwrap(),
        filter: None,
        include_values: false,
        include_metadata: false,
        scan_factor: None,
        max_candidates: None,
    }
}

/// Every id and value of a namespace, by listing, fetching and searching, which must agree.
pub async fn contents(index: &IndexHandle, namespace: &NamespaceName) -> pinyon_model::Result<BTreeMap<String, f32>> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = index.list(namespace, &pinyon_model::Prefix::default(), 100, after).await?;
        listed.extend(page.ids);
        after = page.next_after;
        if after.is_none() {
            break;
        }
    }
    let fetched = index.fetch(namespace, listed.clone()).await?.records;
    let value = |r: &Record| r.dense.as_ref().unwrap().as_slice()[0];
    let fetched: BTreeMap<String, f32> = fetched.iter().map(|r| (r.id.as_str().to_owned(), value(r))).collect();
    let found = index.query(namespace, greatest(10_000)).await?.matches;
    let found: BTreeMap<String, f32> = found.iter().map(|m| (m.id.as_str().to_owned(), m.score)).collect();
    assert_eq!(listed.iter().map(|i| i.as_str()).collect::<Vec<_>>(), fetched.keys().collect::<Vec<_>>(), "list and fetch");
    assert_eq!(found, fetched, "search and fetch");
    Ok(fetched)
}

/// Every file below a directory, as paths below it, in order.
pub fn files_below(dir: &std::path::Path) -> Vec<String> {
    let (mut found, mut waiting) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}
