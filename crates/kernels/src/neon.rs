//! NEON: two `f64` lanes, eight sums in flight, the rest of a vector one value at a time.

use std::arch::aarch64::*;

use crate::scalar::term;

/// A load is four `f32`, which widen to two vectors of two `f64`.
const LANES: usize = 4;
/// Loads a turn; there are twice as many sums in flight.
const LOADS: usize = 4;

/// The sum of `TERM` over two vectors of one length.
#[target_feature(enable = "neon")]
pub(crate) fn pair<const TERM: bool>(a: &[f32], b: &[f32]) -> f64 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let (a_blocks, a_chunks) = a_chunks.as_chunks::<LOADS>();
    let (b_blocks, b_chunks) = b_chunks.as_chunks::<LOADS>();
    let mut sums = [[vdupq_n_f64(0.0); 2]; LOADS];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LOADS {
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
#[target_feature(enable = "neon")]
pub(crate) fn rows<const TERM: bool>(query: &[f64], rows: &[f32], out: &mut [f64]) {
    for (score, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
        *score = widened_pair::<TERM>(query, row);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn widened_pair<const TERM: bool>(query: &[f64], row: &[f32]) -> f64 {
    let (query_chunks, query_rest) = query.as_chunks::<LANES>();
    let (row_chunks, row_rest) = row.as_chunks::<LANES>();
    let (query_blocks, query_chunks) = query_chunks.as_chunks::<LOADS>();
    let (row_blocks, row_chunks) = row_chunks.as_chunks::<LOADS>();
    let mut sums = [[vdupq_n_f64(0.0); 2]; LOADS];
    for (query, row) in query_blocks.iter().zip(row_blocks) {
        for lane in 0..LOADS {
            sums[lane] = add::<TERM>(sums[lane], load(&query[lane]), widen(&row[lane]));
        }
    }
    for ((sum, query), row) in sums.iter_mut().zip(query_chunks).zip(row_chunks) {
        *sum = add::<TERM>(*sum, load(query), widen(row));
    }
    let rest: f64 = query_rest.iter().zip(row_rest).map(|(query, row)| term::<TERM>(*query, f64::from(*row))).sum();
    total(sums) + rest
}

#[inline]
#[target_feature(enable = "neon")]
fn add<const TERM: bool>(sum: [float64x2_t; 2], a: [float64x2_t; 2], b: [float64x2_t; 2]) -> [float64x2_t; 2] {
    if TERM == crate::L2 {
        let (low, high) = (vsubq_f64(a[0], b[0]), vsubq_f64(a[1], b[1]));
        [vfmaq_f64(sum[0], low, low), vfmaq_f64(sum[1], high, high)]
    } else {
        [vfmaq_f64(sum[0], a[0], b[0]), vfmaq_f64(sum[1], a[1], b[1])]
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load(chunk: &[f64; LANES]) -> [float64x2_t; 2] {
    let (halves, _) = chunk.as_chunks::<2>();
    // SAFETY: each borrowed half is the 16 bytes that its load reads; the loads need no alignment.
    unsafe { [vld1q_f64(halves[0].as_ptr()), vld1q_f64(halves[1].as_ptr())] }
}

#[inline]
#[target_feature(enable = "neon")]
fn widen(chunk: &[f32; LANES]) -> [float64x2_t; 2] {
    // SAFETY: the borrowed array is the 16 bytes that the load reads; the load needs no alignment.
    let values = unsafe { vld1q_f32(chunk.as_ptr()) };
    [vcvt_f64_f32(vget_low_f32(values)), vcvt_high_f64_f32(values)]
}

#[inline]
#[target_feature(enable = "neon")]
fn total(sums: [[float64x2_t; 2]; LOADS]) -> f64 {
    vaddvq_f64(sums.into_iter().flatten().fold(vdupq_n_f64(0.0), |all, one| vaddq_f64(all, one)))
}
