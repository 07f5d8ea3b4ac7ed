//! Scans of 1-bit codes and sums of second codes, on the best instructions of a level.

use crate::{CodeBits, Kernels, ScanQuery, scan_block_bytes};

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
    /// every level. Lanes of the addend -inf are never appended.
    ///
    /// # Panics
    /// If `blocks` are not whole blocks of the query's dimension.
    pub fn scan_codes(self, query: &ScanQuery, blocks: &[u8], first: u32, base: f32, floor: f32, out: &mut Vec<(u32, f32)>) {
        let padded = query.padded();
        assert!(padded.is_multiple_of(64) && query.table.len() == 4 * padded, "the table of a query is not padded");
        assert!(blocks.len().is_multiple_of(scan_block_bytes(padded)), "scan codes that are not whole blocks");
        let estimate = Estimate { base, scale: query.scale, offset: query.offset, floor: floor.max(f32::MIN) };
        scalar::scan_codes(&query.table, blocks, first, estimate, out);
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
        match bits {
            CodeBits::Four => scalar::code_sums_4(query, codes, stride, positions, sums),
            CodeBits::Eight => scalar::code_sums_8(query, codes, stride, positions, sums),
        }
    }
}
