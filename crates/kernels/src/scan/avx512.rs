//! AVX-512 with VBMI and VNNI: one instruction looks up 64 groups of four dimensions, one adds up the four of a vector.

use std::{arch::x86_64::*, mem::offset_of};

use super::{Codes, Estimate};
use crate::{
    codes::{CONSTANTS, SCAN_BLOCK_LANES, SLICE, scan_block_bytes},
    prefetch::{self, AHEAD_BYTES},
};

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni")]
pub(super) fn scan_codes(table: &[u8], blocks: &[u8], next: &[u8], first: u32, estimate: Estimate, out: &mut Vec<(u32, f32)>) {
    let bytes = scan_block_bytes(table.len() / 4);
    let to_next = next.as_ptr().addr().wrapping_sub(blocks.as_ptr().addr());
    // What lies behind the last block is not scanned next: asking for it would double the reads of a short scan. If it is known what is,
    // these blocks were asked for before.
    let ahead = |at: usize, behind: usize| match next.len() {
        0 if behind >= AHEAD_BYTES => AHEAD_BYTES,
        len if at < len => to_next,
        _ => 0,
    };
    let table = table.as_chunks().0;
    let mut rest = blocks;
    let mut at = first;
    while let Some((pair, behind)) = rest.split_at_checked(2 * bytes) {
        let (left, right) = pair.split_at(bytes);
        let ahead = ahead(blocks.len() - rest.len(), behind.len());
        scan(table, [left, right], ahead, at, estimate, out);
        rest = behind;
        at = at.wrapping_add(2 * SCAN_BLOCK_LANES as u32);
    }
    if !rest.is_empty() {
        scan(table, [rest], ahead(blocks.len() - rest.len(), 0), at, estimate, out);
    }
}

/// Two slices, whose sums are apart: an addition need not wait for the last one.
const TURN: usize = 2 * SLICE;

