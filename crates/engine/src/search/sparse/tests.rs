//! The search that skips against one that scores every row, bit for bit.

use std::{collections::BTreeMap, sync::Arc};

use pinyon_kernels::Kernels;
use pinyon_model::{Metadata, Record, RecordId, SparseVector, VectorShape};
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::{
    super::{Allowed, Effort, PreparedQuery, Search, Source, search, top_k::Candidate, top_k::Floor},
    group::GroupSearch,
};
use crate::{
    pool::Pool,
    segment::{
        GroupImpacts,
        tests::{Fixture, block_on},
    },
};

/// What values and weights are like.
#[derive(Debug, Clone, Copy)]
enum Numbers {
    /// Above 0, as those of BM25.
    Positive,
    /// Small whole numbers of both signs and 0, so that sums are equal and vanish.
    Whole,
    /// Nothing but 1.
    One,
    /// Of any size and sign.
    Any,
    /// So small that they are denormal, or vanish when multiplied.
    Tiny,
}

struct Source32(u64);

impl Source32 {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % n
    }

    fn number(&mut self, numbers: Numbers) -> f32 {
        match numbers {
            Numbers::Positive => (self.below(10_000) + 1) as f32 / 3_000.0,
            Numbers::Whole => self.below(7) as f32 - 3.0,
            Numbers::One => 1.0,
            Numbers::Any => Some(f32::from_bits(self.below(1 << 32) as u32)).filter(|n| n.is_finite()).unwrap_or(f32::MAX),
            Numbers::Tiny => f32::from_bits(self.below(40) as u32 | (self.below(2) as u32) << 31),
        }
    }
}

#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    rows: Vec<u16>,
    terms: usize,
    values: Numbers,
    weights: Numbers,
    ordered: bool,
    /// One in so many rows counts, or all but one in so many.
    allowed: Option<(bool, u64)>,
    top_k: usize,
    always_skip: bool,
}

fn case() -> impl Strategy<Value = Case> {
    use Numbers::{Any, One, Positive, Tiny, Whole};
    // Mostly of one sign, where rows are passed over.
    let numbers = || prop::sample::select(vec![Positive, Positive, Positive, Positive, Whole, One, Any, Tiny]);
    let rows = prop::collection::vec(prop_oneof![1u16..150, 700u16..2_500], 1..4);
    let allowed = prop::option::of((any::<bool>(), prop::sample::select(vec![1u64, 2, 3, 10, 100])));
    let top_k = prop::sample::select(vec![1usize, 2, 10, 10, 100, 10_000]);
    (any::<u64>(), rows, 1usize..12, numbers(), numbers(), any::<bool>(), allowed, top_k, prop::bool::weighted(0.8)).prop_map(
        |(seed, rows, terms, values, weights, ordered, allowed, top_k, always_skip)| Case {
            seed: seed | 1,
            rows,
            terms,
            values,
            weights,
            ordered,
            allowed,
            top_k,
            always_skip,
        },
    )
}

/// The query's value for each index, and the postings of each in each group.
type Lists = Vec<(f32, BTreeMap<u16, f32>)>;

fn lists(case: &Case, from: &mut Source32) -> (Vec<f32>, Vec<Lists>) {
    let weights: Vec<f32> = (0..case.terms).map(|_| from.number(case.weights)).collect();
    let groups = case.rows.iter().map(|rows| {
        // A few terms are in most rows and most in a few.
        let postings = |(term, weight): (usize, &f32)| {
            let share = 1 + from.below(1 << (1 + term % 9));
            let rows = (0..*rows).filter(|_| from.below(share) == 0).collect::<Vec<_>>();
            (*weight, rows.into_iter().map(|row| (row, from.number(case.values))).collect::<BTreeMap<u16, f32>>())
        };
        weights.iter().enumerate().map(postings).collect::<Vec<_>>().into_iter().filter(|(_, postings)| !postings.is_empty()).collect()
    });
    let groups = groups.collect();
    (weights, groups)
}

fn prepared(weights: &[f32]) -> PreparedQuery {
    let sparse = SparseVector::new((0..weights.len() as u32).collect(), weights.to_vec()).unwrap();
    PreparedQuery::new(Kernels::detect(), &VectorShape { dense: None, sparse: true }, None, Some(sparse)).unwrap()
}

/// The best rows by scoring every one.
fn naive(query: &PreparedQuery, first: u32, rows: u16, lists: &Lists, allowed: &Allowed) -> Vec<Candidate> {
    let score = |row: u16| {
        let mut score = 0.0;
        for (weight, postings) in lists {
            if let Some(value) = postings.get(&row) {
                score += f64::from(*weight) * f64::from(*value);
            }
        }
        score
    };
    let scored = (0..rows).map(|row| (first + u32::from(row), score(row))).filter(|(row, score)| *score != 0.0 && allowed.contains(*row));
    scored.map(|(row, score)| Candidate { rank: query.rank(score), row }).collect()
}

fn best(mut all: Vec<Candidate>, top_k: usize) -> Vec<Candidate> {
    all.sort_by(|a, b| b.rank.total_cmp(&a.rank).then(a.row.cmp(&b.row)));
    all.truncate(top_k);
    all
}

