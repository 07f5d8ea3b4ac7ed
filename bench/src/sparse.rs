//! Exact sparse search over the texts of a set, against a search that adds up every posting.
//!
//! The texts become BM25 vectors: what a term is worth in a text goes into the record, how rare it is into the query. The
//! engine runs in this process with one thread for queries; beside it, over the same postings, runs an exhaustive
//! term-at-a-time accumulator: an array of sums with a place for each record, and the best taken from it. Every answer of
//! the engine is held against sums in double precision.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use pinyon_engine::{Engine, EngineSettings, IndexHandle, IndexOptions};
use pinyon_model::{IndexId, Match, Metadata, NamespaceName, Query, QueryTarget, Record, RecordId, SparseVector, TopK, VectorShape};
use pinyon_storage::{DataDir, DataDirOptions, KeyStore, LocalStore, RootKey};
use tempfile::TempDir;

use crate::{
    Failure, pin,
    report::{Report, Target},
    scan::RunningClock,
    search::place::{IDLE_SHARE, QUIET, QUIET_LOOKS},
    server::files_below,
    sets::entries::read_texts,
    stats::{Latencies, own_processor_time},
    tolerances::{self, Tolerances},
};

/// How many times the accumulator's speed the engine should reach.
const RATIO_TARGET: f64 = 3.0;
/// BM25's saturation of repeated terms.
const K1: f64 = 1.2;
/// BM25's correction for long texts.
const B: f64 = 0.75;
/// Records an upsert.
const BATCH: usize = 1_000;
/// What to search.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Lines of JSON, plain or gzipped, each with an "id" and a "text"
    #[arg(long)]
    base: PathBuf,
    /// Lines of JSON, plain or gzipped, each with a "text"
    #[arg(long)]
    queries: PathBuf,
    /// Matches a query asks for
    #[arg(long, default_value_t = 10)]
    top_k: usize,
    /// How often to measure
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Core that both ask and search on, in turn
    #[arg(long)]
    core: Option<usize>,
    #[command(flatten)]
    check: tolerances::Arguments,
}

/// A sparse vector as its indices and values.
type Pairs = (Vec<u32>, Vec<f32>);

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let tolerances = Tolerances::read(&settings.check)?;
    let mut texts = read_texts(&settings.base)?;
    texts.sort();
    let queries = read_texts(&settings.queries)?;
    let (records, queries) = bm25(&texts, &queries);
    let accumulator = Accumulator::new(&records);
    let served = Served::open(&texts, &records).await?;

    let mut report = Report::new("sparse");
    let truth: Vec<Vec<(f32, u32)>> = queries.iter().map(|query| accumulator.exact(query, settings.top_k)).collect();
    let before = resident_bytes()?;
    served.check(&queries, settings.top_k, &truth).await?;
    report.record("memory that the first round took", "bytes", resident_bytes()? - before);
    // The lists of the queries are in the cache from here on.
    served.check(&queries, settings.top_k, &truth).await?;
    if let Some(core) = settings.core {
        // Not before: building has all cores.
        pin::this_thread(core)?;
    }
    let mut room = vec![0.0; records.len()];
    for _ in 0..settings.runs {
        let mut micros = Vec::with_capacity(queries.len());
        let before = own_processor_time();
        for query in &queries {
            let begun = Instant::now();
            std::hint::black_box(accumulator.best(query, settings.top_k, &mut room));
            micros.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        let exhaustive = Latencies::new(micros);
        let after_exhaustive = own_processor_time();
        let engine = served.latencies(&queries, settings.top_k).await?;
        let after_engine = own_processor_time();
        let processor =
            [after_exhaustive - before, after_engine - after_exhaustive].map(|time| time.as_secs_f64() * 1e6 / queries.len() as f64);
        let qps = |latencies: &Latencies| latencies.len() as f64 / latencies.total_s();
        for (name, latencies, processor) in [("exhaustive", &exhaustive, processor[0]), ("engine", &engine, processor[1])] {
            report.record(&format!("{name} queries"), "/s", qps(latencies));
            report.record(&format!("{name} p50"), "µs", latencies.at(0.5));
            report.record(&format!("{name} p99"), "µs", latencies.at(0.99));
            // What a busy machine does not distort.
            report.record(&format!("{name} processor"), "µs a query", processor);
        }
        report.record("exhaustive / engine processor", "", processor[0] / processor[1]);
        report.record("engine / exhaustive", "", qps(&engine) / qps(&exhaustive));
    }
    report.record("records", "", records.len() as f64);
    report.record("postings", "", records.iter().map(|(indices, _)| indices.len()).sum::<usize>() as f64);
    report.record("files", "bytes", served.stored_bytes()? as f64);
    if settings.top_k == 10 {
        report.expect("engine / exhaustive", Target::AtLeast(RATIO_TARGET));
    }
    served.close().await;
    report.finish_within(&tolerances)
}

