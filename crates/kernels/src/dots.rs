//! Products of two small matrices: many vectors against many centres.

use crate::Kernels;

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
        if k > 0 {
            plain(dimension, rows, columns, out);
        }
    }
}

const LANES: usize = 16;

fn plain(dimension: usize, rows: &[f32], columns: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(dimension).zip(out.chunks_exact_mut(columns.len() / dimension)) {
        for (column, out) in columns.chunks_exact(dimension).zip(out) {
            let ((rows, row_rest), (columns, column_rest)) = (row.as_chunks::<LANES>(), column.as_chunks::<LANES>());
            let mut sums = [0.0; LANES];
            for (row, column) in rows.iter().zip(columns) {
                for lane in 0..LANES {
                    sums[lane] += row[lane] * column[lane];
                }
            }
            *out = sums.iter().sum::<f32>() + row_rest.iter().zip(column_rest).map(|(a, b)| a * b).sum::<f32>();
        }
    }
}
