//! Reading a version: by id, by filter, in order, and by likeness.

use std::{collections::HashMap, sync::Arc};

use pinyon_model::{Explain, Filter, Lsn, Match, Prefix, Query, QueryTarget, Record, RecordId, Result, limits::RESULT_BYTES_MAX};
use roaring::RoaringBitmap;

use super::{
    Namespace,
    memtable::Memtable,
    version::{Place, Version},
};
use crate::{
    FetchAnswer, FetchPage, ListAnswer, QueryAnswer, filter,
    pool::Pool,
    recall::{self, Sample},
    search::{self, Effort, Hit, MemoryRows, PreparedQuery, Recorder, Search, Source},
    segment::Parts,
    usage,
};

/// A memtable as one version sees it.
struct Seen {
    table: Arc<Memtable>,
    rows: u32,
    lsn: Lsn,
}

impl MemoryRows for Seen {
    fn len(&self) -> u32 {
        self.rows
    }
    fn get(&self, row: u32) -> Option<&Record> {
        self.table.row(row).filter(|r| r.visible_at(self.lsn)).map(|r| &r.record)
    }
}

/// The records that a filter selects.
pub(super) struct Matching {
    /// Their ids, in no order.
    pub(super) ids: Vec<RecordId>,
    /// Their counted bytes.
    pub(super) counted_bytes: u64,
}