/// Bytes of RAM that this process occupies.
fn resident_bytes() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    Ok(kib.ok_or("no VmRSS in /proc/self/status")? * 1024.0)
}

/// The terms of a text: its words in lower case, each by a hash.
fn terms(text: &str) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(hash(&word.to_lowercase())).or_default() += 1;
    }
    counts
}

/// FNV-1a, folded to 32 bits: the words of a set of this size hardly ever meet.
fn hash(word: &str) -> u32 {
    let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    (hash ^ hash >> 32) as u32
}

/// The vectors of the texts and of the queries; queries without a known term are left out.
fn bm25(texts: &[(String, String)], queries: &[(String, String)]) -> (Vec<Pairs>, Vec<Pairs>) {
    let counted: Vec<BTreeMap<u32, u32>> = texts.iter().map(|(_, text)| terms(text)).collect();
    let mut rows_of: HashMap<u32, u32> = HashMap::new();
    counted.iter().flat_map(BTreeMap::keys).for_each(|term| *rows_of.entry(*term).or_default() += 1);
    let len = |counts: &BTreeMap<u32, u32>| f64::from(counts.values().sum::<u32>());
    let rows = counted.len() as f64;
    let mean = counted.iter().map(len).sum::<f64>() / rows;
    let worth = |counts: &BTreeMap<u32, u32>| {
        let norm = K1 * (1.0 - B + B * len(counts) / mean);
        counts.iter().map(|(term, count)| (*term, (f64::from(*count) * (K1 + 1.0) / (f64::from(*count) + norm)) as f32)).unzip()
    };
    let rarity = |rows_with: f64| (1.0 + (rows - rows_with + 0.5) / (rows_with + 0.5)).ln();
    let wanted = |text: &str| -> Pairs {
        let known = terms(text).into_iter().filter_map(|(term, count)| Some((term, count, *rows_of.get(&term)?)));
        known.map(|(term, count, rows)| (term, (f64::from(count) * rarity(f64::from(rows))) as f32)).unzip()
    };
    let queries = queries.iter().map(|(_, text)| wanted(text)).filter(|(indices, _)| !indices.is_empty()).collect();
    (counted.iter().map(worth).collect(), queries)
}

/// All postings, by term, as one search of every row wants them.
struct Accumulator {
    postings: HashMap<u32, (Vec<u32>, Vec<f32>)>,
    rows: usize,
}

impl Accumulator {
    fn new(records: &[Pairs]) -> Self {
        let mut postings: HashMap<u32, (Vec<u32>, Vec<f32>)> = HashMap::new();
        for (row, (indices, values)) in (0..).zip(records) {
            for (index, value) in indices.iter().zip(values) {
                let list = postings.entry(*index).or_default();
                list.0.push(row);
                list.1.push(*value);
            }
        }
        Self { postings, rows: records.len() }
    }

