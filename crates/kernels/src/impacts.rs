//! Upper bounds of blocks of rows, added up term by term.
//!
//! A block's bound grows by a factor times the term's greatest impact in the block, an eighth of a word. Product and sum are
//! rounded each on its own (no fused steps), so that every level gives the same bits.

use crate::{Kernels, Level};

impl Kernels {
    /// Adds `factor * maxima[block]` to every `bounds[block]`: what a term's greatest impacts add to the bounds of blocks.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add_bounds(self, factor: f32, maxima: &[u8], bounds: &mut [f32]) {
        assert_eq!(maxima.len(), bounds.len(), "not one bound a block");
        match self.level {
            // SAFETY: a value of this level is only made where the CPU was found to have AVX-512 F and VL.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::add_bounds(factor, maxima, bounds) },
            // SAFETY: a value of this level is only made where the CPU was found to have AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::add_bounds(factor, maxima, bounds) },
            // SAFETY: a value of this level is only made where the CPU was found to have NEON.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { neon::add_bounds(factor, maxima, bounds) },
            _ => add_bounds(factor, maxima, bounds),
        }
    }
}

/// The plain loop.
fn add_bounds(factor: f32, maxima: &[u8], bounds: &mut [f32]) {
    for (bound, most) in bounds.iter_mut().zip(maxima) {
        *bound += factor * f32::from(*most);
    }
}

/// Eight lanes.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    /// As the plain loop does.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn add_bounds(factor: f32, maxima: &[u8], bounds: &mut [f32]) {
        let (maxima, maxima_rest) = maxima.as_chunks::<8>();
        let (bounds, bounds_rest) = bounds.as_chunks_mut::<8>();
        let factors = _mm256_set1_ps(factor);
        for (bounds, maxima) in bounds.iter_mut().zip(maxima) {
            let most = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*maxima))));
            // SAFETY: the borrowed array is the 32 bytes that the load reads; the load needs no alignment.
            let sums = _mm256_add_ps(unsafe { _mm256_loadu_ps(bounds.as_ptr()) }, _mm256_mul_ps(factors, most));
            // SAFETY: the array, borrowed for writing, is the 32 bytes that the store writes; the store needs no alignment.
            unsafe { _mm256_storeu_ps(bounds.as_mut_ptr(), sums) };
        }
        super::add_bounds(factor, maxima_rest, bounds_rest);
    }
}

/// Sixteen lanes.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    /// As the plain loop does.
    #[target_feature(enable = "avx512f,avx512vl")]
    pub(super) fn add_bounds(factor: f32, maxima: &[u8], bounds: &mut [f32]) {
        let (maxima, maxima_rest) = maxima.as_chunks::<16>();
        let (bounds, bounds_rest) = bounds.as_chunks_mut::<16>();
        let factors = _mm512_set1_ps(factor);
        for (bounds, maxima) in bounds.iter_mut().zip(maxima) {
            // SAFETY: the borrowed array is the 16 bytes that the load reads; the load needs no alignment.
            let most = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(maxima.as_ptr().cast()) }));
            // SAFETY: the borrowed array is the 64 bytes that the load reads; the load needs no alignment.
            let sums = _mm512_add_ps(unsafe { _mm512_loadu_ps(bounds.as_ptr()) }, _mm512_mul_ps(factors, most));
            // SAFETY: the array, borrowed for writing, is the 64 bytes that the store writes; the store needs no alignment.
            unsafe { _mm512_storeu_ps(bounds.as_mut_ptr(), sums) };
        }
        super::add_bounds(factor, maxima_rest, bounds_rest);
    }
}

/// Two vectors of four lanes.
#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    /// As the plain loop does.
    #[target_feature(enable = "neon")]
    pub(super) fn add_bounds(factor: f32, maxima: &[u8], bounds: &mut [f32]) {
        let (maxima, maxima_rest) = maxima.as_chunks::<8>();
        let (bounds, bounds_rest) = bounds.as_chunks_mut::<8>();
        let factors = vdupq_n_f32(factor);
        for (bounds, maxima) in bounds.iter_mut().zip(maxima) {
            // SAFETY: the borrowed array is the 8 bytes that the load reads; the load needs no alignment.
            let wide = vmovl_u8(unsafe { vld1_u8(maxima.as_ptr()) });
            let most = [vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(wide)))];
            for (bounds, most) in bounds.as_chunks_mut::<4>().0.iter_mut().zip(most) {
                // SAFETY: the borrowed array is the 16 bytes that the load reads; the load needs no alignment.
                let sums = vaddq_f32(unsafe { vld1q_f32(bounds.as_ptr()) }, vmulq_f32(factors, most));
                // SAFETY: the array, borrowed for writing, is the 16 bytes that the store writes; the store needs no alignment.
                unsafe { vst1q_f32(bounds.as_mut_ptr(), sums) };
            }
        }
        super::add_bounds(factor, maxima_rest, bounds_rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::Kernels;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_level_gives_the_same_bits(
            blocks in proptest::collection::vec((any::<u8>(), prop_oneof![3 => 0.0f32..2.0, 1 => proptest::num::f32::ANY]), 0..130),
            factor in prop_oneof![3 => 0.0f32..1.0, 1 => proptest::num::f32::NORMAL | proptest::num::f32::SUBNORMAL],
        ) {
            let (maxima, before): (Vec<u8>, Vec<f32>) = blocks.into_iter().unzip();
            let bits = |bounds: &[f32]| bounds.iter().map(|b| if b.is_nan() { u32::MAX } else { b.to_bits() }).collect::<Vec<_>>();
            let mut expected = before.clone();
            super::add_bounds(factor, &maxima, &mut expected);
            for kernels in Kernels::all_available() {
                let mut bounds = before.clone();
                kernels.add_bounds(factor, &maxima, &mut bounds);
                prop_assert_eq!(bits(&bounds), bits(&expected), "{:?}", kernels.level());
            }
        }
    }

    #[test]
    #[should_panic(expected = "one bound a block")]
    fn blocks_without_a_bound_are_refused() {
        Kernels::scalar().add_bounds(1.0, &[1, 2], &mut [0.0]);
    }
}
