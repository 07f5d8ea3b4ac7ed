//! One run: an engine, the model of what it must hold, and what is asked of both.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use pinyon_engine::{Engine, EngineSettings, IndexHandle, IndexOptions, Kept, UpdateAck};
use pinyon_model::{
    DeleteSelector, DenseVector, ErrorCode, Filter, Lsn, Match, Metric, NamespaceName, Prefix, Query, QueryTarget, Record, RecordId, TopK,
    Update, UpdateTarget,
};
use tokio::task::JoinSet;

use crate::{
    chance::{Chance, vector},
    naive::{self, Namespace},
    support::{Home, INDEX, small},
};

const NAMES: [&str; 3] = ["", "films", "films/old"];

/// How dense vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Searches {
    /// One by one: what is found is what the model finds.
    Exact,
    /// By codes, from a few vectors on.
    ByCodes,
}

/// Ids there are of each kind: with more, segments get so large that their codes come in clusters.
const IDS: u64 = 30;
const IDS_BY_CODES: u64 = 150;
/// What share of the best is to be found by codes over a whole run, with default settings.
const RECALL: f64 = 0.97;

pub(crate) struct Run {
    searches: Searches,
    /// How many of the best were found, and how many there were, in searches that could miss some.
    found: usize,
    wanted: usize,
    home: Home,
    engine: Arc<Engine>,
    index: Arc<IndexHandle>,
    options: IndexOptions,
    model: BTreeMap<NamespaceName, Namespace>,
    chance: Chance,
    background: JoinSet<()>,
    done: u64,
}

impl Run {
    pub(crate) async fn new(options: IndexOptions, searches: Searches, seed: u64) -> Self {
        let (settings, ids) = match searches {
            Searches::Exact => (small(), IDS),
            Searches::ByCodes => (EngineSettings { coded_vectors: 8, clustered_vectors: 16, ..small() }, IDS_BY_CODES),
        };
        let home = Home::new(settings);
        let engine = Arc::new(home.open().await);
        engine.create_index(INDEX, &options).await.unwrap();
        let index = engine.index(INDEX, options.clone());
        let (model, chance, background) = (BTreeMap::new(), Chance::new(seed, ids), JoinSet::new());
        Self { searches, found: 0, wanted: 0, home, engine, index, options, model, chance, background, done: 0 }
    }

    pub(crate) async fn step(&mut self) {
        self.done += 1;
        let namespace = NamespaceName::new(self.chance.pick::<&str>(&NAMES)).unwrap();
        match self.chance.below(1_000) {
            0..330 => self.upsert(namespace).await,
            330..430 => self.update(namespace).await,
            430..470 => self.update_by_filter(namespace).await,
            470..550 => self.delete_ids(namespace).await,
            550..580 => self.delete_by_filter(namespace).await,
            580..585 => self.delete_all(namespace).await,
            585..590 => self.delete_namespace(namespace).await,
            590..800 => self.query(namespace).await,
            800..860 => self.fetch(namespace).await,
            860..900 => self.list(namespace).await,
            900..940 => self.fetch_by_metadata(namespace).await,
            940..960 => self.stats().await,
            960..990 => self.flush(),
            990..996 => {
                // Closes whatever nobody is using at this moment.
                self.home.clock.turn_ms(1_000_000);
                tokio::task::yield_now().await;
            }
            _ => self.restart().await,
        }
        while let Some(done) = self.background.try_join_next() {
            done.unwrap();
        }
    }

    pub(crate) async fn end(&mut self) {
        for _ in 0..2 {
            self.stats().await;
            for name in NAMES {
                let namespace = NamespaceName::new(name).unwrap();
                for _ in 0..20 {
                    self.query(namespace.clone()).await;
                    self.fetch_by_metadata(namespace.clone()).await;
                    self.list(namespace.clone()).await;
                }
            }
            self.restart().await;
        }
        if self.searches == Searches::ByCodes {
            let recall = self.found as f64 / self.wanted as f64;
            println!("{:?}: {} of {} found, {recall:.4}", self.metric(), self.found, self.wanted);
            assert!(self.wanted > 0 && recall >= RECALL, "{} of the best {} were found: {recall}", self.found, self.wanted);
        }
        let report = self.engine.check().await.unwrap();
        assert_eq!(report.damaged, [], "after {} operations", self.done);
        assert_eq!(report.records, self.model.values().map(|n| n.records.len() as u64).sum::<u64>());
    }

