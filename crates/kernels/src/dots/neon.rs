//! NEON: four `f32` lanes, the rest of a vector one value at a time.

use std::arch::aarch64::*;

use super::{TILE, WIDE};

const LANES: usize = 4;

#[target_feature(enable = "neon")]
pub(super) fn tile(rows: [&[f32]; TILE], columns: [&[f32]; TILE]) -> [[f32; TILE]; TILE] {
    products(rows, columns)
}

#[target_feature(enable = "neon")]
pub(super) fn wide(row: &[f32], columns: [&[f32]; WIDE]) -> [f32; WIDE] {
    let [dots] = products([row], columns);
    dots
}

/// The dot products of vectors of one length, an accumulator for each.
#[inline]
#[target_feature(enable = "neon")]
fn products<const ROWS: usize, const COLUMNS: usize>(rows: [&[f32]; ROWS], columns: [&[f32]; COLUMNS]) -> [[f32; COLUMNS]; ROWS] {
    let whole = rows[0].len() / LANES;
    let mut sums = [[vdupq_n_f32(0.0); COLUMNS]; ROWS];
    let (row_chunks, column_chunks) = (chunks(rows, whole), chunks(columns, whole));
    for at in 0..whole {
        let mut values = [vdupq_n_f32(0.0); ROWS];
        for (value, row) in values.iter_mut().zip(row_chunks) {
            *value = load(&row[at]);
        }
        for (number, column) in column_chunks.iter().enumerate() {
            let column = load(&column[at]);
            for (sums, row) in sums.iter_mut().zip(values) {
                sums[number] = vfmaq_f32(sums[number], row, column);
            }
        }
    }
    let mut dots = [[0.0; COLUMNS]; ROWS];
    for ((dots, sums), row) in dots.iter_mut().zip(sums).zip(rows) {
        for ((dot, sum), column) in dots.iter_mut().zip(sums).zip(columns) {
            let rest = row[whole * LANES..].iter().zip(&column[whole * LANES..]);
            *dot = vaddvq_f32(sum) + rest.map(|(a, b)| a * b).sum::<f32>();
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
#[target_feature(enable = "neon")]
fn load(chunk: &[f32; LANES]) -> float32x4_t {
    // SAFETY: the borrowed array is the 16 bytes that the load reads; the load needs no alignment.
    unsafe { vld1q_f32(chunk.as_ptr()) }
}
