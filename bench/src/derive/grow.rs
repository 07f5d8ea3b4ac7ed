//! New rows between a row and one of its neighbours, and a little aside.

use crate::{
    sets::matrix::{Matrix, unit},
    vectors::Values,
};

/// Of how many nearest rows one is taken.
pub(super) const NEIGHBOURS: usize = 50;
const OWN_SHARE: f32 = 0.7;
const NEIGHBOUR_SHARE: f32 = 0.3;
const NOISE_NORM: f64 = 0.2;

/// Makes row after row.
pub(super) struct Grown<'a> {
    base: &'a Matrix,
    neighbours: &'a [Vec<u32>],
    values: Values,
}

impl<'a> Grown<'a> {
    /// New rows out of these; `neighbours` are those of each row.
    pub(super) fn new(base: &'a Matrix, neighbours: &'a [Vec<u32>], seed: u64) -> Self {
        Self { base, neighbours, values: Values::new(seed) }
    }

    /// The next row, at unit length.
    pub(super) fn next_row(&mut self) -> Vec<f32> {
        let row = self.values.below(self.base.rows());
        let near = &self.neighbours[row];
        let other = if near.is_empty() { row } else { near[self.values.below(near.len())] as usize };
        let noise = NOISE_NORM / (self.base.dimension() as f64).sqrt();
        let pairs = self.base.row(row).iter().zip(self.base.row(other));
        let mut made: Vec<f32> =
            pairs.map(|(own, other)| OWN_SHARE * own + NEIGHBOUR_SHARE * other + (noise * self.values.normal()) as f32).collect();
        unit(&mut made);
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sets::matrix::dot;

    #[test]
    fn a_new_row_lies_by_its_parents_with_noise_of_the_right_length() {
        let dimension = 256;
        let mut rows = vec![0.0; 2 * dimension];
        rows[0] = 1.0;
        rows[dimension + 1] = 1.0;
        let base = Matrix::new(rows, dimension).expect("it is whole");
        let neighbours = [vec![1], vec![0]];
        let mut grown = Grown::new(&base, &neighbours, 2);
        // |0.7 a + 0.3 b|² = 0.58 and noise adds 0.04; the products with the parents are known.
        for _ in 0..50 {
            let row = grown.next_row();
            let (a, b) = (row[0].max(row[1]), row[0].min(row[1]));
            assert!((a - 0.7 / 0.62f32.sqrt()).abs() < 0.1 && (b - 0.3 / 0.62f32.sqrt()).abs() < 0.1, "{a} {b}");
            let aside = dot(&row, &row) - a * a - b * b;
            assert!((aside - 0.04 / 0.62).abs() < 0.03, "{aside}");
        }
    }
}