    fn dimension(&self) -> Option<usize> {
        self.options.shape.dense.map(|(d, _)| d.get())
    }
    fn metric(&self) -> Metric {
        self.options.shape.metric()
    }
    fn some_record(&mut self) -> Record {
        self.chance.record(self.options.shape.dense.map(|(d, _)| d.get()), self.options.shape.sparse)
    }
    fn lsn(&self, namespace: &NamespaceName) -> Lsn {
        Lsn(self.model.get(namespace).map_or(0, |n| n.lsn))
    }

    async fn upsert(&mut self, namespace: NamespaceName) {
        let many = 1 + self.chance.below(20);
        let records: Vec<Record> = (0..many).map(|_| self.some_record()).collect();
        let ack = self.index.upsert(&namespace, records.clone()).await.unwrap();
        let model = self.model.entry(namespace).or_default();
        let last: BTreeMap<&str, &Record> = records.iter().map(|r| (r.id.as_str(), r)).collect();
        let mut bytes = 0;
        for record in last.into_values() {
            bytes += naive::bytes(record) + model.put(record.clone());
        }
        model.lsn += 1;
        assert_eq!((ack.lsn, ack.usage.write_units), (Lsn(model.lsn), naive::write_units(bytes)));
    }

    async fn update(&mut self, namespace: NamespaceName) {
        let id = self.chance.id();
        let from = self.some_record();
        let dense = from.dense.filter(|_| self.chance.one_in(2));
        let sparse = from.sparse.filter(|_| self.chance.one_in(2));
        let set_metadata = self.chance.one_in(2).then_some(from.metadata);
        let update = Update { target: UpdateTarget::Id(id.clone()), dense, sparse, set_metadata };
        let ack = self.index.update(&namespace, update.clone()).await.unwrap();
        let Some(model) = self.model.get_mut(&namespace) else { return assert_eq!(ack.lsn, None) };
        let mut bytes = 0;
        if let Some(record) = model.records.get_mut(id.as_str()) {
            bytes += naive::bytes(record);
            change(record, &update);
            bytes += naive::bytes(record);
            model.lsn += 1;
        }
        let UpdateAck { lsn, matched, usage } = ack;
        assert_eq!((lsn, matched, usage.write_units), (Some(Lsn(model.lsn)), None, naive::write_units(bytes)));
    }

    async fn update_by_filter(&mut self, namespace: NamespaceName) {
        let filter = self.chance.filter(2);
        if filter.is_empty() {
            return;
        }
        let dry_run = self.chance.one_in(4);
        let target = UpdateTarget::Filter { filter: filter.clone(), dry_run };
        let update = Update { target, dense: None, sparse: None, set_metadata: Some(self.chance.metadata()) };
        let ack = self.index.update(&namespace, update.clone()).await.unwrap();
        let Some(model) = self.model.get_mut(&namespace) else { return assert_eq!((ack.lsn, ack.matched), (None, Some(0))) };
        let matching = model.matching(&filter);
        if !dry_run && !matching.is_empty() {
            matching.iter().for_each(|id| change(model.records.get_mut(id).unwrap(), &update));
            model.lsn += 1;
        }
        assert_eq!((ack.lsn, ack.matched), (Some(Lsn(model.lsn)), Some(matching.len() as u64)), "{filter:?}");
    }

