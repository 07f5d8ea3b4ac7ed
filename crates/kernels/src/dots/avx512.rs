//! AVX-512: sixteen `f32` lanes, the rest of a vector by masked loads.

use std::arch::x86_64::*;

use super::{TILE, WIDE};

const LANES: usize = 16;

#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn tile(rows: [&[f32]; TILE], columns: [&[f32]; TILE]) -> [[f32; TILE]; TILE] {
    let mut dots = [[0.0; TILE]; TILE];
    for (dots, sums) in dots.iter_mut().zip(sums(rows, columns)) {
        *dots = totals(sums);
    }
    dots
}

#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn wide(row: &[f32], columns: [&[f32]; WIDE]) -> [f32; WIDE] {
    let [[a, b, c, d, e, f, g, h]] = sums([row], columns);
    let mut dots = [0.0; WIDE];
    let (left, right) = dots.split_at_mut(TILE);
    left.copy_from_slice(&totals([a, b, c, d]));
    right.copy_from_slice(&totals([e, f, g, h]));
    dots
}

/// One accumulator for each pair of vectors, all of one length.
#[inline]
#[target_feature(enable = "avx512f")]
fn sums<const ROWS: usize, const COLUMNS: usize>(rows: [&[f32]; ROWS], columns: [&[f32]; COLUMNS]) -> [[__m512; COLUMNS]; ROWS] {
    let whole = rows[0].len() / LANES;
    let mut sums = [[_mm512_setzero_ps(); COLUMNS]; ROWS];
    let (row_chunks, column_chunks) = (chunks(rows, whole), chunks(columns, whole));
    for at in 0..whole {
        let mut values = [_mm512_setzero_ps(); COLUMNS];
        for (value, column) in values.iter_mut().zip(column_chunks) {
            *value = load(&column[at]);
        }
        for (sums, row) in sums.iter_mut().zip(row_chunks) {
            let row = load(&row[at]);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = _mm512_fmadd_ps(row, value, *sum);
            }
        }
    }
    if !rows[0].len().is_multiple_of(LANES) {
        for (sums, row) in sums.iter_mut().zip(rows) {
            let row = load_rest(row.as_chunks::<LANES>().1);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = _mm512_fmadd_ps(row, load_rest(column.as_chunks::<LANES>().1), *sum);
            }
        }
    }
    sums
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
#[target_feature(enable = "avx512f")]
fn load(chunk: &[f32; LANES]) -> __m512 {
    // SAFETY: the borrowed array is the 64 bytes that the load reads; the load needs no alignment.
    unsafe { _mm512_loadu_ps(chunk.as_ptr()) }
}

/// Fewer than sixteen values, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_rest(rest: &[f32]) -> __m512 {
    debug_assert!(rest.len() < LANES);
    let mask = ((1u32 << rest.len()) - 1) as __mmask16;
    // SAFETY: a masked load touches only the lanes of the mask, which are the values of the slice.
    unsafe { _mm512_maskz_loadu_ps(mask, rest.as_ptr()) }
}

/// The total of each accumulator.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn totals([a, b, c, d]: [__m512; TILE]) -> [f32; TILE] {
    let left = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    let right = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
    let low = _mm512_castpd_ps(_mm512_unpacklo_pd(left, right));
    let quarters = _mm512_add_ps(low, _mm512_castpd_ps(_mm512_unpackhi_pd(left, right)));
    let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(quarters)));
    let halves = _mm256_add_ps(_mm512_castps512_ps256(quarters), upper);
    let total = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves));
    let mut array = [0.0; TILE];
    // SAFETY: the array is the 16 bytes that the store writes; the store needs no alignment.
    unsafe { _mm_storeu_ps(array.as_mut_ptr(), total) };
    array
}
