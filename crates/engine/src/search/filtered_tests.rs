//! Searches by codes under filters, against plain loops over all rows.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use pinyon_kernels::Kernels;
use pinyon_model::{Condition, DenseVector, Dimension, Filter, Metadata, MetadataValue, Metric, Record, RecordId, Scalar, VectorShape};
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;
use crate::{
    filter::{PlaceSet, SelectionKey},
    segment::{
        Chance, Codes,
        tests::{Fixture, block_on},
    },
};

const DIMENSION: usize = 8;
const ROWS: u32 = 3_000;

/// Rows around twenty middles. `near` is the middle, `one_in_n` says `true` for one row in n at random; every eleventh row has no vector.
fn records() -> Vec<Record> {
    let mut chance = Chance::new(7);
    let mut value = || chance.below(2_000) as f32 / 1_000.0 - 1.0;
    let middles: Vec<Vec<f32>> = (0..20).map(|_| (0..DIMENSION).map(|_| value()).collect()).collect();
    let vectors: Vec<Vec<f32>> =
        (0..ROWS as usize).map(|row| middles[row % 20].iter().map(|middle| middle + 0.4 * value()).collect()).collect();
    let mut chance = Chance::new(8);
    let record = |(row, vector): (usize, Vec<f32>)| {
        let mut fields: BTreeMap<String, MetadataValue> =
            ONE_IN.iter().map(|n| (format!("one_in_{n}"), MetadataValue::Bool(chance.below(*n) == 0))).collect();
        fields.insert("near".to_owned(), MetadataValue::String(format!("{:02}", row % 20)));
        Record {
            id: RecordId::new(format!("{row:05}")).unwrap(),
            dense: (row % 11 != 10).then(|| DenseVector::new(vector).unwrap()),
            sparse: None,
            metadata: Metadata::new(fields).unwrap(),
        }
    };
    vectors.into_iter().enumerate().map(record).collect()
}

const ONE_IN: [usize; 5] = [1, 2, 6, 30, 300];

fn filters() -> impl Strategy<Value = Filter> {
    let field = |name: String, scalar| Filter::Field(name, Condition::Eq(scalar));
    let near = (0..20u32).prop_map(move |middle| field("near".to_owned(), Scalar::String(format!("{middle:02}"))));
    let random =
        (prop::sample::select(&ONE_IN[..]), any::<bool>()).prop_map(move |(n, yes)| field(format!("one_in_{n}"), Scalar::Bool(yes)));
    let one = prop_oneof![near, random];
    prop_oneof![3 => one.clone(), 1 => one.clone().prop_map(|part| Filter::Not(Box::new(part))), 1 => prop::collection::vec(one, 2).prop_map(Filter::Or)]
}

/// Looks almost everywhere: what is missing then, the filter took.
const HARD: Effort = Effort { factor: 64.0, pool_max: usize::MAX, exact: false };

struct Segment {
    fixture: Fixture,
    records: Vec<Record>,
    reader: Arc<SegmentReader>,
    codes: Arc<Codes>,
}

/// One for all tests: making it takes longer than they do.
fn segment() -> &'static Segment {
    static SEGMENT: OnceLock<Segment> = OnceLock::new();
    SEGMENT.get_or_init(|| {
        block_on(async {
            let (fixture, records) = (Fixture::new(), records());
            let reader = fixture.segment(&records, DIMENSION as u32).await;
            let codes = reader.codes().await.unwrap().unwrap();
            assert!(codes.clusters() > 20, "{} clusters", codes.clusters());
            Segment { fixture, records, reader, codes }
        })
    })
}

async fn ask(segment: &Segment, query: &[f32], filter: &Filter, dead: &RoaringBitmap, top_k: usize, effort: Effort) -> Vec<(u32, f32)> {
    let shape = VectorShape { dense: Some((Dimension::new(DIMENSION as u32).unwrap(), Metric::Cosine)), sparse: false };
    let query = PreparedQuery::new(Kernels::detect(), &shape, Some(DenseVector::new(query.to_vec()).unwrap()), None).unwrap();
    let wanted = Search { query: Arc::new(query), filter: Some(Arc::new(filter.clone())), top_k, effort };
    let source = Source::Segment { reader: Arc::clone(&segment.reader), dead: Arc::new(dead.clone()) };
    let hits = search(&Pool::new(1).unwrap(), wanted, vec![source]).await.unwrap();
    hits.into_iter().map(|hit| (hit.row, hit.score)).collect()
}