    async fn delete_ids(&mut self, namespace: NamespaceName) {
        let ids: Vec<RecordId> = (0..1 + self.chance.below(8)).map(|_| self.chance.id()).collect();
        let ack = self.index.delete(&namespace, DeleteSelector::Ids(ids.clone())).await;
        let Some(model) = self.model.get_mut(&namespace) else { return assert_eq!(ack.unwrap_err().code, ErrorCode::NotFound) };
        ids.iter().for_each(|id| drop(model.records.remove(id.as_str())));
        model.lsn += 1;
        assert_eq!(ack.unwrap().lsn, Lsn(model.lsn));
    }

    async fn delete_by_filter(&mut self, namespace: NamespaceName) {
        let filter = self.chance.filter(2);
        // Most filters match much: what they leave would soon be little.
        let filter = if self.chance.one_in(3) { filter } else { Filter::And(vec![filter, self.chance.filter(1)]) };
        let ack = self.index.delete(&namespace, DeleteSelector::Filter(filter.clone())).await;
        let Some(model) = self.model.get_mut(&namespace) else { return assert_eq!(ack.unwrap_err().code, ErrorCode::NotFound) };
        let matching = model.matching(&filter);
        matching.iter().for_each(|id| drop(model.records.remove(id)));
        model.lsn += u64::from(!matching.is_empty());
        assert_eq!(ack.unwrap().lsn, Lsn(model.lsn), "{filter:?}");
    }

    async fn delete_all(&mut self, namespace: NamespaceName) {
        let ack = self.index.delete(&namespace, DeleteSelector::All).await;
        let Some(model) = self.model.get_mut(&namespace) else { return assert_eq!(ack.unwrap_err().code, ErrorCode::NotFound) };
        model.records.clear();
        model.lsn += 1;
        assert_eq!(ack.unwrap().lsn, Lsn(model.lsn));
    }

    async fn delete_namespace(&mut self, namespace: NamespaceName) {
        let outcome = self.index.delete_namespace(&namespace, Kept::NoLonger).await;
        match self.model.remove(&namespace) {
            Some(_) => outcome.unwrap(),
            None => assert_eq!(outcome.unwrap_err().code, ErrorCode::NotFound),
        }
    }

    fn flush(&mut self) {
        // Goes on beside the operations that follow.
        let engine = Arc::clone(&self.engine);
        self.background.spawn(async move { engine.flush_all().await.unwrap() });
    }

    async fn restart(&mut self) {
        while let Some(done) = self.background.join_next().await {
            done.unwrap();
        }
        self.engine.close().await;
        self.engine = Arc::new(self.home.open().await);
        self.index = self.engine.index(INDEX, self.options.clone());
    }

    async fn query(&mut self, namespace: NamespaceName) {
        let empty = Namespace::default();
        let by_id = self.chance.one_in(4);
        let id = self.chance.id();
        let mut dense = self.dimension().map(|d| self.chance.dense(d));
        let with_sparse = self.options.shape.sparse && (dense.is_none() || self.chance.one_in(2));
        let mut sparse = with_sparse.then(|| self.chance.sparse());
        let filter = self.chance.one_in(2).then(|| self.chance.filter(3));
        let by_codes = self.searches == Searches::ByCodes;
        let query = Query {
            target: match by_id {
                true => QueryTarget::Id(id.clone()),
                false => QueryTarget::Vector {
                    dense: dense.clone().map(|v| DenseVector::new(v).unwrap()),
                    sparse: sparse.as_deref().map(vector),
                },
            },
            top_k: TopK::new(1 + self.chance.below(60) as u32).unwrap(),
            filter: filter.clone(),
            include_values: self.chance.one_in(2),
            include_metadata: self.chance.one_in(2),
            scan_factor: (by_codes && self.chance.one_in(4)).then(|| *self.chance.pick(&[0.5, 1.0, 4.0])),
            max_candidates: (by_codes && self.chance.one_in(4)).then(|| *self.chance.pick(&[1, 10, 100_000])),
        };
        let answer = self.index.query(&namespace, query.clone()).await.unwrap();
        assert_eq!(answer.max_indexed_lsn, self.lsn(&namespace));
        let model = self.model.get(&namespace).unwrap_or(&empty);
        if by_id {
            let Some(record) = model.records.get(id.as_str()) else { return assert_eq!(answer.matches, []) };
            dense = record.dense.as_ref().map(|v| v.as_slice().to_vec());
            sparse = record.sparse.as_ref().map(|v| v.indices().iter().copied().zip(v.values().iter().copied()).collect());
        }
        let scored: BTreeMap<&str, f64> = model
            .records
            .values()
            .filter(|r| filter.as_ref().is_none_or(|f| naive::satisfies(f, &r.metadata)))
            .filter_map(|r| Some((r.id.as_str(), naive::score(self.metric(), dense.as_deref(), sparse.as_deref(), r)?)))
            .collect();
        let (hits, matching) = (self.compare(&query, &scored, &answer.matches, model), scored.len());
        // With less effort than by default less is promised.
        let may_miss = by_codes && query.scan_factor.is_none_or(|factor| factor >= 1.0) && query.max_candidates.is_none_or(|n| n >= 1_000);
        if may_miss && answer.matches.len() < matching {
            self.found += hits;
            self.wanted += answer.matches.len();
        }
    }

