//! Scans of 1-bit codes and sums of second codes, on the best instructions of a level.

use crate::{CodeBits, Kernels, Level, ScanQuery, scan_block_bytes};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

/// What turns a sum into an estimate, the same for all vectors of a scan.
///
/// Every product and sum is rounded on its own, so that all levels give the same bits.
#[derive(Clone, Copy)]
struct Estimate {
    base: f32,
    scale: f32,
    offset: f32,
    floor: f32,
}

impl Kernels {
    /// Estimates the vectors of whole scan blocks and appends `(first + position, estimate)` of each whose estimate
    /// is not below `floor`, in order. `estimate = base + (addend + factor * (scale * sum + offset))`, the same bits on
    /// every level. Lanes of the addend -inf are never appended, whatever the floor.
    ///
    /// # Panics
    /// If `blocks` are not whole blocks of the query's dimension, or that is no multiple of 64.
    pub fn scan_codes(self, query: &ScanQuery, blocks: &[u8], first: u32, base: f32, floor: f32, out: &mut Vec<(u32, f32)>) {
        self.scan_codes_before(&[], query, blocks, first, base, floor, out);
    }

    /// The same, while the blocks that will be scanned `next`, of any length, are asked for.
    ///
    /// # Panics
    /// As [`Self::scan_codes`] does.
    #[expect(clippy::too_many_arguments, reason = "a scan, and what comes after it")]
    pub fn scan_codes_before(
        self,
        next: &[u8],
        query: &ScanQuery,
        blocks: &[u8],
        first: u32,
        base: f32,
        floor: f32,
        out: &mut Vec<(u32, f32)>,
    ) {
        let (table, padded) = (&query.table[..], query.padded());
        assert!(padded.is_multiple_of(64) && table.len() == 4 * padded, "the table of a query is not padded");
        assert!(blocks.len().is_multiple_of(scan_block_bytes(padded)), "scan codes that are not whole blocks");
        let estimate = Estimate { base, scale: query.scale, offset: query.offset, floor: floor.max(f32::MIN) };
        #[cfg(target_arch = "x86_64")]
        if self.bytes_in_512 {
            // What lies in step with these blocks is asked for in step, the rest at once.
            self.prefetch(next.get(blocks.len()..).unwrap_or_default());
            // SAFETY: the field is only set where the CPU was found to have AVX-512 F, VL, BW, VBMI and VNNI.
            return unsafe { avx512::scan_codes(table, blocks, next, first, estimate, out) };
        }
        self.prefetch(next);
        match self.level {
            // SAFETY: values of these levels are only made where the CPU was found to have AVX2.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx2 => unsafe { avx2::scan_codes(table, blocks, first, estimate, out) },
            // SAFETY: a value of this level is only made where the CPU was found to have NEON.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { neon::scan_codes(table, blocks, first, estimate, out) },
            _ => scalar::scan_codes(table, blocks, first, estimate, out),
        }
    }

    /// Hints that a slice will be read soon, so that it is on its way while other work is done. Reads nothing.
    pub fn prefetch<T>(self, slice: &[T]) {
        #[cfg(target_arch = "x86_64")]
        crate::prefetch::whole(slice);
        #[cfg(not(target_arch = "x86_64"))]
        let _ = slice;
    }

