//! NEON: a lookup in a table of 64 bytes serves sixteen groups of four dimensions.

use std::arch::aarch64::*;

use super::{Codes, Estimate, scalar};
use crate::codes::{SCAN_BLOCK_LANES, SLICE, scan_block_bytes};

/// Slices after which the sums of 16 bits must be widened: each adds two entries of at most 255.
const SLICES: usize = 128;

#[target_feature(enable = "neon")]
pub(super) fn scan_codes(table: &[u8], blocks: &[u8], first: u32, estimate: Estimate, out: &mut Vec<(u32, f32)>) {
    let mut at = first;
    for block in blocks.chunks_exact(scan_block_bytes(table.len() / 4)) {
        let (codes, constants) = block.split_at(table.len());
        scalar::append(estimate, &block_sums(table, codes), constants, at, out);
        at = at.wrapping_add(SCAN_BLOCK_LANES as u32);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn block_sums(table: &[u8], codes: &[u8]) -> [u32; SCAN_BLOCK_LANES] {
    let group = vreinterpretq_u8_u32(vdupq_n_u32(0x30_20_10_00));
    let low_half = vdupq_n_u8(15);
    let mut sums = [0; SCAN_BLOCK_LANES];
    for (codes, table) in codes.chunks(SLICES * SLICE).zip(table.chunks(SLICES * SLICE)) {
        let (mut low, mut high) = ([vdupq_n_u16(0); 4], [vdupq_n_u16(0); 4]);
        for (slice, table) in codes.as_chunks::<SLICE>().0.iter().zip(table.as_chunks::<SLICE>().0) {
            // SAFETY: the borrowed array is the 64 bytes that the load reads; the load needs no alignment.
            let entries = unsafe { vld1q_u8_x4(table.as_ptr()) };
            for (at, part) in slice.as_chunks::<16>().0.iter().enumerate() {
                let part = load(part);
                low[at] = vpadalq_u8(low[at], vqtbl4q_u8(entries, vorrq_u8(vandq_u8(part, low_half), group)));
                high[at] = vpadalq_u8(high[at], vqtbl4q_u8(entries, vorrq_u8(vshrq_n_u8::<4>(part), group)));
            }
        }
        for (sums, pairs) in sums.as_chunks_mut::<4>().0.iter_mut().zip(low.into_iter().chain(high)) {
            // SAFETY: the array is the 16 bytes that the load reads and the store writes; neither needs alignment.
            unsafe { vst1q_u32(sums.as_mut_ptr(), vpadalq_u16(vld1q_u32(sums.as_ptr()), pairs)) };
        }
    }
    sums
}

#[target_feature(enable = "neon")]
pub(super) fn code_sums_4(query: &[i8], codes: Codes<'_>, sums: &mut [i32]) {
    let (low_query, high_query) = query.split_at(query.len() / 2);
    let low_half = vdupq_n_u8(15);
    for (sum, code) in sums.iter_mut().zip(codes.each()) {
        let parts = code.as_chunks::<16>().0.iter().zip(low_query.as_chunks::<16>().0).zip(high_query.as_chunks::<16>().0);
        let mut lanes = vdupq_n_s32(0);
        for ((part, low), high) in parts {
            let part = load(part);
            lanes = add_products(lanes, vreinterpretq_s8_u8(vandq_u8(part, low_half)), load_query(low));
            lanes = add_products(lanes, vreinterpretq_s8_u8(vshrq_n_u8::<4>(part)), load_query(high));
        }
        *sum = vaddvq_s32(lanes);
    }
}

/// Adds sixteen products that are far within 16 bits.
#[inline]
#[target_feature(enable = "neon")]
fn add_products(lanes: int32x4_t, nibbles: int8x16_t, query: int8x16_t) -> int32x4_t {
    let low = vmull_s8(vget_low_s8(nibbles), vget_low_s8(query));
    vpadalq_s16(lanes, vmlal_high_s8(low, nibbles, query))
}

#[target_feature(enable = "neon")]
pub(super) fn code_sums_8(query: &[i8], codes: Codes<'_>, sums: &mut [i32]) {
    for (sum, code) in sums.iter_mut().zip(codes.each()) {
        let mut lanes = vdupq_n_s32(0);
        for (part, query) in code.as_chunks::<16>().0.iter().zip(query.as_chunks::<16>().0) {
            let (part, query) = (load(part), load_query(query));
            let part = [vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(part))), vreinterpretq_s16_u16(vmovl_high_u8(part))];
            let query = [vmovl_s8(vget_low_s8(query)), vmovl_high_s8(query)];
            for half in 0..2 {
                lanes = vmlal_s16(lanes, vget_low_s16(part[half]), vget_low_s16(query[half]));
                lanes = vmlal_high_s16(lanes, part[half], query[half]);
            }
        }
        *sum = vaddvq_s32(lanes);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load(part: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the borrowed array is the 16 bytes that the load reads; the load needs no alignment.
    unsafe { vld1q_u8(part.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_query(part: &[i8; 16]) -> int8x16_t {
    // SAFETY: the borrowed array is the 16 bytes that the load reads; the load needs no alignment.
    unsafe { vld1q_s8(part.as_ptr()) }
}
