//! Searches against a model that scores every record in plain loops over `f64` and sorts.

use std::sync::Arc;

use pinyon_kernels::Kernels;
use pinyon_model::{Condition, DenseVector, Dimension, Filter, Metric, Record, RecordId, Scalar, SparseVector, VectorShape};
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;
use crate::segment::tests::{Fixture, block_on, dense, records, sparse};

struct Rows(Vec<Option<Record>>);

impl MemoryRows for Rows {
    fn len(&self) -> u32 {
        self.0.len() as u32
    }
    fn get(&self, row: u32) -> Option<&Record> {
        self.0.get(row as usize)?.as_ref()
    }
}

fn filter() -> impl Strategy<Value = Filter> {
    let scalar = || {
        prop_oneof![
            "[ab]{0,2}".prop_map(Scalar::String),
            (-3i8..4).prop_map(|n| Scalar::Number(f64::from(n))),
            Just(Scalar::Number(-0.0)),
            any::<bool>().prop_map(Scalar::Bool),
        ]
    };
    let bound = || prop_oneof![(-3i8..4).prop_map(f64::from), Just(f64::MAX), Just(f64::MIN), Just(-0.0)];
    let condition = prop_oneof![
        scalar().prop_map(Condition::Eq),
        scalar().prop_map(Condition::Ne),
        bound().prop_map(Condition::Gt),
        bound().prop_map(Condition::Gte),
        bound().prop_map(Condition::Lt),
        bound().prop_map(Condition::Lte),
        prop::collection::vec(scalar(), 0..4).prop_map(Condition::In),
        prop::collection::vec(scalar(), 0..4).prop_map(Condition::Nin),
        any::<bool>().prop_map(Condition::Exists),
    ];
    let leaf = ("[a-e]", condition).prop_map(|(field, condition)| Filter::Field(field, condition));
    leaf.prop_recursive(4, 24, 4, |part| {
        prop_oneof![
            prop::collection::vec(part.clone(), 0..4).prop_map(Filter::And),
            prop::collection::vec(part.clone(), 0..4).prop_map(Filter::Or),
            part.prop_map(|p| Filter::Not(Box::new(p))),
        ]
    })
}

/// The sum of products, and the sum of their magnitudes, which is what rounding is relative to.
fn naive_dot(pairs: impl Iterator<Item = (f32, f32)>) -> (f64, f64) {
    pairs.map(|(a, b)| f64::from(a) * f64::from(b)).fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()))
}

fn naive_sparse(a: &SparseVector, b: &SparseVector) -> (f64, f64) {
    let value = |i: &u32| b.indices().iter().position(|j| j == i).map_or(0.0, |at| b.values()[at]);
    naive_dot(a.indices().iter().zip(a.values()).map(|(i, v)| (*v, value(i))))
}