    /// The best rows by sums in single precision, in an array that is used again and again.
    fn best(&self, (indices, values): &Pairs, top_k: usize, sums: &mut [f32]) -> Vec<(f32, u32)> {
        sums.fill(0.0);
        for (index, weight) in indices.iter().zip(values) {
            let Some((rows, values)) = self.postings.get(index) else { continue };
            for (row, value) in rows.iter().zip(values) {
                sums[*row as usize] += weight * value;
            }
        }
        // Weights and values are above 0, so are the sums, and their bits are in their order.
        let mut best: BinaryHeap<Reverse<(u32, Reverse<u32>)>> = BinaryHeap::with_capacity(top_k + 1);
        let mut least = f32::MIN_POSITIVE;
        for (first, chunk) in (0..).step_by(64).zip(sums.chunks(64)) {
            // Most chunks hold nothing good enough, and telling so takes a few instructions.
            if !chunk.iter().fold(false, |any, sum| any | (*sum >= least)) {
                continue;
            }
            for (row, sum) in (first..).zip(chunk) {
                if *sum >= least {
                    best.push(Reverse((sum.to_bits(), Reverse(row))));
                    if best.len() > top_k {
                        best.pop();
                        least = best.peek().map_or(least, |worst| f32::from_bits(worst.0.0));
                    }
                }
            }
        }
        best.into_sorted_vec().into_iter().map(|Reverse((sum, Reverse(row)))| (f32::from_bits(sum), row)).collect()
    }

    /// The best rows by sums in double precision, rounded when they are whole.
    fn exact(&self, (indices, values): &Pairs, top_k: usize) -> Vec<(f32, u32)> {
        let mut sums = vec![0.0f64; self.rows];
        for (index, weight) in indices.iter().zip(values) {
            let Some((rows, values)) = self.postings.get(index) else { continue };
            rows.iter().zip(values).for_each(|(row, value)| sums[*row as usize] += f64::from(*weight) * f64::from(*value));
        }
        let mut all: Vec<(f32, u32)> = sums.iter().zip(0..).filter(|(sum, _)| **sum > 0.0).map(|(sum, row)| (*sum as f32, row)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        all.truncate(top_k);
        all
    }
}

/// The engine in this process with the records in it.
struct Served {
    folder: TempDir,
    engine: Engine,
    index: Arc<IndexHandle>,
    namespace: NamespaceName,
    rows: HashMap<String, u32>,
}

impl Served {
    async fn open(texts: &[(String, String)], records: &[Pairs]) -> Result<Self, Failure> {
        let folder = TempDir::with_prefix("pinyon-bench-")?;
        let dir = DataDir::open(folder.path(), DataDirOptions::default())?;
        let store = Arc::new(LocalStore::open(dir.path(), dir.space())?);
        let keys = Arc::new(KeyStore::open(&dir.path().join("keys"), RootKey::generate())?);
        let settings = EngineSettings { query_threads: 1, query_on_caller: true, ..EngineSettings::default() };
        let engine = Engine::open(store, dir.path().to_owned(), keys, Arc::new(RunningClock(Instant::now())), settings).await?;
        let options = IndexOptions { shape: VectorShape { dense: None, sparse: true }, metadata_schema: None };
        let id = IndexId::from_bytes([1; 16]);
        engine.create_index(id, &options).await?;
        let index = engine.index(id, options);
        let rows = texts.iter().zip(0..).map(|((id, _), row)| (id.clone(), row)).collect();
        let served = Self { folder, engine, index, namespace: NamespaceName::new("")?, rows };
        let all: Vec<(&(String, String), &Pairs)> = texts.iter().zip(records).collect();
        for batch in all.chunks(BATCH) {
            let records = batch.iter().map(|((id, _), (indices, values))| {
                let sparse = Some(SparseVector::new(indices.clone(), values.clone())?);
                Ok(Record { id: RecordId::new(id.clone())?, dense: None, sparse, metadata: Metadata::default() })
            });
            served.index.upsert(&served.namespace, records.collect::<Result<_, Failure>>()?).await?;
        }
        served.engine.flush_all().await?;
        served.settle().await?;
        Ok(served)
    }

