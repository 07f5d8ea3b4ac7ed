//! The plain loops over codes, which all other levels must equal.

use super::{Codes, Estimate};
use crate::codes::{CONSTANTS, PATTERNS, SCAN_BLOCK_LANES, SLICE, scan_block_bytes};

pub(super) fn scan_codes(table: &[u8], blocks: &[u8], first: u32, estimate: Estimate, out: &mut Vec<(u32, f32)>) {
    let mut at = first;
    for block in blocks.chunks_exact(scan_block_bytes(table.len() / 4)) {
        let (codes, constants) = block.split_at(table.len());
        append(estimate, &block_sums(table, codes), constants, at, out);
        at = at.wrapping_add(SCAN_BLOCK_LANES as u32);
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
#[inline(always)]
pub(super) fn append(
    Estimate { base, scale, offset, floor }: Estimate,
    sums: &[u32; SCAN_BLOCK_LANES],
    constants: &[u8],
    first: u32,
    out: &mut Vec<(u32, f32)>,
) {
    let (addends, factors) = constants.split_at(CONSTANTS);
    let constants = addends.as_chunks().0.iter().zip(factors.as_chunks().0);
    let mut values = [f32::NEG_INFINITY; SCAN_BLOCK_LANES];
    for ((value, sum), (addend, factor)) in values.iter_mut().zip(sums).zip(constants) {
        let (addend, factor) = (f32::from_le_bytes(*addend), f32::from_le_bytes(*factor));
        // A sum fits in 31 bits, and the conversion of a signed number is one instruction.
        *value = base + (addend + factor * (scale * sum.cast_signed() as f32 + offset));
    }
    // Mostly none is kept, which one branch tells.
    if values.iter().fold(false, |any, value| any | (*value >= floor)) {
        for (lane, value) in values.iter().enumerate().filter(|(_, value)| **value >= floor) {
            out.push((first.wrapping_add(lane as u32), *value));
        }
    }
}

pub(super) fn code_sums_4(query: &[i8], codes: Codes<'_>, sums: &mut [i32]) {
    let (low, high) = query.split_at(query.len() / 2);
    for (sum, code) in sums.iter_mut().zip(codes.each()) {
        let terms = code.iter().zip(low).zip(high);
        *sum = terms.map(|((byte, low), high)| i32::from(byte & 15) * i32::from(*low) + i32::from(byte >> 4) * i32::from(*high)).sum();
    }
}

pub(super) fn code_sums_8(query: &[i8], codes: Codes<'_>, sums: &mut [i32]) {
    for (sum, code) in sums.iter_mut().zip(codes.each()) {
        *sum = code.iter().zip(query).map(|(byte, value)| i32::from(*byte) * i32::from(*value)).sum();
    }
}