/// Scans some neighbouring blocks together, which share the loads of the table.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni")]
fn scan<const BLOCKS: usize>(
    table: &[[u8; TURN]],
    blocks: [&[u8]; BLOCKS],
    ahead: usize,
    first: u32,
    estimate: Estimate,
    out: &mut Vec<(u32, f32)>,
) {
    // Loops, since closures with the instructions of this level would not be inlined.
    let mut codes: [&[[u8; TURN]]; BLOCKS] = [&[]; BLOCKS];
    for (codes, block) in codes.iter_mut().zip(blocks) {
        *codes = &block.as_chunks().0[..table.len()];
    }
    let group = _mm512_set1_epi32(0x30_20_10_00);
    let low_half = _mm512_set1_epi8(15);
    let ones = _mm512_set1_epi8(1);
    let mut sums = [[[_mm512_setzero_si512(); 2]; BLOCKS]; 2];
    for (at, entries) in table.iter().enumerate() {
        for (number, entries) in entries.as_chunks().0.iter().enumerate() {
            let entries = load(entries);
            for (codes, sums) in codes.iter().zip(&mut sums[number]) {
                let slice = &codes[at].as_chunks::<SLICE>().0[number];
                prefetch::near_by(slice, ahead);
                let low = load(slice);
                let high = _mm512_srli_epi16::<4>(low);
                for (sum, nibbles) in sums.iter_mut().zip([low, high]) {
                    // (nibbles & low_half) | group
                    let index = _mm512_ternarylogic_epi32::<0xEA>(nibbles, low_half, group);
                    *sum = _mm512_dpbusd_epi32(*sum, _mm512_permutexvar_epi8(index, entries), ones);
                }
            }
        }
    }
    for (block, bytes) in blocks.iter().enumerate() {
        let (addends, factors) = bytes[table.len() * TURN..].split_at(CONSTANTS);
        let constants = addends.as_chunks().0.iter().zip(factors.as_chunks().0);
        for (half, (addends, factors)) in constants.enumerate() {
            prefetch::near_by(addends, ahead);
            prefetch::near_by(factors, ahead);
            let sum = _mm512_add_epi32(sums[0][block][half], sums[1][block][half]);
            let position = first.wrapping_add((block * SCAN_BLOCK_LANES + half * 16) as u32);
            append(estimate, sum, addends, factors, position, out);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn append(
    Estimate { base, scale, offset, floor }: Estimate,
    sums: __m512i,
    addends: &[u8; 64],
    factors: &[u8; 64],
    first: u32,
    out: &mut Vec<(u32, f32)>,
) {
    let steps = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_cvtepi32_ps(sums));
    let product = _mm512_mul_ps(_mm512_castsi512_ps(load(factors)), _mm512_add_ps(steps, _mm512_set1_ps(offset)));
    let values = _mm512_add_ps(_mm512_set1_ps(base), _mm512_add_ps(_mm512_castsi512_ps(load(addends)), product));
    let kept = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(values, _mm512_set1_ps(floor));
    if kept != 0 {
        let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        let positions = _mm512_add_epi32(_mm512_set1_epi32(first.cast_signed()), lanes);
        push(kept, positions, _mm512_castps_si512(values), out);
    }
}

/// The compiler chooses which field of an entry comes first in memory.
const POSITION_COMES_FIRST: bool = offset_of!((u32, f32), 0) == 0;
/// An entry is nothing but its two fields, so that any 64 bits are one.
const _: () = assert!(size_of::<(u32, f32)>() == 8);

/// Appends the positions and values of the kept lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn push(kept: __mmask16, positions: __m512i, values: __m512i, out: &mut Vec<(u32, f32)>) {
    let (first, second) = if POSITION_COMES_FIRST { (positions, values) } else { (values, positions) };
    let low_lanes = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    let high_lanes = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    let [low_kept, high_kept] = kept.to_le_bytes();
    let low = _mm512_maskz_compress_epi64(low_kept, _mm512_permutex2var_epi32(first, low_lanes, second));
    let high = _mm512_maskz_compress_epi64(high_kept, _mm512_permutex2var_epi32(first, high_lanes, second));
    let low_count = low_kept.count_ones() as usize;
    out.reserve(16);
    // SAFETY: 16 entries were reserved behind the last. The first store writes the first eight of them, the second eight from
    // `low_count`, which is at most eight, on. An entry is 64 bits without padding, in the order that was asked for, and all
    // bits are valid; those up to the new length are entries that were kept.
    unsafe {
        let end = out.as_mut_ptr().add(out.len());
        _mm512_storeu_si512(end.cast(), low);
        _mm512_storeu_si512(end.add(low_count).cast(), high);
        out.set_len(out.len() + kept.count_ones() as usize);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn code_sums_4(query: &[i8], codes: Codes<'_>, sums: &mut [i32]) {
    let (low_query, high_query) = query.split_at(query.len() / 2);
    let (low_lines, low_rest) = low_query.as_chunks::<64>();
    let (high_lines, high_rest) = high_query.as_chunks::<64>();
    let low_half = _mm512_set1_epi8(15);
    for (sum, code) in sums.iter_mut().zip(codes.each()) {
        let (lines, rest) = code.as_chunks::<64>();
        let (mut low_sum, mut high_sum) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for ((line, low), high) in lines.iter().zip(low_lines).zip(high_lines) {
            let line = load(line);
            low_sum = _mm512_dpbusd_epi32(low_sum, _mm512_and_si512(line, low_half), load_query(low));
            let high_nibbles = _mm512_and_si512(_mm512_srli_epi16::<4>(line), low_half);
            high_sum = _mm512_dpbusd_epi32(high_sum, high_nibbles, load_query(high));
        }
        if let ([line], [low], [high]) = (rest.as_chunks::<32>().0, low_rest.as_chunks::<32>().0, high_rest.as_chunks::<32>().0) {
            let line = load_half(line);
            low_sum = _mm512_dpbusd_epi32(low_sum, _mm512_and_si512(line, low_half), load_query_half(low));
            let high_nibbles = _mm512_and_si512(_mm512_srli_epi16::<4>(line), low_half);
            high_sum = _mm512_dpbusd_epi32(high_sum, high_nibbles, load_query_half(high));
        }
        *sum = _mm512_reduce_add_epi32(_mm512_add_epi32(low_sum, high_sum));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn code_sums_8(query: &[i8], codes: Codes<'_>, sums: &mut [i32]) {
    for (sum, code) in sums.iter_mut().zip(codes.each()) {
        let mut lanes = _mm512_setzero_si512();
        for (line, query) in code.as_chunks::<64>().0.iter().zip(query.as_chunks::<64>().0) {
            lanes = _mm512_dpbusd_epi32(lanes, load(line), load_query(query));
        }
        *sum = _mm512_reduce_add_epi32(lanes);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(line: &[u8; 64]) -> __m512i {
    // SAFETY: the borrowed array is the 64 bytes that the load reads; the load needs no alignment.
    unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_query(line: &[i8; 64]) -> __m512i {
    // SAFETY: the borrowed array is the 64 bytes that the load reads; the load needs no alignment.
    unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
}

/// 32 bytes, and zeros behind them.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_half(line: &[u8; 32]) -> __m512i {
    // SAFETY: the borrowed array is the 32 bytes that the load reads; the load needs no alignment.
    _mm512_zextsi256_si512(unsafe { _mm256_loadu_si256(line.as_ptr().cast()) })
}

/// See [`load_half`].
#[inline]
#[target_feature(enable = "avx512f")]
fn load_query_half(line: &[i8; 32]) -> __m512i {
    // SAFETY: the borrowed array is the 32 bytes that the load reads; the load needs no alignment.
    _mm512_zextsi256_si512(unsafe { _mm256_loadu_si256(line.as_ptr().cast()) })
}