    /// The dot products of a query with the codes at some positions: `sums[i] = Σ code[positions[i]][j] · query[j]` over the
    /// dimensions j, the same on every level. A code begins every `stride` bytes.
    ///
    /// # Panics
    /// If the query is not padded to a multiple of 64, `positions` and `sums` differ in length, or `codes` ends before the
    /// code at a position.
    pub fn code_sums(self, bits: CodeBits, query: &[i8], codes: &[u8], stride: usize, positions: &[u32], sums: &mut [i32]) {
        assert!(query.len().is_multiple_of(64), "{} dimensions are not padded", query.len());
        assert_eq!(positions.len(), sums.len(), "not one sum a position");
        let codes = Codes::new(codes, stride, bits.code_bytes(query.len()), positions);
        match (self.level, bits) {
            // SAFETY: the field is only set where the CPU was found to have AVX-512 F, VL, BW, VBMI and VNNI.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, CodeBits::Four) if self.bytes_in_512 => unsafe { avx512::code_sums_4(query, codes, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, CodeBits::Eight) if self.bytes_in_512 => unsafe { avx512::code_sums_8(query, codes, sums) },
            // SAFETY: values of these levels are only made where the CPU was found to have AVX2.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512 | Level::Avx2, CodeBits::Four) => unsafe { avx2::code_sums_4(query, codes, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512 | Level::Avx2, CodeBits::Eight) => unsafe { avx2::code_sums_8(query, codes, sums) },
            // SAFETY: a value of this level is only made where the CPU was found to have NEON.
            #[cfg(target_arch = "aarch64")]
            (Level::Neon, CodeBits::Four) => unsafe { neon::code_sums_4(query, codes, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            (Level::Neon, CodeBits::Eight) => unsafe { neon::code_sums_8(query, codes, sums) },
            (_, CodeBits::Four) => scalar::code_sums_4(query, codes, sums),
            (_, CodeBits::Eight) => scalar::code_sums_8(query, codes, sums),
        }
    }
}

/// The codes at some positions, each asked for a while before its turn: they lie anywhere, so that nothing else would.
#[derive(Clone, Copy)]
struct Codes<'a> {
    codes: &'a [u8],
    stride: usize,
    bytes: usize,
    positions: &'a [u32],
}

impl<'a> Codes<'a> {
    /// How many codes are on their way from memory.
    const AHEAD: usize = 8;

    fn new(codes: &'a [u8], stride: usize, bytes: usize, positions: &'a [u32]) -> Self {
        let codes = Self { codes, stride, bytes, positions };
        for at in 0..Self::AHEAD {
            codes.ask_for(at);
        }
        codes
    }

    /// The code of one position after the other.
    #[inline(always)]
    fn each(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.positions.len()).map(move |at| {
            self.ask_for(at + Self::AHEAD);
            &self.codes[self.start(self.positions[at])..][..self.bytes]
        })
    }

    #[inline(always)]
    fn ask_for(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        if let Some(code) = self.positions.get(at).and_then(|position| self.codes.get(self.start(*position)..)) {
            // What belongs to a code follows it.
            crate::prefetch::whole(&code[..self.stride.min(code.len())]);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    #[inline(always)]
    fn start(&self, position: u32) -> usize {
        (position as usize).saturating_mul(self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A CPU with AVX-512, but not with the extensions for bytes: no machine of ours, so that no other test meets it.
    #[test]
    fn without_the_extensions_for_bytes_results_are_the_same() {
        let query = ScanQuery { table: (0..=255).collect(), scale: 0.25, offset: -3.0 };
        let bytes: Vec<u8> = (0..scan_block_bytes(64) * 3).map(|at| (at * at + at / 7) as u8 & 0x3F).collect();
        let values: Vec<i8> = (-32..32).collect();
        let positions = [4, 0, 7, 7];
        let results = |kernels: Kernels| {
            let (mut found, mut four, mut eight) = (Vec::new(), [0; 4], [0; 4]);
            kernels.scan_codes(&query, &bytes, 10, 1.0, 2.0, &mut found);
            kernels.code_sums(CodeBits::Four, &values, &bytes, 40, &positions, &mut four);
            kernels.code_sums(CodeBits::Eight, &values, &bytes, 64, &positions, &mut eight);
            (found, four, eight)
        };
        let expected = results(Kernels::scalar());
        assert!((5..90).contains(&expected.0.len()), "{} of 96 found", expected.0.len());
        for kernels in Kernels::all_available() {
            assert_eq!(results(Kernels { bytes_in_512: false, ..kernels }), expected, "{:?}", kernels.level());
        }
    }
}
