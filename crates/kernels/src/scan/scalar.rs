//! The plain loops over codes, which all other levels must equal.

use super::Estimate;
use crate::codes::{CONSTANTS, PATTERNS, SCAN_BLOCK_LANES, SLICE, scan_block_bytes};

pub(super) fn scan_codes(table: &[u8], blocks: &[u8], first: u32, estimate: Estimate, out: &mut Vec<(u32, f32)>) {
    let padded = table.len() / 4;
    for (block, at) in blocks.chunks_exact(scan_block_bytes(padded)).zip((first..).step_by(SCAN_BLOCK_LANES)) {
        let (codes, constants) = block.split_at(4 * padded);
        append(estimate, &block_sums(table, codes), constants, at, out);
    }
}

fn block_sums(table: &[u8], codes: &[u8]) -> [u32; SCAN_BLOCK_LANES] {
    let mut sums = [0; SCAN_BLOCK_LANES];
    for (slice, table) in codes.as_chunks::<SLICE>().0.iter().zip(table.as_chunks::<SLICE>().0) {
        for (at, byte) in slice.iter().enumerate() {
            let (vector, entries) = (at / 4, &table[at % 4 * PATTERNS..][..PATTERNS]);
            sums[vector] += u32::from(entries[usize::from(byte & 15)]);
            sums[16 + vector] += u32::from(entries[usize::from(byte >> 4)]);
        }
    }
    sums
}

/// Appends the lanes of a block that are not below the floor.
pub(super) fn append(
    Estimate { base, scale, offset, floor }: Estimate,
    sums: &[u32; SCAN_BLOCK_LANES],
    constants: &[u8],
    first: u32,
    out: &mut Vec<(u32, f32)>,
) {
    let (addends, factors) = constants.split_at(CONSTANTS);
    let (addends, factors) = (addends.as_chunks().0, factors.as_chunks().0);
    for (((sum, addend), factor), position) in sums.iter().zip(addends).zip(factors).zip(first..) {
        let (addend, factor) = (f32::from_le_bytes(*addend), f32::from_le_bytes(*factor));
        let value = base + (addend + factor * (scale * *sum as f32 + offset));
        if value >= floor {
            out.push((position, value));
        }
    }
}

pub(super) fn code_sums_4(query: &[i8], codes: &[u8], stride: usize, positions: &[u32], sums: &mut [i32]) {
    let (low, high) = query.split_at(query.len() / 2);
    for (sum, position) in sums.iter_mut().zip(positions) {
        let code = &codes[*position as usize * stride..][..low.len()];
        let terms = code.iter().zip(low).zip(high);
        *sum = terms.map(|((byte, low), high)| i32::from(byte & 15) * i32::from(*low) + i32::from(byte >> 4) * i32::from(*high)).sum();
    }
}

pub(super) fn code_sums_8(query: &[i8], codes: &[u8], stride: usize, positions: &[u32], sums: &mut [i32]) {
    for (sum, position) in sums.iter_mut().zip(positions) {
        let code = &codes[*position as usize * stride..][..query.len()];
        *sum = code.iter().zip(query).map(|(byte, value)| i32::from(*byte) * i32::from(*value)).sum();
    }
}
