//! Every level of the CPU gives the score that a naive sum in `f64` gives, at every length and size of number.

use pinyon_kernels::{Kernels, Level};
use proptest::prelude::*;

const LENGTHS: [usize; 17] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 384, 1_536];

/// The sum of the terms, and the sum of their sizes: rounding errors are in proportion to the second.
fn sum(terms: impl Iterator<Item = f64>) -> (f64, f64) {
    terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
}

fn dot(a: &[f32], b: &[f32]) -> (f64, f64) {
    sum(a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)))
}

fn l2_squared(a: &[f32], b: &[f32]) -> (f64, f64) {
    sum(a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)))
}

/// Two sums of the same `len` terms, in whatever order, differ at most by a rounding a term.
#[track_caller]
fn assert_same(level: Level, what: &str, len: usize, got: f64, (expected, size): (f64, f64)) {
    let allowed = (len as f64 + 4.0) * f64::EPSILON * size;
    assert!((got - expected).abs() <= allowed, "{level:?} {what} of {len}: {got:e}, expected {expected:e} within {allowed:e}");
}

fn assert_pair(a: &[f32], b: &[f32]) {
    for kernels in Kernels::all_available() {
        let level = kernels.level();
        assert_same(level, "dot", a.len(), kernels.dot(a, b), dot(a, b));
        assert_same(level, "l2_squared", a.len(), kernels.l2_squared(a, b), l2_squared(a, b));
        assert_same(level, "norm_squared", a.len(), kernels.norm_squared(a), dot(a, a));
    }
}

fn assert_rows(query: &[f32], rows: &[f32], count: usize) {
    for kernels in Kernels::all_available() {
        let level = kernels.level();
        let mut scores = vec![f64::NAN; count];
        kernels.dot_rows(query, rows, &mut scores);
        for (at, score) in scores.iter().enumerate() {
            let row = &rows[at * query.len()..][..query.len()];
            assert_same(level, "dot_rows", query.len(), *score, dot(query, row));
        }
        scores.fill(f64::NAN);
        kernels.l2_squared_rows(query, rows, &mut scores);
        for (at, score) in scores.iter().enumerate() {
            let row = &rows[at * query.len()..][..query.len()];
            assert_same(level, "l2_squared_rows", query.len(), *score, l2_squared(query, row));
        }
    }
}

/// A spread of values that a simple pattern in the lanes would not survive; the seed makes vectors differ.
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Ordinary numbers, zeros of both signs, the huge, the tiny and the denormal.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => -1.0f32..1.0,
        1 => prop_oneof![Just(0.0f32), Just(-0.0)],
        1 => prop_oneof![Just(1e30f32), Just(-1e30), Just(f32::MAX), Just(f32::MIN)],
        1 => prop_oneof![Just(1e-30f32), Just(f32::MIN_POSITIVE)],
        1 => prop_oneof![Just(1e-40f32), Just(-1e-45), Just(f32::from_bits(1))],
    ]
}

fn pair() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    prop_oneof![proptest::sample::select(&LENGTHS[..]), 0usize..130]
        .prop_flat_map(|len| (proptest::collection::vec(number(), len), proptest::collection::vec(number(), len)))
}

fn block() -> impl Strategy<Value = (Vec<f32>, Vec<f32>, usize)> {
    (0usize..70, 0usize..12).prop_flat_map(|(dimension, count)| {
        (proptest::collection::vec(number(), dimension), proptest::collection::vec(number(), dimension * count), Just(count))
    })
}

fn sparse() -> impl Strategy<Value = (Vec<u32>, Vec<f32>)> {
    (1u32..400, 0usize..300).prop_flat_map(|(range, most)| {
        proptest::collection::btree_map(prop_oneof![9 => 0..range, 1 => u32::MAX - range..=u32::MAX], number(), 0..=most)
            .prop_map(|entries| entries.into_iter().unzip())
    })
}