/// The score of a record, if it counts, and how far rounding may take it.
fn naive(shape: &VectorShape, dense: Option<&DenseVector>, sparse: Option<&SparseVector>, record: &Record) -> Option<(f64, f64)> {
    let (other, other_size) = sparse.zip(record.sparse.as_ref()).map_or((0.0, 0.0), |(a, b)| naive_sparse(a, b));
    let Some((_, metric)) = shape.dense else {
        record.sparse.as_ref()?;
        return (other != 0.0).then_some((other, tolerance(other, other_size)));
    };
    let (a, b) = (dense?.as_slice(), record.dense.as_ref()?.as_slice());
    let pairs = || a.iter().copied().zip(b.iter().copied());
    let square = |v: &[f32]| naive_dot(v.iter().copied().zip(v.iter().copied())).0;
    let norms = square(a).sqrt() * square(b).sqrt();
    let (dot, size) = naive_dot(pairs());
    let (score, size) = match metric {
        Metric::Dotproduct => (dot, size),
        Metric::Cosine if norms == 0.0 => (0.0, 0.0),
        Metric::Cosine => (dot / norms, size / norms),
        Metric::Euclidean => {
            let sum = pairs().map(|(a, b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
            (sum, sum)
        }
    };
    Some((score + other, tolerance(score + other, size + other_size)))
}

fn tolerance(score: f64, size: f64) -> f64 {
    1e-6 * score.abs() + 1e-13 * size + f64::from(f32::MIN_POSITIVE)
}

/// One search in one setting of everything.
#[derive(Debug, Clone)]
struct Case {
    shape: VectorShape,
    records: Vec<Record>,
    /// Where each record is: in segment 0 or 1, in memory (2), or dead in any of these (3, 4, 5).
    places: Vec<u8>,
    dense: Option<DenseVector>,
    sparse: Option<SparseVector>,
    filter: Option<Filter>,
    top_k: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let shapes = prop::sample::select(vec![
        (Some(Metric::Cosine), false),
        (Some(Metric::Euclidean), false),
        (Some(Metric::Dotproduct), false),
        (Some(Metric::Dotproduct), true),
        (None, true),
    ]);
    (shapes, prop::sample::select(vec![1usize, 2, 3, 64, 65])).prop_flat_map(|((metric, with_sparse), dimension)| {
        let shape = VectorShape { dense: metric.map(|m| (Dimension::new(dimension as u32).unwrap(), m)), sparse: with_sparse };
        let records = records(dimension, 0..50).prop_map(move |mut records| {
            records.iter_mut().for_each(|r| {
                r.dense = r.dense.take().filter(|_| metric.is_some());
                r.sparse = r.sparse.take().filter(|_| with_sparse);
            });
            records
        });
        let query = (dense(dimension), sparse());
        let places = prop::collection::vec(prop_oneof![3 => 0u8..3, 1 => 3u8..6], 50);
        let rest = (places, prop::option::of(filter()), prop_oneof![1usize..6, Just(10_000)]);
        (records, query, rest).prop_map(move |(records, (dense, sparse), (places, filter, top_k))| Case {
            shape,
            records,
            places,
            dense: metric.is_some().then_some(dense),
            sparse: with_sparse.then_some(sparse),
            filter,
            top_k,
        })
    })
}

async fn run(case: &Case, pool: &Pool) -> Vec<Hit> {
    let fixture = Fixture::new();
    let dimension = case.shape.dense.map_or(0, |(d, _)| d.get() as u32);
    let mut sources = Vec::new();
    for segment in [0, 1] {
        let here = |place: u8| place == segment || place == segment + 3;
        let rows: Vec<(&Record, u8)> = case.records.iter().zip(case.places.iter().copied()).filter(|(_, p)| here(*p)).collect();
        if rows.is_empty() {
            continue;
        }
        let records: Vec<Record> = rows.iter().map(|(r, _)| (*r).clone()).collect();
        let dead: RoaringBitmap = (0..).zip(&rows).filter(|(_, (_, place))| *place >= 3).map(|(row, _)| row).collect();
        sources.push(Source::Segment { reader: fixture.segment(&records, dimension).await, dead: Arc::new(dead) });
    }
    // In memory rows are in no order, and a dead one is simply not seen.
    let memory = case.records.iter().zip(&case.places).filter(|(_, p)| matches!(p, 2 | 5));
    let memory: Vec<Option<Record>> = memory.map(|(r, p)| (*p == 2).then(|| r.clone())).rev().collect();
    sources.push(Source::Memory(Arc::new(Rows(memory))));
    let query = PreparedQuery::new(Kernels::detect(), &case.shape, case.dense.clone(), case.sparse.clone()).unwrap();
    let wanted = Search { query: Arc::new(query), filter: case.filter.clone().map(Arc::new), top_k: case.top_k, effort: Effort::default() };
    search(pool, wanted, sources.clone()).await.unwrap()
}

fn check(case: &Case, hits: &[Hit]) {
    let lower = matches!(case.shape.dense, Some((_, Metric::Euclidean)));
    let counts =
        |(record, place): &(&Record, &u8)| **place < 3 && case.filter.as_ref().is_none_or(|f| filter::matches(f, &record.metadata));
    let mut expected: Vec<(f64, f64, &RecordId)> = case
        .records
        .iter()
        .zip(&case.places)
        .filter(counts)
        .filter_map(|(r, _)| naive(&case.shape, case.dense.as_ref(), case.sparse.as_ref(), r).map(|(score, within)| (score, within, &r.id)))
        .collect();
    expected.sort_by(|a, b| if lower { a.0.total_cmp(&b.0) } else { b.0.total_cmp(&a.0) }.then(a.2.cmp(b.2)));
    assert_eq!(hits.len(), expected.len().min(case.top_k));
    let close = |got: f32, score: f64, tolerance: f64| {
        let clamped = score.clamp(f64::from(f32::MIN), f64::from(f32::MAX));
        got.is_finite() && (f64::from(got) - clamped).abs() <= tolerance
    };
    // One score that rounding moved far moves the places of all between.
    let widest = expected.iter().map(|e| e.1).fold(0.0, f64::max);
    for (hit, place) in hits.iter().zip(&expected) {
        let own = expected.iter().find(|e| *e.2 == hit.id).unwrap_or_else(|| panic!("{} is no answer", hit.id));
        assert!(close(hit.score, own.0, own.1), "{}: {} is not {}", hit.id, hit.score, own.0);
        assert!(close(hit.score, place.0, widest), "{} is out of order: {} at the place of {}", hit.id, hit.score, place.0);
    }
    for pair in hits.windows(2) {
        let order = if lower { pair[0].score.total_cmp(&pair[1].score) } else { pair[1].score.total_cmp(&pair[0].score) };
        assert!(order.then(pair[0].id.cmp(&pair[1].id)).is_lt(), "{pair:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn finds_what_a_plain_loop_finds(case in case()) {
        let pool = Pool::new(2).unwrap();
        block_on(async { check(&case, &run(&case, &pool).await) });
    }

    #[test]
    fn a_segment_filters_as_a_record_does(records in records(1, 1..80), filters in prop::collection::vec(filter(), 1..8)) {
        let pool = Pool::new(1).unwrap();
        block_on(async {
            let segment = Fixture::new().segment(&records, 1).await;
            for filter in filters {
                let expected: RoaringBitmap =
                    (0..).zip(&records).filter(|(_, r)| filter::matches(&filter, &r.metadata)).map(|(row, _)| row).collect();
                let found = filter::rows(&pool.lane(), &segment, &Arc::new(filter.clone())).await.unwrap();
                assert_eq!(found, expected, "{filter:?}");
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn filters_read_many_pages(values in prop::collection::vec(0u16..3_000, 3_000), bounds in prop::collection::vec(0u16..3_000, 4)) {
        let pool = Pool::new(1).unwrap();
        let record = |(n, value): (usize, &u16)| {
            let fields = [
                ("n".to_owned(), pinyon_model::MetadataValue::Number(f64::from(*value))),
                ("text".to_owned(), pinyon_model::MetadataValue::String(format!("{value:04}{}", "-".repeat(20)))),
            ];
            Record {
                id: RecordId::new(format!("{n:05}")).unwrap(),
                dense: None,
                sparse: None,
                metadata: pinyon_model::Metadata::new(fields.into()).unwrap(),
            }
        };
        let records: Vec<Record> = values.iter().enumerate().map(record).collect();
        block_on(async {
            let segment = Fixture::new().segment(&records, 1).await;
            for bound in bounds {
                let number = f64::from(bound);
                let text = Scalar::String(format!("{bound:04}{}", "-".repeat(20)));
                let conditions = [
                    ("n", Condition::Gt(number)), ("n", Condition::Gte(number)), ("n", Condition::Lt(number)), ("n", Condition::Lte(number)),
                    ("n", Condition::Eq(Scalar::Number(number))), ("n", Condition::Ne(Scalar::Number(number))),
                    ("text", Condition::Eq(text.clone())), ("text", Condition::Nin(vec![text, Scalar::Number(number)])),
                ];
                for (field, condition) in conditions {
                    let filter = Filter::Field(field.into(), condition);
                    let expected: RoaringBitmap =
                        (0..).zip(&records).filter(|(_, r)| filter::matches(&filter, &r.metadata)).map(|(row, _)| row).collect();
                    let found = filter::rows(&pool.lane(), &segment, &Arc::new(filter.clone())).await.unwrap();
                    assert_eq!(found, expected, "{filter:?}");
                }
            }
        });
    }
}
