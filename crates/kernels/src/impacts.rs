//! Upper bounds of blocks of rows, added up term by term, and of the rows of one block.
//!
//! A bound grows by a factor times an impact of a byte: the term's greatest in the block, or the row's own. Product and sum are
//! rounded each on its own (no fused steps), so that every level gives the same bits.

use crate::{Kernels, Level};

/// Rows of a block.
pub const IMPACT_ROWS: usize = 64;

/// What one term adds to the sums of a block's rows.
#[derive(Debug, Clone, Copy)]
pub struct ImpactPart<'a> {
    /// What an impact is multiplied with, not negative.
    pub factor: f32,
    /// No product is larger.
    pub most: f32,
    /// Which rows have the term.
    pub rows: u64,
    /// Their impacts, one after the other; what follows is another block's.
    pub impacts: &'a [u8],
}

impl Kernels {
    /// Which of the sums `a[n] + b[n]` are at least `level`, as bits.
    pub fn reaching(self, a: &[f32; IMPACT_ROWS], b: &[f32; IMPACT_ROWS], level: f32) -> u64 {
        match self.level {
            // SAFETY: a value of this level is only made where the CPU was found to have AVX-512 F and VL.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::reaching(a, b, level) },
            // SAFETY: a value of this level is only made where the CPU was found to have AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::reaching(a, b, level) },
            _ => reaching(a, b, level),
        }
    }

