//! The Hadamard transform, the fast part of a rotation.
//!
//! One loop serves all levels, compiled with the instructions of each: it only adds and subtracts, in one order. With those of
//! AVX-512 the compiler makes slower code of it than with AVX2's.

use crate::Kernels;

impl Kernels {
    /// The Hadamard transform in place, unnormalised: the squared length grows by the number of values. The same bits on
    /// every level.
    ///
    /// # Panics
    /// If the number of values is no power of two.
    pub fn hadamard(self, values: &mut [f32]) {
        assert!(values.len().is_power_of_two(), "a Hadamard transform of {} values", values.len());
        match self.level {
            // SAFETY: values of these levels are only made where the CPU was found to have AVX2.
            #[cfg(target_arch = "x86_64")]
            crate::Level::Avx512 | crate::Level::Avx2 => unsafe { transform_avx2(values) },
            _ => transform(values),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn transform_avx2(values: &mut [f32]) {
    transform(values);
}

/// Values that fit in a register.
const LANES: usize = 16;

#[inline(always)]
fn transform(values: &mut [f32]) {
    let (chunks, few) = values.as_chunks_mut::<LANES>();
    for chunk in &mut *chunks {
        *chunk = step::<8>(step::<4>(step::<2>(step::<1>(*chunk))));
    }
    let mut half = 1;
    while half < chunks.len() {
        for pair in chunks.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (left, right) in left.iter_mut().zip(right) {
                for lane in 0..LANES {
                    (left[lane], right[lane]) = (left[lane] + right[lane], left[lane] - right[lane]);
                }
            }
        }
        half *= 2;
    }
    small(few);
}

/// One step within a chunk: sums and differences of the values that are `HALF` apart.
#[inline(always)]
fn step<const HALF: usize>(values: [f32; LANES]) -> [f32; LANES] {
    let mut next = [0.0; LANES];
    for (lane, next) in next.iter_mut().enumerate() {
        let (left, right) = (values[lane & !HALF], values[lane | HALF]);
        *next = if lane & HALF == 0 { left + right } else { left - right };
    }
    next
}

/// The transform of fewer values than fit in a register.
fn small(values: &mut [f32]) {
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
