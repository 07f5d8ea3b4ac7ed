//! Vectors in memory, one after the other.

use crate::Failure;

/// Rows of equally many values.
pub(crate) struct Matrix {
    values: Vec<f32>,
    dimension: usize,
}

impl Matrix {
    /// Takes the values of all rows; each row must have at least one, and each value must be finite.
    pub(crate) fn new(values: Vec<f32>, dimension: usize) -> Result<Self, Failure> {
        if dimension == 0 || !values.len().is_multiple_of(dimension) {
            return Err(format!("{} values are no rows of {dimension}", values.len()).into());
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(format!("value {} of row {} is {}", at % dimension, at / dimension, values[at]).into());
        }
        Ok(Self { values, dimension })
    }

    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.dimension
    }

    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(crate) fn row(&self, at: usize) -> &[f32] {
        &self.values[at * self.dimension..(at + 1) * self.dimension]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.dimension)
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Bytes of the values as float32.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.values[..])
    }

    /// Keeps the first rows alone.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows.saturating_mul(self.dimension));
    }

    /// Multiplies each row by a factor of its own.
    pub(crate) fn scale(&mut self, mut factor: impl FnMut(usize) -> f32) {
        for (at, row) in self.values.chunks_exact_mut(self.dimension).enumerate() {
            let factor = factor(at);
            row.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

/// The dot product in float32. Sixteen sums that do not wait for each other let the compiler use vector registers.
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<16>(), right.as_chunks::<16>());
    let mut sums = [0.0f32; 16];
    for (left, right) in left.iter().zip(right) {
        for at in 0..16 {
            sums[at] += left[at] * right[at];
        }
    }
    sums.iter().sum::<f32>() + left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum::<f32>()
}

/// The dot product in float64.
pub(crate) fn dot_exact(left: &[f32], right: &[f32]) -> f64 {
    left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
}

/// The same direction with length 1; zero stays zero.
pub(crate) fn unit(values: &mut [f32]) {
    let norm = dot_exact(values, values).sqrt();
    if norm > 0.0 {
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::Values;

    #[test]
    fn both_dot_products_agree() {
        for len in [1, 15, 16, 17, 100] {
            let (left, right) = (Values::new(1).take(len), Values::new(2).take(len));
            assert!((f64::from(dot(&left, &right)) - dot_exact(&left, &right)).abs() < 1e-4, "{len}");
        }
    }

    #[test]
    fn rows_must_be_whole_and_finite() {
        assert!(Matrix::new(vec![1.0; 5], 2).is_err());
        assert!(Matrix::new(vec![], 0).is_err());
        assert!(Matrix::new(vec![1.0, f32::NAN], 2).is_err_and(|error| error.to_string().contains("value 1 of row 0")));
    }
}