    /// As many answers as there are; each with its score; and at each place one as good as the best that is left, unless it is searched by
    /// codes: then in order all the same. Returns how many of the best are among them.
    fn compare(&self, query: &Query, scored: &BTreeMap<&str, f64>, matches: &[Match], model: &Namespace) -> usize {
        let lower = self.metric() == Metric::Euclidean;
        let mut best: Vec<f64> = scored.values().copied().collect();
        best.sort_by(|a, b| if lower { a.total_cmp(b) } else { b.total_cmp(a) });
        best.truncate(query.top_k.get());
        let what = || format!("after {} operations: {query:?}\nexpected {best:?}\nfound {matches:?}", self.done);
        assert_eq!(matches.len(), best.len(), "{}", what());
        let distinct: HashSet<&str> = matches.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(distinct.len(), matches.len(), "{}", what());
        for pair in matches.windows(2) {
            let better = if lower { pair[0].score < pair[1].score } else { pair[0].score > pair[1].score };
            assert!(better || pair[0].score == pair[1].score && pair[0].id < pair[1].id, "{pair:?} are not in order; {}", what());
        }
        // So many vectors are scored exactly at the least (RFC 0002): when no more match, nothing can be missed.
        let all = scored.len() <= query.top_k.get() + (query.top_k.get() / 10).max(3);
        let exact = self.searches == Searches::Exact || all || query_is_hybrid(query);
        let mut hits = 0;
        for (found, best_here) in matches.iter().zip(&best) {
            let own = scored.get(found.id.as_str()).unwrap_or_else(|| panic!("'{}' is no match; {}", found.id, what()));
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-5 * a.abs().max(b.abs()) + 1e-12;
            assert!(close(f64::from(found.score), *own), "'{}' scores {} and not {own}; {}", found.id, found.score, what());
            let last = best[best.len() - 1];
            hits += usize::from(close(*own, last) || if lower { *own < last } else { *own > last });
            assert!(!exact || close(*own, *best_here), "'{}' scores {own} where {best_here} is due; {}", found.id, what());
            let record = &model.records[found.id.as_str()];
            assert_eq!(found.metadata.as_ref(), query.include_metadata.then_some(&record.metadata), "{}", what());
            let values = if query.include_values { (&record.dense, &record.sparse) } else { (&None, &None) };
            assert_eq!((&found.dense, &found.sparse), values, "{}", what());
        }
        hits
    }

    async fn fetch(&mut self, namespace: NamespaceName) {
        let ids: Vec<RecordId> = (0..1 + self.chance.below(15)).map(|_| self.chance.id()).collect();
        let answer = self.index.fetch(&namespace, ids.clone()).await.unwrap();
        assert_eq!(answer.max_indexed_lsn, self.lsn(&namespace));
        let mut seen = HashSet::new();
        let model = self.model.get(&namespace);
        let there = ids.iter().filter(|id| seen.insert(id.as_str())).filter_map(|id| model?.records.get(id.as_str()));
        assert_eq!(answer.records, there.cloned().collect::<Vec<_>>(), "after {} operations", self.done);
    }

