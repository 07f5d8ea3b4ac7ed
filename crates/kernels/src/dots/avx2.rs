//! AVX2 with FMA: eight `f32` lanes, the rest of a vector one value at a time.

use std::arch::x86_64::*;

use super::{TILE, WIDE};

const LANES: usize = 8;

/// Two rows at a time: four would need more accumulators than there are registers.
#[target_feature(enable = "avx2,fma")]
pub(super) fn tile([a, b, c, d]: [&[f32]; TILE], columns: [&[f32]; TILE]) -> [[f32; TILE]; TILE] {
    let [a, b] = products([a, b], columns);
    let [c, d] = products([c, d], columns);
    [a, b, c, d]
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn wide(row: &[f32], columns: [&[f32]; WIDE]) -> [f32; WIDE] {
    let [dots] = products([row], columns);
    dots
}

/// The dot products of vectors of one length, an accumulator for each.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn products<const ROWS: usize, const COLUMNS: usize>(rows: [&[f32]; ROWS], columns: [&[f32]; COLUMNS]) -> [[f32; COLUMNS]; ROWS] {
    let whole = rows[0].len() / LANES;
    let mut sums = [[_mm256_setzero_ps(); COLUMNS]; ROWS];
    let (row_chunks, column_chunks) = (chunks(rows, whole), chunks(columns, whole));
    for at in 0..whole {
        let mut values = [_mm256_setzero_ps(); ROWS];
        for (value, row) in values.iter_mut().zip(row_chunks) {
            *value = load(&row[at]);
        }
        for (number, column) in column_chunks.iter().enumerate() {
            let column = load(&column[at]);
            for (sums, row) in sums.iter_mut().zip(values) {
                sums[number] = _mm256_fmadd_ps(row, column, sums[number]);
            }
        }
    }
    let mut dots = [[0.0; COLUMNS]; ROWS];
    for ((dots, sums), row) in dots.iter_mut().zip(sums).zip(rows) {
        for ((dot, sum), column) in dots.iter_mut().zip(sums).zip(columns) {
            let rest = row[whole * LANES..].iter().zip(&column[whole * LANES..]);
            *dot = total(sum) + rest.map(|(a, b)| a * b).sum::<f32>();
        }
    }
    dots
}

/// The whole chunks of some vectors. A loop, since a closure with the instructions of this level would not be inlined.
#[inline(always)]
fn chunks<const COUNT: usize>(vectors: [&[f32]; COUNT], whole: usize) -> [&[[f32; LANES]]; COUNT] {
    let mut chunks: [&[[f32; LANES]]; COUNT] = [&[]; COUNT];
    for (chunks, vector) in chunks.iter_mut().zip(vectors) {
        *chunks = &vector.as_chunks().0[..whole];
    }
    chunks
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(chunk: &[f32; LANES]) -> __m256 {
    // SAFETY: the borrowed array is the 32 bytes that the load reads; the load needs no alignment.
    unsafe { _mm256_loadu_ps(chunk.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn total(sum: __m256) -> f32 {
    let quarters = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let pairs = _mm_add_ps(quarters, _mm_movehl_ps(quarters, quarters));
    _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)))
}