fn check(case: &Case) {
    let mut from = Source32(case.seed);
    let (weights, groups) = lists(case, &mut from);
    let query = prepared(&weights);
    let all: u32 = case.rows.iter().map(|rows| u32::from(*rows)).sum();
    let allowed = match case.allowed {
        None => Allowed::Except(Arc::default()),
        Some((true, each)) => Allowed::Only(Arc::new((0..all).filter(|_| from.below(each) == 0).collect())),
        Some((false, each)) => Allowed::Except(Arc::new((0..all).filter(|_| from.below(each) == 0).collect())),
    };
    let floor = Floor::new();
    let mut groups_search = GroupSearch::new(&query, &allowed, case.top_k, &floor);
    groups_search.always_skip = case.always_skip;
    let (mut first, mut expected) = (0, Vec::new());
    for (rows, lists) in case.rows.iter().zip(&groups) {
        let mut order: Vec<u16> = (0..*rows).collect();
        (1..order.len()).for_each(|at| order.swap(at, from.below(at as u64 + 1) as usize));
        let range = first..first + u32::from(*rows);
        groups_search.search(GroupImpacts::of(range, case.ordered.then_some(&order[..]), lists));
        expected.extend(naive(&query, first, *rows, lists, &allowed));
        first += u32::from(*rows);
    }
    assert_eq!(groups_search.finish(), best(expected, case.top_k));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn finds_what_scoring_every_row_finds(case in case()) {
        check(&case);
    }
}

/// What a group leaves behind would be found by the next search of the same thread.
#[test]
fn room_is_left_clean() {
    let case = Case {
        seed: 7,
        rows: vec![2_000],
        terms: 11,
        values: Numbers::Positive,
        weights: Numbers::Positive,
        ordered: true,
        allowed: None,
        top_k: 10,
        always_skip: true,
    };
    check(&case);
    let scratch = super::scratch::Scratch::take();
    assert!(scratch.sums.iter().all(|sum| *sum == 0.0) && scratch.numbers.iter().all(|number| *number == 0));
    scratch.give_back();
    check(&case);
}

/// Skipping must look at a small part of the rows, or it is none.
#[test]
fn most_rows_are_passed_over() {
    let mut from = Source32(3);
    let rows = 60_000u16;
    let list = |one_in: u64, from: &mut Source32| -> BTreeMap<u16, f32> {
        (0..rows)
            .filter(|_| from.below(one_in) == 0)
            .collect::<Vec<_>>()
            .into_iter()
            .map(|row| (row, from.number(Numbers::Positive)))
            .collect()
    };
    let lists: Lists = vec![(0.3, list(2, &mut from)), (4.0, list(200, &mut from)), (0.2, list(3, &mut from)), (5.0, list(400, &mut from))];
    let query = prepared(&[0.3, 4.0, 0.2, 5.0]);
    let (allowed, floor) = (Allowed::Except(Arc::new(RoaringBitmap::new())), Floor::new());
    let mut groups = GroupSearch::new(&query, &allowed, 10, &floor);
    groups.search(GroupImpacts::of(0..u32::from(rows), None, &lists));
    let (found, looked_at) = groups.finish_counted();
    assert_eq!(found, best(naive(&query, 0, rows, &lists, &allowed), 10));
    assert!(looked_at < 600, "{looked_at} rows of {rows} were looked at");
}

fn records(count: usize) -> Vec<Record> {
    let mut from = Source32(11);
    let record = |row: usize| {
        let pairs: BTreeMap<u32, f32> =
            (0..12).map(|_| (1 << from.below(10) | from.below(8) as u32, from.number(Numbers::Whole))).collect();
        Record {
            id: RecordId::new(format!("{row:05}")).unwrap(),
            dense: None,
            sparse: (!row.is_multiple_of(17))
                .then(|| SparseVector::new(pairs.keys().copied().collect(), pairs.values().copied().collect()).unwrap()),
            metadata: Metadata::default(),
        }
    };
    (0..count).map(record).collect()
}

/// From stored bytes to hits: a segment whose rows have an order of their own, cold and cached.
#[test]
fn a_stored_segment_gives_the_exact_best() {
    let records = records(1_500);
    let sparse = SparseVector::new(vec![1, 2, 3, 9, 64, 65, 130, 512], vec![0.5, 1.0, -1.0, 2.0, 3.0, -0.25, 1.0, 1.5]).unwrap();
    let query = PreparedQuery::new(Kernels::detect(), &VectorShape { dense: None, sparse: true }, None, Some(sparse)).unwrap();
    let dead: RoaringBitmap = (0..1_500).step_by(7).collect();
    let scored = (0..).zip(&records).filter(|(row, _)| !dead.contains(*row));
    let all = scored.filter_map(|(row, record)| Some(Candidate { rank: query.rank(query.score_record(record)?), row })).collect();
    let expected = best(all, 20);
    let pool = Pool::new(2).unwrap();
    block_on(async {
        let fixture = Fixture::new();
        let reader = fixture.segment(&records, 0).await;
        let wanted = Search { query: Arc::new(query), filter: None, top_k: 20, effort: Effort::default() };
        for _ in 0..2 {
            let source = Source::Segment { reader: Arc::clone(&reader), dead: Arc::new(dead.clone()) };
            let hits = search(&pool, wanted.clone(), vec![source]).await.unwrap();
            let found: Vec<Candidate> = hits.iter().map(|hit| Candidate { rank: hit.score, row: hit.row }).collect();
            assert_eq!(found, expected);
        }
    });
}