#[test]
fn every_length_and_alignment_scores_as_the_reference_does() {
    for len in LENGTHS.into_iter().chain([20_000]) {
        for offset in 0..4 {
            let (a, b) = (values(len + offset, 1), values(len + offset, 2));
            assert_pair(&a[offset..], &b[offset..]);
        }
    }
}

#[test]
fn rows_score_as_the_reference_does() {
    for dimension in LENGTHS.into_iter().chain([20_000]) {
        for count in [0, 1, 2, 3, 4, 5, 9] {
            for offset in [0, 1] {
                let rows = values(dimension * count + offset, 3);
                assert_rows(&values(dimension, 4), &rows[offset..], count);
            }
        }
    }
}

#[test]
fn huge_and_denormal_values_neither_overflow_nor_vanish() {
    for len in LENGTHS.into_iter().filter(|len| *len > 0) {
        for extreme in [1e30, f32::MAX, f32::MIN_POSITIVE, 1e-40, f32::from_bits(1)] {
            let a = vec![extreme; len];
            assert_pair(&a, &a);
            assert_pair(&a, &values(len, 5));
            for kernels in Kernels::all_available() {
                let norm = kernels.norm_squared(&a);
                assert!(norm.is_finite() && norm > 0.0, "{:?}: {extreme:e} squared {len} times is {norm:e}", kernels.level());
            }
        }
    }
}

/// What a sum in `f32` cannot do: two products of 1e12 cancel, and what is left is the small one between them.
#[test]
fn cancellation_leaves_the_small_term() {
    for kernels in Kernels::all_available() {
        let (a, b) = ([1e8f32, 3.0, -1e8], [1e4f32, 7.0, 1e4]);
        assert_eq!(kernels.dot(&a, &b), 21.0, "{:?}", kernels.level());
    }
}

#[test]
fn the_scalar_level_is_always_there_and_the_best_is_last() {
    let available = Kernels::all_available();
    assert_eq!(available.first(), Some(&Kernels::scalar()));
    assert_eq!(available.last(), Some(&Kernels::detect()));
    assert_eq!(Kernels::scalar().level(), Level::Scalar);
}

#[test]
fn every_word_is_read_once() {
    let words: Vec<u64> = (0..200u64).map(|at| (at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
    for len in 0..words.len() {
        let expected = words[..len].iter().fold(0, |seen, word| seen ^ word);
        for kernels in Kernels::all_available() {
            assert_eq!(kernels.read_words(&words[..len]), expected, "{:?}, {len} words", kernels.level());
        }
    }
}

#[test]
#[should_panic(expected = "different dimension")]
fn vectors_of_different_length_are_refused() {
    Kernels::detect().dot(&[1.0], &[1.0, 2.0]);
}

#[test]
#[should_panic(expected = "not one row a score")]
fn a_block_of_another_size_is_refused() {
    Kernels::detect().dot_rows(&[1.0, 2.0], &[1.0, 2.0, 3.0], &mut [0.0]);
}

#[test]
#[should_panic(expected = "more indices or values")]
fn a_sparse_vector_without_a_value_is_refused() {
    Kernels::detect().sparse_dot(&[1, 2], &[1.0], &[], &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_pair_scores_as_the_reference_does((a, b) in pair()) {
        assert_pair(&a, &b);
    }

    #[test]
    fn any_block_scores_as_the_reference_does((query, rows, count) in block()) {
        assert_rows(&query, &rows, count);
    }

    #[test]
    fn sparse_vectors_meet_where_a_map_says((ai, av) in sparse(), (bi, bv) in sparse()) {
        let known: std::collections::HashMap<u32, f32> = bi.iter().copied().zip(bv.iter().copied()).collect();
        let expected = sum(ai.iter().zip(&av).filter_map(|(index, a)| Some(f64::from(*a) * f64::from(*known.get(index)?))));
        for kernels in Kernels::all_available() {
            assert_same(kernels.level(), "sparse_dot", ai.len(), kernels.sparse_dot(&ai, &av, &bi, &bv), expected);
        }
    }
}