/// The rows that should be found, and their scores, best first.
fn naive(segment: &Segment, query: &[f32], filter: &Filter, dead: &RoaringBitmap) -> Vec<(u32, f32)> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let matching = (0..).zip(&segment.records).filter(|(row, record)| !dead.contains(*row) && filter::matches(filter, &record.metadata));
    let mut scored: Vec<(u32, f32)> = matching
        .filter_map(|(row, record)| {
            let vector = record.dense.as_ref()?.as_slice();
            Some((row, (dot(query, vector) / (dot(query, query) * dot(vector, vector)).sqrt()) as f32))
        })
        .collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scored
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn finds_rows_that_match_and_are_not_dead_with_their_scores(
        filter in filters(),
        dead in prop_oneof![2 => Just(None), 1 => (2usize..20, any::<u64>()).prop_map(Some)],
        top_k in prop_oneof![4 => 1usize..30, 1 => 30usize..400],
        query in prop::collection::vec(-1.0f32..1.0, DIMENSION),
    ) {
        let dead: RoaringBitmap = dead.map_or_else(RoaringBitmap::new, |(one_in, seed)| {
            let mut chance = Chance::new(seed);
            (0..ROWS).filter(|_| chance.below(one_in) > 0).collect()
        });
        let segment = segment();
        let best = naive(segment, &query, &filter, &dead);
        let found = block_on(ask(segment, &query, &filter, &dead, top_k, HARD));
        prop_assert_eq!(found.len(), best.len().min(top_k), "of {} that match", best.len());
        let right = found.iter().filter(|(row, _)| best[..found.len()].iter().any(|(other, _)| other == row)).count();
        for (row, score) in &found {
            let own = best.iter().find(|(other, _)| other == row);
            prop_assert!(own.is_some(), "{} does not match, or is dead", row);
            prop_assert!((own.unwrap().1 - score).abs() < 1e-5, "{} has the score {:?} and not {}", row, own, score);
        }
        prop_assert!(right * 10 >= found.len() * 9, "{} of {} are of the best", right, found.len());
    }

    #[test]
    fn a_set_of_places_is_what_it_was_made_of(one_in in prop::sample::select(vec![1usize, 2, 5, 12, 70, 900]), seed in any::<u64>()) {
        let codes = &segment().codes;
        let mut chance = Chance::new(seed);
        let ordinals: Vec<u32> = (0..codes.vectors()).filter(|_| chance.below(one_in) == 0).collect();
        let set = PlaceSet::new(codes, &ordinals);
        prop_assert_eq!(set.vectors() as usize, ordinals.len());
        let all = (0..codes.clusters()).flat_map(|cluster| codes.places(cluster).map(move |place| codes.ordinal(codes.slot_at(cluster, place))));
        prop_assert_eq!(set.len() as usize, all.filter(|ordinal| ordinals.binary_search(ordinal).is_ok()).count());
        let mut held = set.clusters().iter().enumerate();
        let mut next = held.next();
        for cluster in 0..codes.clusters() {
            let here = codes.places(cluster);
            let ordinal = |place: u32| codes.ordinal(codes.slot_at(cluster, place));
            let expected: Vec<u32> = here.clone().filter(|place| ordinals.binary_search(&ordinal(*place)).is_ok()).collect();
            let Some((at, _)) = next.filter(|(_, other)| **other == cluster) else {
                prop_assert!(expected.is_empty(), "cluster {} is left out", cluster);
                continue;
            };
            let mut places = Vec::new();
            set.append(at, &here, &mut places);
            prop_assert_eq!(set.count(at) as usize, expected.len());
            prop_assert!(here.clone().all(|place| set.contains(at, place) == expected.contains(&place)));
            prop_assert_eq!(places, expected);
            next = held.next();
        }
        prop_assert!(next.is_none());
        prop_assert!(set.bytes() <= PlaceSet::bytes_at_most(ordinals.len(), codes.vectors() as usize), "{} bytes", set.bytes());
    }
}

/// What is kept of one filter serves later searches, whatever died meanwhile, and goes with its segment.
#[test]
fn what_is_kept_is_never_stale_and_goes_with_the_segment() {
    block_on(async {
        let (fixture, records) = (Fixture::new(), records());
        let reader = fixture.segment(&records, DIMENSION as u32).await;
        let codes = reader.codes().await.unwrap().unwrap();
        let segment = Segment { fixture, records, reader, codes };
        let filter = Filter::Field("one_in_30".to_owned(), Condition::Eq(Scalar::Bool(true)));
        let key = SelectionKey { object: segment.reader.object(), filter: Arc::new(filter.clone()) };
        let query = [0.3; DIMENSION];
        let mut dead = RoaringBitmap::new();
        assert!(segment.fixture.cache.selection(&key).is_none());
        let mut kept = None;
        for _ in 0..40 {
            let best = naive(&segment, &query, &filter, &dead);
            let found = ask(&segment, &query, &filter, &dead, 3, HARD).await;
            assert_eq!(found.iter().map(|(row, _)| *row).collect::<Vec<_>>(), best[..3].iter().map(|(row, _)| *row).collect::<Vec<_>>());
            let now = segment.fixture.cache.selection(&key).expect("it was just asked for");
            assert!(Arc::ptr_eq(kept.get_or_insert_with(|| Arc::clone(&now)), &now), "it was made twice");
            dead.insert(found[0].0);
        }
        let Segment { fixture, reader, .. } = segment;
        drop(reader);
        assert!(fixture.cache.selection(&key).is_none(), "a closed segment leaves something behind");
    });
}