    async fn list(&mut self, namespace: NamespaceName) {
        let prefix = *self.chance.pick(&["", "a", "b#", "b#1", "long", "zz"]);
        let after = self.chance.one_in(3).then(|| self.chance.id());
        let limit = 1 + self.chance.below(30) as usize;
        let answer = self.index.list(&namespace, &Prefix::new(prefix).unwrap(), limit as u32, after.clone()).await.unwrap();
        let ids: Vec<&String> = self.model.get(&namespace).into_iter().flat_map(|n| n.records.keys()).collect();
        let rest: Vec<&&String> =
            ids.iter().filter(|id| id.starts_with(prefix) && after.as_ref().is_none_or(|a| id.as_str() > a.as_str())).collect();
        let page: Vec<&str> = rest.iter().take(limit).map(|id| id.as_str()).collect();
        assert_eq!(answer.ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(), page, "{prefix:?} after {after:?}");
        assert_eq!(answer.next_after.as_ref().map(|a| a.as_str()), (rest.len() > limit).then(|| page[limit - 1]));
        assert_eq!(answer.max_indexed_lsn, self.lsn(&namespace));
    }

    async fn fetch_by_metadata(&mut self, namespace: NamespaceName) {
        let filter = self.chance.filter(3);
        let after = self.chance.one_in(3).then(|| self.chance.id());
        let limit = 1 + self.chance.below(40) as usize;
        let answer = self.index.fetch_by_metadata(&namespace, filter.clone(), limit as u32, after.clone()).await.unwrap();
        let empty = Namespace::default();
        let model = self.model.get(&namespace).unwrap_or(&empty);
        let mut rest = model.matching(&filter);
        rest.retain(|id| after.as_ref().is_none_or(|a| id.as_str() > a.as_str()));
        let page: Vec<Record> = rest.iter().take(limit).map(|id| model.records[id].clone()).collect();
        assert_eq!(answer.records, page, "after {} operations: {filter:?} after {after:?}", self.done);
        assert_eq!(answer.next_after.as_ref().map(|a| a.as_str()), (rest.len() > limit).then(|| &*rest[limit - 1]));
    }

    async fn stats(&mut self) {
        let stats = self.index.stats().await.unwrap();
        let counts: BTreeMap<NamespaceName, u64> = self.model.iter().map(|(name, n)| (name.clone(), n.records.len() as u64)).collect();
        assert_eq!(stats.total, counts.values().sum::<u64>());
        assert_eq!(stats.namespaces, counts, "after {} operations", self.done);
        for (name, model) in &self.model {
            let described = self.index.describe_namespace(name).await.unwrap();
            assert_eq!((described.record_count, described.size_bytes), (model.records.len() as u64, model.bytes()));
        }
        let (page, total) = self.index.list_namespaces(&Prefix::default(), 100, None).await.unwrap();
        assert_eq!(total, counts.len() as u64);
        assert!(page.items.iter().map(|d| &d.name).eq(counts.keys()));
    }
}

/// Whether sparse values count beside dense ones: no codes tell about those.
fn query_is_hybrid(query: &Query) -> bool {
    matches!(&query.target, QueryTarget::Vector { dense: Some(_), sparse: Some(_) })
}

fn change(record: &mut Record, update: &Update) {
    if let Some(dense) = &update.dense {
        record.dense = Some(dense.clone());
    }
    if let Some(sparse) = &update.sparse {
        record.sparse = Some(sparse.clone());
    }
    if let Some(set) = &update.set_metadata {
        let mut fields = record.metadata.clone().into_fields();
        for (key, value) in set.fields() {
            fields.insert(key.clone(), value.clone());
        }
        record.metadata = pinyon_model::Metadata::new(fields).unwrap();
    }
}
