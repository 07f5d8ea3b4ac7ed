//! A namespace under test beside what it should hold.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use pinyon_engine::{Engine, EngineSettings, IndexHandle, IndexOptions};
use pinyon_model::{
    Condition, DeleteSelector, DenseVector, Filter, Match, Metadata, MetadataValue, Metric, Query, QueryTarget, Record, RecordId, Scalar,
    TopK,
};
use pinyon_storage::{KeyStore, RootKey};

use crate::{
    data::{Chance, Row},
    naive::{self, Scored},
    support::{Home, INDEX, dense, name},
};

/// Nothing is merged, so that dead rows stay: each state is the same in every run.
pub(crate) fn settings() -> EngineSettings {
    EngineSettings {
        coded_vectors: 100,
        clustered_vectors: 500,
        memtable_bytes: 1 << 30,
        log_bytes: 1 << 30,
        compact_segments: 1_000,
        compact_dead_percent: 100,
        query_threads: 1,
        ..EngineSettings::default()
    }
}

pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) engine: Engine,
    pub(crate) index: Arc<IndexHandle>,
    options: IndexOptions,
    pub(crate) metric: Metric,
    pub(crate) rows: BTreeMap<String, Row>,
}

/// How many values the fields have that are given at random.
pub(crate) const RANDOM_FIELDS: [(&str, usize); 3] = [("tenth", 10), ("hundredth", 100), ("thousandth", 1_000)];

/// The value of a random field: it follows from the id alone.
pub(crate) fn random_field(id: &str, values: usize) -> usize {
    let seed = id.bytes().fold(values as u64, |seed, byte| seed.wrapping_mul(1_000_003).wrapping_add(u64::from(byte)));
    Chance(seed).below(values)
}

pub(crate) fn number_is(field: &str, value: usize) -> Filter {
    Filter::Field(field.to_owned(), Condition::Eq(Scalar::Number(value as f64)))
}

pub(crate) fn id(n: usize) -> String {
    format!("{n:06}")
}

impl World {
    pub(crate) async fn new(dimension: usize, metric: Metric, settings: EngineSettings) -> Self {
        Self::at(Home::new(settings), dimension, metric).await
    }

    /// In a folder that outlives it.
    pub(crate) async fn over(dir: PathBuf, root: RootKey, dimension: usize, metric: Metric, settings: EngineSettings) -> Self {
        let home = Home { keys: Arc::new(KeyStore::open(&dir.join("keys"), root).unwrap()), ..Home::new(settings) };
        Self::at(Home { folder: Some(dir), ..home }, dimension, metric).await
    }

    async fn at(home: Home, dimension: usize, metric: Metric) -> Self {
        let options = dense(dimension as u32, metric);
        let engine = home.open().await;
        engine.create_index(INDEX, &options).await.unwrap();
        let index = engine.index(INDEX, options.clone());
        Self { home, engine, index, options, metric, rows: BTreeMap::new() }
    }

    pub(crate) async fn restart(&mut self) {
        self.engine.close().await;
        self.engine = self.home.open().await;
        self.index = self.engine.index(INDEX, self.options.clone());
    }

    pub(crate) async fn put(&mut self, rows: impl IntoIterator<Item = (String, Row)>) {
        let mut records: Vec<Record> = Vec::new();
        for (id, row) in rows {
            records.push(record(&id, &row));
            self.rows.insert(id, row);
        }
        for records in records.chunks(1_000) {
            self.index.upsert(&name("ns"), records.to_vec()).await.unwrap();
        }
    }

    /// The same, and it becomes a segment.
    pub(crate) async fn store(&mut self, rows: impl IntoIterator<Item = (String, Row)>) {
        self.put(rows).await;
        self.engine.flush_all().await.unwrap();
    }

    pub(crate) async fn delete(&mut self, ids: Vec<String>) {
        ids.iter().for_each(|id| drop(self.rows.remove(id)));
        let ids: Vec<RecordId> = ids.into_iter().map(|id| RecordId::new(id).unwrap()).collect();
        for ids in ids.chunks(1_000) {
            self.index.delete(&name("ns"), DeleteSelector::Ids(ids.to_vec())).await.unwrap();
        }
        self.engine.flush_all().await.unwrap();
    }

    pub(crate) async fn ask(&self, vector: &[f32], k: usize, filter: Option<Filter>) -> Vec<Match> {
        let query = Query {
            target: QueryTarget::Vector { dense: Some(DenseVector::new(vector.to_vec()).unwrap()), sparse: None },
            top_k: TopK::new(k as u32).unwrap(),
            filter,
            include_values: false,
            include_metadata: false,
            scan_factor: None,
            max_candidates: None,
        };
        self.index.query(&name("ns"), query).await.unwrap().matches
    }

    /// The scores of all records.
    pub(crate) fn scored(&self, query: &[f32]) -> Vec<(Scored<'_>, &Row)> {
        let score = |row: &Row| naive::score(self.metric, query, &row.vector);
        let scored = |id, row, (score, sum)| (Scored { id, score, sum }, row);
        self.rows.iter().map(|(id, row)| scored(id.as_str(), row, score(row))).collect()
    }

    /// Asks without a filter, and returns the share that was found.
    pub(crate) async fn recall(&self, queries: &[Vec<f32>], k: usize) -> f64 {
        let (mut found, mut wanted) = (0, 0);
        for query in queries {
            let matching = self.scored(query).into_iter().map(|(scored, _)| scored).collect();
            let (hits, of) = naive::judge(self.metric, matching, k, &self.ask(query, k, None).await);
            found += hits;
            wanted += of;
        }
        share(found, wanted)
    }

    /// The ids of the best `k`, of equal ones the lowest; scores that agree as they are returned are equal.
    pub(crate) fn best(&self, query: &[f32], k: usize) -> Vec<String> {
        let mut all: Vec<(f32, &str)> = self.scored(query).into_iter().map(|(scored, _)| (scored.score as f32, scored.id)).collect();
        all.sort_by(|a, b| {
            let by_score = if self.metric == Metric::Euclidean { a.0.total_cmp(&b.0) } else { b.0.total_cmp(&a.0) };
            by_score.then(a.1.cmp(b.1))
        });
        all.into_iter().take(k).map(|(_, id)| id.to_owned()).collect()
    }
}

pub(crate) fn share(found: usize, wanted: usize) -> f64 {
    if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 }
}

fn record(id: &str, row: &Row) -> Record {
    let number = |n: usize| MetadataValue::Number(n as f64);
    let mut fields: BTreeMap<String, MetadataValue> =
        RANDOM_FIELDS.iter().map(|(field, values)| ((*field).to_owned(), number(random_field(id, *values)))).collect();
    fields.insert("part".to_owned(), number(row.part));
    Record {
        id: RecordId::new(id).unwrap(),
        dense: Some(DenseVector::new(row.vector.clone()).unwrap()),
        sparse: None,
        metadata: Metadata::new(fields).unwrap(),
    }
}

pub(crate) fn ids(found: &[Match]) -> Vec<&str> {
    found.iter().map(|found| found.id.as_str()).collect()
}