impl Version {
    /// The records of these ids, in the order asked; ids that are not there are left out.
    pub(super) async fn records(&self, ids: &[RecordId]) -> Result<Vec<Record>> {
        let places: Vec<Place> = ids.iter().filter_map(|id| self.find(id).map(|place| (id, place))).map(|(_, place)| place).collect();
        let mut found: Vec<Option<Record>> = vec![None; places.len()];
        let mut by_segment: HashMap<usize, (Vec<usize>, Vec<u32>)> = HashMap::new();
        for (at, place) in places.iter().enumerate() {
            match place {
                Place::Memtable(table, row) => found[at] = self.memtables[*table].row(*row).map(|row| row.record.clone()),
                Place::Segment(segment, row) => {
                    let (places, rows) = by_segment.entry(*segment).or_default();
                    places.push(at);
                    rows.push(*row);
                }
            }
        }
        for (segment, (places, rows)) in by_segment {
            let records = self.segments[segment].segment.reader.records(&rows, Parts::ALL).await?;
            places.into_iter().zip(records).for_each(|(at, record)| found[at] = Some(record));
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The ids that a filter selects.
    pub(super) async fn matching(&self, pool: &Pool, filter: &Arc<Filter>) -> Result<Matching> {
        let mut matching = Matching { ids: Vec::new(), counted_bytes: 0 };
        for table in &self.memtables {
            for (_, row) in table.rows().filter(|(_, row)| row.visible_at(self.lsn) && filter::matches(filter, &row.record.metadata)) {
                matching.ids.push(row.record.id.clone());
                matching.counted_bytes += u64::from(row.size);
            }
        }
        for (position, rows) in self.matching_rows(pool, filter).await?.into_iter().enumerate() {
            let reader = &self.segments[position].segment.reader;
            matching.counted_bytes += rows.iter().map(|row| reader.size_bytes(row)).sum::<u64>();
            matching.ids.extend(rows.iter().filter_map(|row| reader.id(row)));
        }
        Ok(matching)
    }

    /// For each segment, its live rows that a filter selects.
    async fn matching_rows(&self, pool: &Pool, filter: &Arc<Filter>) -> Result<Vec<RoaringBitmap>> {
        let lane = pool.lane();
        let mut all = Vec::with_capacity(self.segments.len());
        for view in &self.segments {
            let mut rows = filter::rows(&lane, &view.segment.reader, filter).await?;
            rows -= &*view.dead;
            all.push(rows);
        }
        Ok(all)
    }

    /// The first `limit` ids that a filter selects after `after`, in order.
    async fn matching_after(&self, pool: &Pool, filter: &Arc<Filter>, after: Option<&RecordId>, limit: usize) -> Result<Vec<RecordId>> {
        let mut ids: Vec<RecordId> = Vec::new();
        for table in &self.memtables {
            let rows = table.rows().map(|(_, row)| row);
            let rows = rows.filter(|row| after.is_none_or(|a| row.record.id > *a) && row.visible_at(self.lsn));
            ids.extend(rows.filter(|row| filter::matches(filter, &row.record.metadata)).map(|row| row.record.id.clone()));
        }
        for (position, mut rows) in self.matching_rows(pool, filter).await?.into_iter().enumerate() {
            let reader = &self.segments[position].segment.reader;
            if let Some(after) = after {
                let first = reader.lower_bound(after.as_str());
                rows.remove_range(..first);
                // The first row not less than `after` may be `after` itself.
                if reader.id(first).as_ref() == Some(after) {
                    rows.remove(first);
                }
            }
            ids.extend(rows.iter().take(limit).filter_map(|row| reader.id(row)));
        }
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }

    /// The first `limit` ids after `after` that begin with `prefix`, in order.
    fn ids(&self, prefix: &str, after: Option<&RecordId>, limit: usize) -> Vec<RecordId> {
        let mut ids: Vec<RecordId> = self.memtables.iter().flat_map(|table| table.ids(prefix, after, limit, self.lsn)).collect();
        let start = after.map_or("", RecordId::as_str).max(prefix);
        for view in &self.segments {
            let reader = &view.segment.reader;
            let rows = reader.ids_from(reader.lower_bound(start)).filter(|(row, id)| !view.dead.contains(*row) && after != Some(id));
            ids.extend(rows.map(|(_, id)| id).take_while(|id| id.as_str().starts_with(prefix)).take(limit));
        }
        ids.sort_unstable();
        ids.truncate(limit);
        ids
    }

    fn sources(&self) -> Vec<Source> {
        let tables = self.memtables.iter().filter(|table| !table.is_empty());
        let seen = tables.map(|table| Source::Memory(Arc::new(Seen { table: Arc::clone(table), rows: table.len(), lsn: self.lsn })));
        let segments = self.segments.iter().filter(|view| view.live_rows() > 0);
        seen.chain(segments.map(|view| Source::Segment { reader: Arc::clone(&view.segment.reader), dead: Arc::clone(&view.dead) }))
            .collect()
    }
}

/// A query that was looked at.
struct Asked {
    version: Arc<Version>,
    /// None where there can be no answer: it names a record that is not there.
    search: Option<Search>,
    parts: Parts,
    /// Whether it asks for the usual effort.
    usual: bool,
}

impl Asked {
    fn answer(&self, matches: Vec<Match>) -> QueryAnswer {
        QueryAnswer { matches, usage: usage::query(self.version.bytes), max_indexed_lsn: self.version.lsn }
    }
}

impl Namespace {
    /// Searches.
    pub(crate) async fn query(self: &Arc<Self>, query: Query) -> Result<QueryAnswer> {
        let _asking = self.shared.sampler.asking();
        let asked = self.ask(query).await?;
        let Some(search) = &asked.search else { return Ok(asked.answer(Vec::new())) };
        let sources = asked.version.sources();
        let hits = search::search(&self.shared.pool, search.clone(), sources.clone()).await?;
        self.sample(&asked, search);
        Ok(asked.answer(matches(&sources, hits, asked.parts).await?))
    }

    /// Searches, and tells how.
    pub(crate) async fn explain(&self, query: Query) -> Result<(QueryAnswer, Explain)> {
        let _asking = self.shared.sampler.asking();
        let clock = &self.shared.clock;
        let began = clock.now_us();
        let asked = self.ask(query).await?;
        let Some(search) = &asked.search else { return Ok((asked.answer(Vec::new()), Explain::default())) };
        let sources = asked.version.sources();
        let recorder = Recorder::new(Arc::clone(clock), sources.len());
        let prepared = clock.now_us();
        let hits = search::recorded(&self.shared.pool, search.clone(), sources.clone(), Arc::clone(&recorder)).await?;
        let searched = clock.now_us();
        let answer = asked.answer(matches(&sources, hits, asked.parts).await?);
        let ended = clock.now_us();
        let mut segments = recorder.take();
        for (explain, source) in segments.iter_mut().zip(&sources) {
            explain.segment = match source {
                Source::Segment { reader, .. } => Some(reader.object()),
                Source::Memory(_) => None,
            };
        }
        let explain = Explain {
            segments,
            effort: search.effort.factor,
            prepare_us: prepared - began,
            search_us: searched - prepared,
            read_us: ended - searched,
            total_us: ended - began,
        };
        Ok((answer, explain))
    }

    /// Learns how much of what a search should find it does find.
    pub(crate) async fn replay(&self, search: Search) -> Result<()> {
        if self.is_ending() {
            return Ok(());
        }
        let search = Search { effort: self.effort(None, None), ..search };
        let sources = self.version().sources();
        if let Some(recall) = recall::recall(&self.shared.pool, &self.shared.clock, search, sources).await? {
            self.measured.add(recall);
        }
        Ok(())
    }

    async fn ask(&self, query: Query) -> Result<Asked> {
        if let Some(filter) = &query.filter {
            self.check_filter(filter)?;
        }
        let version = self.version();
        let effort = self.effort(query.scan_factor, query.max_candidates);
        let parts = Parts { values: query.include_values, metadata: query.include_metadata };
        let usual = query.scan_factor.is_none() && query.max_candidates.is_none();
        let (dense, sparse) = match query.target {
            QueryTarget::Vector { dense, sparse } => (dense, sparse),
            QueryTarget::Id(id) => match version.records(&[id]).await?.pop() {
                Some(record) => (record.dense, record.sparse),
                None => return Ok(Asked { version, search: None, parts, usual }),
            },
        };
        let prepared = PreparedQuery::new(self.shared.kernels, &self.options.shape, dense, sparse)?;
        let filter = query.filter.filter(|f| !f.is_empty()).map(Arc::new);
        let search = Search { query: Arc::new(prepared), filter, top_k: query.top_k.get(), effort };
        Ok(Asked { version, search: Some(search), parts, usual })
    }

    fn effort(&self, scan_factor: Option<f32>, max_candidates: Option<u32>) -> Effort {
        Effort {
            factor: self.shared.settings.search_effort * self.measured.effort() * scan_factor.map_or(1.0, f64::from),
            pool_max: max_candidates.map_or(usize::MAX, |n| n as usize),
            exact: false,
        }
    }

    /// Keeps one in so many of the searches that may have missed something, to be replayed.
    fn sample(self: &Arc<Self>, asked: &Asked, search: &Search) {
        let by_codes = search.query.sparse().is_none() && search.query.can_use_codes();
        let sampler = &self.shared.sampler;
        if asked.usual && by_codes && asked.version.segments.iter().any(|view| view.segment.reader.has_codes()) && sampler.chooses() {
            sampler.keep(Sample { index: self.index, namespace: Arc::downgrade(self), search: search.clone() });
        }
    }

    /// Reads records by their ids, each once.
    pub(crate) async fn fetch(&self, mut ids: Vec<RecordId>) -> Result<FetchAnswer> {
        let version = self.version();
        let mut seen = std::collections::HashSet::with_capacity(ids.len());
        ids.retain(|id| seen.insert(id.clone()));
        let records = version.records(&ids).await?;
        let usage = usage::fetch(records.len());
        Ok(FetchAnswer { records, usage, max_indexed_lsn: version.lsn })
    }

    /// A page of the records that a filter selects: at most `limit`, and no more than fit an answer.
    pub(crate) async fn fetch_by_metadata(&self, filter: Filter, limit: u32, after: Option<RecordId>) -> Result<FetchPage> {
        self.check_filter(&filter)?;
        let version = self.version();
        let limit = limit.max(1) as usize;
        let mut ids = version.matching_after(&self.shared.pool, &Arc::new(filter), after.as_ref(), limit + 1).await?;
        let mut more = ids.len() > limit;
        ids.truncate(limit);
        // Sizes are known without reading: what would not fit is not read.
        let mut bytes = 0;
        let fitting = ids.iter().take_while(|id| {
            bytes += version.size_of(id);
            bytes <= RESULT_BYTES_MAX as u64
        });
        let fitting = fitting.count().max(1);
        more |= fitting < ids.len();
        ids.truncate(fitting);
        let records = version.records(&ids).await?;
        let next_after = ids.pop().filter(|_| more);
        Ok(FetchPage { usage: usage::fetch(records.len()), records, next_after, max_indexed_lsn: version.lsn })
    }

    /// A page of ids.
    pub(crate) fn list(&self, prefix: &Prefix, limit: u32, after: Option<&RecordId>) -> ListAnswer {
        let version = self.version();
        let limit = limit.max(1) as usize;
        let mut ids = version.ids(prefix.as_str(), after, limit + 1);
        let more = ids.len() > limit;
        ids.truncate(limit);
        let next_after = ids.last().filter(|_| more).cloned();
        ListAnswer { ids, next_after, usage: usage::list(), max_indexed_lsn: version.lsn }
    }

    /// How many records a filter selects.
    pub(crate) async fn count_matching(&self, filter: Filter) -> Result<u64> {
        let matching = self.version().matching(&self.shared.pool, &Arc::new(filter)).await?;
        Ok(matching.ids.len() as u64)
    }
}

/// The hits with the parts of their records that were asked for, read in one batch from each source.
async fn matches(sources: &[Source], hits: Vec<Hit>, parts: Parts) -> Result<Vec<Match>> {
    let bare = |id: RecordId, score: f32| Match { id, score, dense: None, sparse: None, metadata: None };
    if !parts.values && !parts.metadata {
        return Ok(hits.into_iter().map(|hit| bare(hit.id, hit.score)).collect());
    }
    let mut matches: Vec<Match> = hits.iter().map(|hit| bare(hit.id.clone(), hit.score)).collect();
    for (at, source) in sources.iter().enumerate() {
        let (places, rows): (Vec<usize>, Vec<u32>) =
            hits.iter().enumerate().filter(|(_, h)| h.source == at).map(|(n, h)| (n, h.row)).unzip();
        let records = match source {
            Source::Segment { reader, .. } => reader.records(&rows, parts).await?,
            Source::Memory(memory) => rows.iter().filter_map(|row| memory.get(*row).cloned()).collect(),
        };
        for (place, record) in places.into_iter().zip(records) {
            let found = &mut matches[place];
            if parts.values {
                (found.dense, found.sparse) = (record.dense, record.sparse);
            }
            found.metadata = parts.metadata.then_some(record.metadata);
        }
    }
    Ok(matches)
}