    /// Adds the parts to a block's sums one after the other, as long as some sum and `rest`, which is what the parts to come can add at
    /// most, together are at least `level`. Returns which sums of whole rows are, as bits; `sums` are of use for these alone.
    ///
    /// # Panics
    /// If a part has fewer impacts than rows.
    pub fn sum_block(self, sums: &mut [f32; IMPACT_ROWS], parts: &[ImpactPart<'_>], level: f32, rest: f32) -> u64 {
        assert!(parts.iter().all(|part| part.impacts.len() >= part.rows.count_ones() as usize), "not one impact a row");
        match self.level {
            // SAFETY: this is only set where the CPU was found to have AVX-512 F, VL, BW and VBMI2; there are enough impacts.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if self.expand_in_512 => unsafe { avx512::sum_block(sums, parts, level, rest) },
            _ => self.sum_block_by_rows(sums, parts, level, rest),
        }
    }

    /// Row by row, and only rows that have a chance.
    fn sum_block_by_rows(self, sums: &mut [f32; IMPACT_ROWS], parts: &[ImpactPart<'_>], level: f32, mut rest: f32) -> u64 {
        for part in parts {
            let wanted = self.reaching(sums, &[rest; IMPACT_ROWS], level);
            if wanted == 0 {
                return 0;
            }
            rest -= part.most;
            let mut rows = part.rows & wanted;
            while rows != 0 {
                let row = rows.trailing_zeros();
                rows &= rows - 1;
                let before = (part.rows & ((1 << row) - 1)).count_ones();
                sums[row as usize] += part.factor * f32::from(part.impacts[before as usize]);
            }
        }
        self.reaching(sums, &[0.0; IMPACT_ROWS], level)
    }

    /// Hints that the memory at `address` is wanted soon. Nothing is read: any address will do.
    #[inline]
    pub fn prefetch_at<T>(self, address: *const T) {
        // SAFETY: a hint reads nothing and never faults, whatever the address; every x86-64 CPU has the instruction.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

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
fn reaching(a: &[f32; IMPACT_ROWS], b: &[f32; IMPACT_ROWS], level: f32) -> u64 {
    a.iter().zip(b).enumerate().fold(0, |bits, (n, (a, b))| bits | u64::from(*a + *b >= level) << n)
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

    use super::IMPACT_ROWS;

    /// As the plain loop does.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn reaching(a: &[f32; IMPACT_ROWS], b: &[f32; IMPACT_ROWS], level: f32) -> u64 {
        let level = _mm256_set1_ps(level);
        let pairs = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
        pairs.enumerate().fold(0, |bits, (n, (a, b))| {
            // SAFETY: each borrowed array is the 32 bytes that a load reads; the loads need no alignment.
            let sums = unsafe { _mm256_add_ps(_mm256_loadu_ps(a.as_ptr()), _mm256_loadu_ps(b.as_ptr())) };
            let reaching = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(sums, level));
            bits | u64::from(reaching.cast_unsigned()) << (n * 8)
        })
    }

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

    use super::{IMPACT_ROWS, ImpactPart};

    /// Which of four times sixteen sums reach the level.
    #[target_feature(enable = "avx512f,avx512vl")]
    fn at_least(sums: &[__m512; 4], level: f32) -> u64 {
        let level = _mm512_set1_ps(level);
        (0..4).fold(0, |bits, n| bits | u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(sums[n], level)) << (n * 16))
    }

    #[target_feature(enable = "avx512f,avx512vl")]
    fn load(from: &[f32; IMPACT_ROWS]) -> [__m512; 4] {
        // SAFETY: four loads of 64 bytes are the 256 of the borrowed array; they need no alignment.
        [0, 16, 32, 48].map(|at| unsafe { _mm512_loadu_ps(from.as_ptr().add(at)) })
    }

    /// As the plain loop does.
    #[target_feature(enable = "avx512f,avx512vl")]
    pub(super) fn reaching(a: &[f32; IMPACT_ROWS], b: &[f32; IMPACT_ROWS], level: f32) -> u64 {
        let (a, b) = (load(a), load(b));
        at_least(&[0, 1, 2, 3].map(|n| _mm512_add_ps(a[n], b[n])), level)
    }

    /// As the loop by rows does, for all rows: what sums without a chance come to is of no use to anybody.
    ///
    /// # Safety
    /// Every part has at least as many impacts as rows.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512vbmi2,popcnt")]
    pub(super) unsafe fn sum_block(out: &mut [f32; IMPACT_ROWS], parts: &[ImpactPart<'_>], level: f32, mut rest: f32) -> u64 {
        let mut sums = load(out);
        for part in parts {
            let with_rest = [0, 1, 2, 3].map(|n| _mm512_add_ps(sums[n], _mm512_set1_ps(rest)));
            if at_least(&with_rest, level) == 0 {
                return 0;
            }
            rest -= part.most;
            let packed = u64::MAX.checked_shr(64 - part.rows.count_ones()).unwrap_or(0);
            // SAFETY: as many bytes are read as the part has rows, and the caller says that there are so many.
            let packed = unsafe { _mm512_maskz_loadu_epi8(packed, part.impacts.as_ptr().cast()) };
            let impacts = _mm512_maskz_expand_epi8(part.rows, packed);
            let quarters = [
                _mm512_castsi512_si128(impacts),
                _mm512_extracti32x4_epi32::<1>(impacts),
                _mm512_extracti32x4_epi32::<2>(impacts),
                _mm512_extracti32x4_epi32::<3>(impacts),
            ];
            for (n, (sums, impacts)) in sums.iter_mut().zip(quarters).enumerate() {
                let products = _mm512_mul_ps(_mm512_set1_ps(part.factor), _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(impacts)));
                *sums = _mm512_mask_add_ps(*sums, (part.rows >> (n * 16)) as u16, *sums, products);
            }
        }
        let reaching = at_least(&sums, level);
        if reaching != 0 {
            for (n, sums) in sums.into_iter().enumerate() {
                // SAFETY: four stores of 64 bytes are the 256 of the array that is borrowed for writing; they need no alignment.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(n * 16), sums) };
            }
        }
        reaching
    }

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

    use super::{IMPACT_ROWS, ImpactPart};
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

    /// Every part of every row added up, in the same order.
    fn whole_sums(before: &[f32; IMPACT_ROWS], parts: &[ImpactPart<'_>]) -> [f32; IMPACT_ROWS] {
        let mut sums = *before;
        for part in parts {
            let mut impacts = part.impacts.iter();
            for (row, sum) in sums.iter_mut().enumerate().filter(|(row, _)| part.rows >> row & 1 == 1) {
                *sum += part.factor * f32::from(*impacts.next().unwrap_or_else(|| panic!("row {row} has none")));
            }
        }
        sums
    }

    fn levels() -> Vec<Kernels> {
        let all = Kernels::all_available();
        let without_expand = all.iter().map(|kernels| Kernels { expand_in_512: false, ..*kernels });
        without_expand.chain(all.iter().copied()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// Where the bounds hold, the rows that reach the level are those whose whole sums do, with the same bits on every level.
        #[test]
        fn a_blocks_rows_that_reach_the_level_are_found(
            before in proptest::array::uniform32(prop_oneof![2 => Just(0.0f32), 1 => 0.0f32..3.0]),
            terms in proptest::collection::vec(
                (0.0f32..0.01, prop_oneof![1 => any::<u64>(), 1 => any::<u64>().prop_map(|n| n & n.rotate_left(7) & n.rotate_left(31)), 1 => Just(u64::MAX), 1 => Just(0)]),
                0..6,
            ),
            impacts in proptest::collection::vec(any::<u8>(), 64..70),
            level in prop_oneof![4 => 0.001f32..6.0, 1 => Just(f32::NEG_INFINITY), 1 => Just(f32::INFINITY)],
        ) {
            let before: [f32; IMPACT_ROWS] = std::array::from_fn(|n| before[n / 2]);
            let part = |(factor, rows): (f32, u64)| ImpactPart { factor, most: factor * 255.0, rows, impacts: &impacts };
            let parts: Vec<ImpactPart<'_>> = terms.into_iter().map(part).collect();
            // Somewhat more, for the roundings of what is taken away from it.
            let rest = parts.iter().map(|part| part.most).sum::<f32>() * 1.0001 + 1e-6;
            let whole = whole_sums(&before, &parts);
            let expected = whole.iter().enumerate().fold(0u64, |bits, (row, sum)| bits | u64::from(*sum >= level) << row);
            for kernels in levels() {
                let mut sums = before;
                let reaching = kernels.sum_block(&mut sums, &parts, level, rest);
                prop_assert_eq!(reaching, expected, "{:?}", kernels);
                for row in (0..IMPACT_ROWS).filter(|row| reaching >> row & 1 == 1) {
                    prop_assert_eq!(sums[row].to_bits(), whole[row].to_bits(), "{:?} row {}", kernels, row);
                }
                let others = [0.5; IMPACT_ROWS];
                prop_assert_eq!(kernels.reaching(&whole, &others, level), super::reaching(&whole, &others, level), "{:?}", kernels);
            }
        }
    }

    #[test]
    fn a_hint_takes_any_address() {
        Kernels::detect().prefetch_at(std::ptr::null::<u8>());
        Kernels::detect().prefetch_at(std::ptr::from_ref(&[1u8]));
    }

    #[test]
    #[should_panic(expected = "one impact a row")]
    fn rows_without_an_impact_are_refused() {
        let part = ImpactPart { factor: 1.0, most: 255.0, rows: 7, impacts: &[1, 2] };
        Kernels::scalar().sum_block(&mut [0.0; IMPACT_ROWS], &[part], 0.0, 0.0);
    }

    #[test]
    #[should_panic(expected = "one bound a block")]
    fn blocks_without_a_bound_are_refused() {
        Kernels::scalar().add_bounds(1.0, &[1, 2], &mut [0.0]);
    }
}
