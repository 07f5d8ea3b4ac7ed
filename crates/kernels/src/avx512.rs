//! AVX-512: eight `f64` lanes, four sums in flight, the rest of a vector by masked loads.

use std::arch::x86_64::*;

use crate::prefetch;

const LANES: usize = 8;
/// Sums in flight: an addition takes four cycles, and two can start each cycle.
const SUMS: usize = 4;
/// Chunks of `f32` in a cache line.
const LINE: usize = 2;

/// The sum of `TERM` over two vectors of one length.
#[target_feature(enable = "avx512f,avx512vl")]
pub(crate) fn pair<const TERM: bool>(a: &[f32], b: &[f32]) -> f64 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let (a_blocks, a_chunks) = a_chunks.as_chunks::<SUMS>();
    let (b_blocks, b_chunks) = b_chunks.as_chunks::<SUMS>();
    let mut sums = [_mm512_setzero_pd(); SUMS];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..SUMS {
            sums[lane] = add::<TERM>(sums[lane], widen(&a[lane]), widen(&b[lane]));
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_chunks).zip(b_chunks) {
        *sum = add::<TERM>(*sum, widen(a), widen(b));
    }
    sums[SUMS - 1] = add::<TERM>(sums[SUMS - 1], widen_rest(a_rest), widen_rest(b_rest));
    total(sums)
}

/// The sum of `TERM` over the query and each row of the block, all rows of the query's length, one row a score.
#[target_feature(enable = "avx512f,avx512vl")]
pub(crate) fn rows<const TERM: bool>(query: &[f64], rows: &[f32], out: &mut [f64]) {
    let (scores, last_score) = out.as_chunks_mut::<2>();
    let mut rows = rows.chunks_exact(query.len());
    for scores in scores {
        if let (Some(first), Some(second)) = (rows.next(), rows.next()) {
            *scores = two_rows::<TERM>(query, [first, second]);
        }
    }
    if let ([score], Some(row)) = (last_score, rows.next()) {
        [*score, _] = two_rows::<TERM>(query, [row, row]);
    }
}

/// Two rows at a time share the loads of the query, and a turn is one cache line of each row.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn two_rows<const TERM: bool>(query: &[f64], rows: [&[f32]; 2]) -> [f64; 2] {
    let (query_chunks, query_rest) = query.as_chunks::<LANES>();
    let (query_lines, query_chunks) = query_chunks.as_chunks::<LINE>();
    let [(first_lines, first_rest), (second_lines, second_rest)] = rows.map(|row| row.as_chunks::<{ LANES * LINE }>());
    let mut sums = [[_mm512_setzero_pd(); LINE]; 2];
    for ((query, first), second) in query_lines.iter().zip(first_lines).zip(second_lines) {
        prefetch::ahead_of(first);
        prefetch::ahead_of(second);
        let (first, second) = (first.as_chunks().0, second.as_chunks().0);
        for chunk in 0..LINE {
            let query = load(&query[chunk]);
            sums[0][chunk] = add::<TERM>(sums[0][chunk], query, widen(&first[chunk]));
            sums[1][chunk] = add::<TERM>(sums[1][chunk], query, widen(&second[chunk]));
        }
    }
    for (sums, rest) in sums.iter_mut().zip([first_rest, second_rest]) {
        let (chunks, rest) = rest.as_chunks::<LANES>();
        for (query, chunk) in query_chunks.iter().zip(chunks) {
            sums[0] = add::<TERM>(sums[0], load(query), widen(chunk));
        }
        if !rest.is_empty() {
            sums[1] = add::<TERM>(sums[1], load_rest(query_rest), widen_rest(rest));
        }
    }
    sums.map(|[left, right]| _mm512_reduce_add_pd(_mm512_add_pd(left, right)))
}

/// The exclusive or of all words.
#[target_feature(enable = "avx512f,avx512vl")]
pub(crate) fn read_words(words: &[u64]) -> u64 {
    let (chunks, rest) = words.as_chunks::<LANES>();
    let (blocks, chunks) = chunks.as_chunks::<SUMS>();
    let mut seen = [_mm512_setzero_si512(); SUMS];
    for block in blocks {
        for lane in 0..SUMS {
            // SAFETY: the borrowed array is the 64 bytes that the load reads; the load needs no alignment.
            let words = unsafe { _mm512_loadu_si512(block[lane].as_ptr().cast()) };
            seen[lane] = _mm512_xor_si512(seen[lane], words);
        }
    }
    let both = _mm512_xor_si512(_mm512_xor_si512(seen[0], seen[1]), _mm512_xor_si512(seen[2], seen[3]));
    let mut lanes = [0u64; LANES];
    // SAFETY: the array is the 64 bytes that the store writes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), both) };
    lanes.iter().chain(chunks.as_flattened()).chain(rest).fold(0, |seen, word| seen ^ word)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add<const TERM: bool>(sum: __m512d, a: __m512d, b: __m512d) -> __m512d {
    if TERM == crate::L2 {
        let difference = _mm512_sub_pd(a, b);
        _mm512_fmadd_pd(difference, difference, sum)
    } else {
        _mm512_fmadd_pd(a, b, sum)
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(chunk: &[f64; LANES]) -> __m512d {
    // SAFETY: the borrowed array is the 64 bytes that the load reads; the load needs no alignment.
    unsafe { _mm512_loadu_pd(chunk.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn widen(chunk: &[f32; LANES]) -> __m512d {
    // SAFETY: the borrowed array is the 32 bytes that the load reads; the load needs no alignment.
    _mm512_cvtps_pd(unsafe { _mm256_loadu_ps(chunk.as_ptr()) })
}

/// Up to eight values, zeros behind them: a zero on both sides adds nothing to either sum.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_rest(rest: &[f64]) -> __m512d {
    // SAFETY: a masked load touches only the lanes of the mask, which are the values of the slice.
    unsafe { _mm512_maskz_loadu_pd(mask(rest.len()), rest.as_ptr()) }
}

/// See [`load_rest`].
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn widen_rest(rest: &[f32]) -> __m512d {
    // SAFETY: a masked load touches only the lanes of the mask, which are the values of the slice.
    _mm512_cvtps_pd(unsafe { _mm256_maskz_loadu_ps(mask(rest.len()), rest.as_ptr()) })
}

/// The mask of the first `len` of eight lanes. The loads above are sound because it never names more than `len`.
#[inline]
fn mask(len: usize) -> __mmask8 {
    debug_assert!(len < LANES);
    (1 << len) - 1
}

#[inline]
#[target_feature(enable = "avx512f")]
fn total(sums: [__m512d; SUMS]) -> f64 {
    _mm512_reduce_add_pd(_mm512_add_pd(_mm512_add_pd(sums[0], sums[1]), _mm512_add_pd(sums[2], sums[3])))
}
