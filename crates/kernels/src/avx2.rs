//! AVX2 with FMA: four `f64` lanes, eight sums in flight, the rest of a vector one value at a time.

use std::arch::x86_64::*;

use crate::prefetch;
use crate::scalar::term;

const LANES: usize = 4;
/// Sums in flight: an addition takes four cycles, and two can start each cycle.
const SUMS: usize = 8;
/// Chunks of `f32` in a cache line.
const LINE: usize = 4;

/// The sum of `TERM` over two vectors of one length.
#[target_feature(enable = "avx2,fma")]
pub(crate) fn pair<const TERM: bool>(a: &[f32], b: &[f32]) -> f64 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let (a_blocks, a_chunks) = a_chunks.as_chunks::<SUMS>();
    let (b_blocks, b_chunks) = b_chunks.as_chunks::<SUMS>();
    let mut sums = [_mm256_setzero_pd(); SUMS];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..SUMS {
            sums[lane] = add::<TERM>(sums[lane], widen(&a[lane]), widen(&b[lane]));
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_chunks).zip(b_chunks) {
        *sum = add::<TERM>(*sum, widen(a), widen(b));
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| term::<TERM>(f64::from(*a), f64::from(*b))).sum();
    total(sums) + rest
}

/// The sum of `TERM` over the query and each row of the block, all rows of the query's length, one row a score.
#[target_feature(enable = "avx2,fma")]
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
#[target_feature(enable = "avx2,fma")]
fn two_rows<const TERM: bool>(query: &[f64], rows: [&[f32]; 2]) -> [f64; 2] {
    let (query_lines, query_rest) = query.as_chunks::<{ LANES * LINE }>();
    let [(first_lines, first_rest), (second_lines, second_rest)] = rows.map(|row| row.as_chunks::<{ LANES * LINE }>());
    let mut sums = [[_mm256_setzero_pd(); LINE]; 2];
    for ((query, first), second) in query_lines.iter().zip(first_lines).zip(second_lines) {
        prefetch::ahead_of(first);
        prefetch::ahead_of(second);
        let (query, first, second) = (query.as_chunks().0, first.as_chunks().0, second.as_chunks().0);
        for chunk in 0..LINE {
            let query = load(&query[chunk]);
            sums[0][chunk] = add::<TERM>(sums[0][chunk], query, widen(&first[chunk]));
            sums[1][chunk] = add::<TERM>(sums[1][chunk], query, widen(&second[chunk]));
        }
    }
    let rest = |rest: &[f32]| query_rest.iter().zip(rest).map(|(query, value)| term::<TERM>(*query, f64::from(*value))).sum::<f64>();
    [total(sums[0]) + rest(first_rest), total(sums[1]) + rest(second_rest)]
}

/// The exclusive or of all words.
#[target_feature(enable = "avx2")]
pub(crate) fn read_words(words: &[u64]) -> u64 {
    let (chunks, rest) = words.as_chunks::<LANES>();
    let (blocks, chunks) = chunks.as_chunks::<SUMS>();
    let mut seen = [_mm256_setzero_si256(); SUMS];
    for block in blocks {
        for lane in 0..SUMS {
            // SAFETY: the borrowed array is the 32 bytes that the load reads; the load needs no alignment.
            let words = unsafe { _mm256_loadu_si256(block[lane].as_ptr().cast()) };
            seen[lane] = _mm256_xor_si256(seen[lane], words);
        }
    }
    let all = seen.into_iter().fold(_mm256_setzero_si256(), |all, one| _mm256_xor_si256(all, one));
    let mut lanes = [0u64; LANES];
    // SAFETY: the array is the 32 bytes that the store writes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), all) };
    lanes.iter().chain(chunks.as_flattened()).chain(rest).fold(0, |seen, word| seen ^ word)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add<const TERM: bool>(sum: __m256d, a: __m256d, b: __m256d) -> __m256d {
    if TERM == crate::L2 {
        let difference = _mm256_sub_pd(a, b);
        _mm256_fmadd_pd(difference, difference, sum)
    } else {
        _mm256_fmadd_pd(a, b, sum)
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(chunk: &[f64; LANES]) -> __m256d {
    // SAFETY: the borrowed array is the 32 bytes that the load reads; the load needs no alignment.
    unsafe { _mm256_loadu_pd(chunk.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn widen(chunk: &[f32; LANES]) -> __m256d {
    // SAFETY: the borrowed array is the 16 bytes that the load reads; the load needs no alignment.
    _mm256_cvtps_pd(unsafe { _mm_loadu_ps(chunk.as_ptr()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn total<const COUNT: usize>(sums: [__m256d; COUNT]) -> f64 {
    let all = sums.into_iter().fold(_mm256_setzero_pd(), |all, one| _mm256_add_pd(all, one));
    let halves = _mm_add_pd(_mm256_castpd256_pd128(all), _mm256_extractf128_pd::<1>(all));
    _mm_cvtsd_f64(_mm_add_sd(halves, _mm_unpackhi_pd(halves, halves)))
}