    /// Waits until no file changes and the processor is not used, for long enough that a quiet namespace was merged.
    async fn settle(&self) -> Result<(), Failure> {
        let mut before = (files_below(self.folder.path())?, own_processor_time());
        let mut looks = 0;
        while looks < QUIET_LOOKS {
            tokio::time::sleep(QUIET).await;
            let now = (files_below(self.folder.path())?, own_processor_time());
            let is_idle = (now.1 - before.1).as_secs_f64() < IDLE_SHARE * QUIET.as_secs_f64();
            looks = if is_idle && now.0 == before.0 { looks + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }

    fn stored_bytes(&self) -> Result<u64, Failure> {
        let below: &Path = self.folder.path();
        Ok(files_below(below)?.values().sum())
    }

    /// Answers a query: the matches, and the microseconds that it took.
    async fn query(&self, (indices, values): &Pairs, top_k: usize) -> Result<(Vec<Match>, f64), Failure> {
        let sparse = Some(SparseVector::new(indices.clone(), values.clone())?);
        let query = Query {
            target: QueryTarget::Vector { dense: None, sparse },
            top_k: TopK::new(u32::try_from(top_k)?)?,
            filter: None,
            include_values: false,
            include_metadata: false,
            scan_factor: None,
            max_candidates: None,
        };
        let begun = Instant::now();
        let answer = self.index.query(&self.namespace, query).await?;
        Ok((answer.matches, begun.elapsed().as_secs_f64() * 1e6))
    }

    async fn check(&self, queries: &[Pairs], top_k: usize, truth: &[Vec<(f32, u32)>]) -> Result<(), Failure> {
        let row = |id: &RecordId| self.rows.get(id.as_str()).copied().ok_or("a record that was never written");
        for (at, (query, truth)) in queries.iter().zip(truth).enumerate() {
            let (matches, _) = self.query(query, top_k).await?;
            let found = matches.iter().map(|found| Ok((found.score, row(&found.id)?))).collect::<Result<Vec<_>, Failure>>()?;
            if found != *truth {
                return Err(format!("query {at} was answered {found:?} where {truth:?} is right").into());
            }
        }
        Ok(())
    }

    async fn latencies(&self, queries: &[Pairs], top_k: usize) -> Result<Latencies, Failure> {
        let mut micros = Vec::with_capacity(queries.len());
        for query in queries {
            micros.push(self.query(query, top_k).await?.1);
        }
        Ok(Latencies::new(micros))
    }

    async fn close(self) {
        self.engine.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<(String, String)> {
        let texts = ["the cat", "The dog; the cat!", "a bird", "dog dog dog the"];
        texts.iter().enumerate().map(|(at, text)| (format!("{at}"), (*text).to_owned())).collect()
    }

    #[test]
    fn words_are_counted_whatever_their_case() {
        let counts = terms("The dog; the cat!");
        assert_eq!((counts.len(), counts[&hash("the")], counts[&hash("dog")]), (3, 2, 1));
    }

    #[test]
    fn the_accumulator_and_the_exact_sums_agree() {
        let queries = [("dog", vec![3u32, 1]), ("the cat", vec![0, 1, 3]), ("nothing of it", vec![])];
        let asked: Vec<(String, String)> = queries.iter().map(|(text, _)| (String::new(), (*text).to_owned())).collect();
        let (records, vectors) = bm25(&texts(), &asked);
        assert_eq!(vectors.len(), 2, "no text has a word of the third query");
        let accumulator = Accumulator::new(&records);
        let mut room = vec![9.0; records.len()];
        for (query, (_, expected)) in vectors.iter().zip(queries) {
            let rows = |found: Vec<(f32, u32)>| found.into_iter().map(|(_, row)| row).collect::<Vec<_>>();
            assert_eq!(rows(accumulator.exact(query, 10)), expected);
            assert_eq!(rows(accumulator.best(query, 10, &mut room)), expected);
            assert_eq!(rows(accumulator.best(query, 1, &mut room)), expected[..1]);
        }
    }
}
