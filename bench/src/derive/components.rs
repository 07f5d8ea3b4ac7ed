//! Principal components: the eigenvectors of the covariance, by Jacobi's rotations.

use std::{num::NonZeroUsize, thread};

use crate::{Failure, sets::matrix::Matrix};

/// Rotations over all pairs; ten are enough for any matrix met so far.
const SWEEPS: usize = 30;

/// The leading components of a set.
pub(super) struct Components {
    mean: Vec<f64>,
    /// One direction after the other, of unit length.
    directions: Vec<Vec<f64>>,
    share: f64,
}

impl Components {
    /// The directions in which the rows vary most.
    pub(super) fn of(base: &Matrix, count: usize) -> Result<Self, Failure> {
        let dimension = base.dimension();
        if !(1..=dimension).contains(&count) {
            return Err(format!("{dimension} dimensions do not have {count} components").into());
        }
        let mut mean = vec![0.0; dimension];
        for row in base.iter() {
            row.iter().zip(&mut mean).for_each(|(value, sum)| *sum += f64::from(*value));
        }
        mean.iter_mut().for_each(|sum| *sum /= base.rows() as f64);
        let (variances, vectors) = eigen(covariance(base, &mean), dimension);
        let mut order: Vec<usize> = (0..dimension).collect();
        order.sort_by(|left, right| variances[*right].total_cmp(&variances[*left]));
        let directions =
            order[..count].iter().map(|at| upright((0..dimension).map(|row| vectors[row * dimension + at]).collect())).collect();
        let of = |part: &[usize]| part.iter().map(|at| variances[*at].max(0.0)).sum::<f64>();
        Ok(Self { mean, directions, share: of(&order[..count]) / of(&order).max(f64::MIN_POSITIVE) })
    }

    /// The share of all variance that these components hold.
    pub(super) fn share(&self) -> f64 {
        self.share
    }

    /// A vector as its components.
    pub(super) fn project(&self, row: &[f32]) -> Vec<f32> {
        let centred: Vec<f64> = row.iter().zip(&self.mean).map(|(value, mean)| f64::from(*value) - mean).collect();
        let along = |direction: &Vec<f64>| direction.iter().zip(&centred).map(|(left, right)| left * right).sum::<f64>() as f32;
        self.directions.iter().map(along).collect()
    }
}

/// Of the two directions the one whose largest part is positive, so that every run gives the same.
fn upright(mut direction: Vec<f64>) -> Vec<f64> {
    let largest = direction.iter().copied().max_by(|left, right| left.abs().total_cmp(&right.abs()));
    if largest.is_some_and(|largest| largest < 0.0) {
        direction.iter_mut().for_each(|value| *value = -*value);
    }
    direction
}

/// The covariance, dimension × dimension.
fn covariance(base: &Matrix, mean: &[f64]) -> Vec<f64> {
    let dimension = base.dimension();
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = base.rows().div_ceil(threads).max(1) * dimension;
    let part = |values: &[f32]| {
        let mut sums = vec![0.0; dimension * dimension];
        for row in values.chunks_exact(dimension) {
            let centred: Vec<f64> = row.iter().zip(mean).map(|(value, mean)| f64::from(*value) - mean).collect();
            for (at, left) in centred.iter().enumerate() {
                sums[at * dimension + at..(at + 1) * dimension]
                    .iter_mut()
                    .zip(&centred[at..])
                    .for_each(|(sum, right)| *sum += left * right);
            }
        }
        sums
    };
    let mut total = thread::scope(|scope| {
        let parts: Vec<_> = base.values().chunks(share).map(|values| scope.spawn(move || part(values))).collect();
        let parts = parts.into_iter().map(|part| part.join().expect("plain loops over checked sizes do not panic"));
        parts.reduce(|sum, part| sum.iter().zip(part).map(|(left, right)| left + right).collect()).unwrap_or_default()
    });
    for row in 0..dimension {
        for column in row..dimension {
            let value = total[row * dimension + column] / base.rows() as f64;
            (total[row * dimension + column], total[column * dimension + row]) = (value, value);
        }
    }
    total
}

/// The eigenvalues of a symmetric matrix, and its eigenvectors as columns in the same order.
fn eigen(mut matrix: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    // The vectors are kept as rows meanwhile, which is how they are read.
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|at| vectors[at * n + at] = 1.0);
    let scale = (0..n).map(|at| matrix[at * n + at].abs()).sum::<f64>().max(f64::MIN_POSITIVE);
    for _ in 0..SWEEPS {
        let aside: f64 = (0..n).flat_map(|row| matrix[row * n + row + 1..(row + 1) * n].iter()).map(|value| value * value).sum();
        if aside.sqrt() <= 1e-12 * scale {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut matrix, &mut vectors, n, p, q);
            }
        }
    }
    let values = (0..n).map(|at| matrix[at * n + at]).collect();
    let columns = (0..n * n).map(|at| vectors[(at % n) * n + at / n]).collect();
    (values, columns)
}

/// Turns the plane of two axes so that the matrix has nothing left between them.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let between = matrix[p * n + q];
    if between == 0.0 {
        return;
    }
    let theta = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * between);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for at in 0..n {
        let (left, right) = (matrix[at * n + p], matrix[at * n + q]);
        (matrix[at * n + p], matrix[at * n + q]) = (cosine * left - sine * right, sine * left + cosine * right);
    }
    turn_rows(matrix, n, p, q, cosine, sine);
    turn_rows(vectors, n, p, q, cosine, sine);
}

fn turn_rows(matrix: &mut [f64], n: usize, p: usize, q: usize, cosine: f64, sine: f64) {
    let (upper, lower) = matrix.split_at_mut(q * n);
    for (left, right) in upper[p * n..(p + 1) * n].iter_mut().zip(&mut lower[..n]) {
        (*left, *right) = (cosine * *left - sine * *right, sine * *left + cosine * *right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::Values;

    #[test]
    fn eigenvectors_are_turned_into_multiples_of_themselves() {
        let n = 12;
        let drawn = Values::new(8).take(n * n);
        let matrix: Vec<f64> = (0..n * n).map(|at| f64::from(drawn[at] + drawn[(at % n) * n + at / n])).collect();
        let (values, vectors) = eigen(matrix.clone(), n);
        for (column, value) in values.iter().enumerate() {
            for row in 0..n {
                let turned: f64 = (0..n).map(|at| matrix[row * n + at] * vectors[at * n + column]).sum();
                assert!((turned - value * vectors[row * n + column]).abs() < 1e-9, "{column} {row}");
            }
        }
    }

    #[test]
    fn components_follow_the_variance() {
        // Long along (1, 1, 0), short along (1, -1, 0), nothing along the third axis, around a mean of (5, 0, 1).
        let mut values = Values::new(9);
        let rows = (0..4_000).flat_map(|_| {
            let (long, short) = (3.0 * values.normal(), values.normal());
            [5.0 + long + short, long - short, 1.0].map(|value| value as f32)
        });
        let base = Matrix::new(rows.collect(), 3).expect("it is whole");
        let components = Components::of(&base, 1).expect("there are three");
        let half = 0.5f32.sqrt();
        let along = components.project(&[5.0 + half, half, 1.0]);
        assert!((along[0] - 1.0).abs() < 0.1, "{along:?}");
        assert!((components.share() - 0.9).abs() < 0.02, "{}", components.share());
        assert!(Components::of(&base, 4).is_err() && Components::of(&base, 0).is_err());
    }
}
