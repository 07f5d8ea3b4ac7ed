//! The Hadamard transform, the fast part of a rotation.

use crate::Kernels;

impl Kernels {
    /// The Hadamard transform in place, unnormalised: the squared length grows by the number of values. The same bits on
    /// every level.
    ///
    /// # Panics
    /// If the number of values is no power of two.
    pub fn hadamard(self, values: &mut [f32]) {
        assert!(values.len().is_power_of_two(), "a Hadamard transform of {} values", values.len());
        transform(values);
    }
}

fn transform(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (left, right) in left.iter_mut().zip(right) {
                (*left, *right) = (*left + *right, *left - *right);
            }
        }
        half *= 2;
    }
}
