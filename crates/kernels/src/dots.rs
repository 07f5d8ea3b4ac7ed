//! Products of two small matrices: many vectors against many centres.
//!
//! A tile of a few rows and columns is summed at a time, so that what is loaded once serves several products. Every product has
//! one accumulator of its own in every tile: a pair of vectors gives the same bits wherever it stands.

use crate::{Kernels, Level};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

/// Rows and columns of a tile.
const TILE: usize = 4;
/// Columns of a tile of one row.
const WIDE: usize = 8;
/// Rows stay in the first cache while the columns pass.
const ROW_BYTES: usize = 24 * 1_024;

impl Kernels {
    /// All dot products of two sets of vectors, in `f32`: `out[r * k + c] = <rows[r], columns[c]>`, where `rows` is m ×
    /// `dimension`, `columns` k × `dimension` and `out` m × k. Levels differ in rounding.
    ///
    /// # Panics
    /// If `rows` or `columns` are not whole vectors, or `out` is not m × k.
    pub fn dots_f32(self, dimension: usize, rows: &[f32], columns: &[f32], out: &mut [f32]) {
        if dimension == 0 {
            assert!(rows.is_empty() && columns.is_empty(), "vectors that are not whole");
            return out.fill(0.0);
        }
        assert!(rows.len().is_multiple_of(dimension) && columns.len().is_multiple_of(dimension), "vectors that are not whole");
        let k = columns.len() / dimension;
        assert_eq!((rows.len() / dimension).checked_mul(k), Some(out.len()), "not one dot product a pair of vectors");
        if out.is_empty() {
            return;
        }
        match self.level {
            // SAFETY: a value of this level is only made where the CPU was found to have AVX-512 F and VL.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => by_tiles(
                dimension,
                rows,
                columns,
                out,
                |rows, columns| unsafe { avx512::tile(rows, columns) },
                |row, columns| {
                    // SAFETY: as above.
                    unsafe { avx512::wide(row, columns) }
                },
            ),
            // SAFETY: a value of this level is only made where the CPU was found to have AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => by_tiles(
                dimension,
                rows,
                columns,
                out,
                |rows, columns| unsafe { avx2::tile(rows, columns) },
                |row, columns| {
                    // SAFETY: as above.
                    unsafe { avx2::wide(row, columns) }
                },
            ),
            // SAFETY: a value of this level is only made where the CPU was found to have NEON.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => by_tiles(
                dimension,
                rows,
                columns,
                out,
                |rows, columns| unsafe { neon::tile(rows, columns) },
                |row, columns| {
                    // SAFETY: as above.
                    unsafe { neon::wide(row, columns) }
                },
            ),
            _ => by_tiles(
                dimension,
                rows,
                columns,
                out,
                |rows, columns| rows.map(|row| columns.map(|column| plain(row, column))),
                |row, columns| columns.map(|column| plain(row, column)),
            ),
        }
    }
}

/// Walks the products in tiles. There is at least one row, one column and one dimension.
fn by_tiles(
    dimension: usize,
    rows: &[f32],
    columns: &[f32],
    out: &mut [f32],
    tile: impl Fn([&[f32]; TILE], [&[f32]; TILE]) -> [[f32; TILE]; TILE],
    wide: impl Fn(&[f32], [&[f32]; WIDE]) -> [f32; WIDE],
) {
    let k = columns.len() / dimension;
    let block = (ROW_BYTES / size_of::<f32>() / dimension).max(TILE) / TILE * TILE;
    for (rows, out) in rows.chunks(block * dimension).zip(out.chunks_mut(block * k)) {
        let whole = rows.len() / dimension / TILE * TILE;
        let (rows, last_rows) = rows.split_at(whole * dimension);
        let (out, last_out) = out.split_at_mut(whole * k);
        for first in (0..k).step_by(TILE) {
            let at = first..k.min(first + TILE);
            let columns = some_columns(dimension, columns, first);
            for (rows, out) in rows.chunks_exact(TILE * dimension).zip(out.chunks_exact_mut(TILE * k)) {
                let rows = std::array::from_fn(|row| &rows[row * dimension..][..dimension]);
                for (out, dots) in out.chunks_exact_mut(k).zip(tile(rows, columns)) {
                    out[at.clone()].copy_from_slice(&dots[..at.len()]);
                }
            }
        }
        for (row, out) in last_rows.chunks_exact(dimension).zip(last_out.chunks_exact_mut(k)) {
            for (at, out) in out.chunks_mut(WIDE).enumerate() {
                let dots = wide(row, some_columns(dimension, columns, at * WIDE));
                out.copy_from_slice(&dots[..out.len()]);
            }
        }
    }
}

/// The columns from `first` on; the last one stands for those that are not there.
fn some_columns<const COUNT: usize>(dimension: usize, columns: &[f32], first: usize) -> [&[f32]; COUNT] {
    let last = columns.len() - dimension;
    std::array::from_fn(|at| &columns[((first + at) * dimension).min(last)..][..dimension])
}

fn plain(row: &[f32], column: &[f32]) -> f32 {
    const LANES: usize = 16;
    let ((rows, row_rest), (columns, column_rest)) = (row.as_chunks::<LANES>(), column.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (row, column) in rows.iter().zip(columns) {
        for lane in 0..LANES {
            sums[lane] += row[lane] * column[lane];
        }
    }
    sums.iter().sum::<f32>() + row_rest.iter().zip(column_rest).map(|(a, b)| a * b).sum::<f32>()
}
