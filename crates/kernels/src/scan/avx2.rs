//! AVX2: a lookup instruction serves 32 groups of four dimensions, but only of one group of each vector, so that codes are
//! transposed first. Two slices of a block go through the two halves of a register.

use std::arch::x86_64::*;

use super::{Codes, Estimate, scalar};
use crate::codes::{SCAN_BLOCK_LANES, SLICE, scan_block_bytes};

/// Two slices.
const TURN: usize = 2 * SLICE;
/// Turns after which the sums of 16 bits must be widened: each adds four entries of at most 255.
const TURNS: usize = 64;

#[target_feature(enable = "avx2")]
pub(super) fn scan_codes(table: &[u8], blocks: &[u8], first: u32, estimate: Estimate, out: &mut Vec<(u32, f32)>) {
    let mut at = first;
    for block in blocks.chunks_exact(scan_block_bytes(table.len() / 4)) {
        let (codes, constants) = block.split_at(table.len());
        scalar::append(estimate, &block_sums(table, codes), constants, at, out);
        at = at.wrapping_add(SCAN_BLOCK_LANES as u32);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn block_sums(table: &[u8], codes: &[u8]) -> [u32; SCAN_BLOCK_LANES] {
    let low_half = _mm256_set1_epi8(15);
    let mut sums = [0; SCAN_BLOCK_LANES];
    for (codes, table) in codes.chunks(TURNS * TURN).zip(table.chunks(TURNS * TURN)) {
        // Sums of the even bytes, with 256 times those of the odd ones; and of the odd bytes alone.
        let (mut both, mut odd) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
        for (codes, table) in codes.as_chunks::<TURN>().0.iter().zip(table.as_chunks::<TURN>().0) {
            for (group, codes) in transposed(codes).into_iter().enumerate() {
                let entries = load_two(table, group);
                let nibbles = [_mm256_and_si256(codes, low_half), _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low_half)];
                for half in 0..2 {
                    let found = _mm256_shuffle_epi8(entries, nibbles[half]);
                    both[half] = _mm256_add_epi16(both[half], found);
                    odd[half] = _mm256_add_epi16(odd[half], _mm256_srli_epi16::<8>(found));
                }
            }
        }
        for (half, sums) in sums.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let even = _mm256_sub_epi16(both[half], _mm256_slli_epi16::<8>(odd[half]));
            let halves = [_mm256_unpacklo_epi16(even, odd[half]), _mm256_unpackhi_epi16(even, odd[half])];
            for (sums, lanes) in sums.as_chunks_mut::<8>().0.iter_mut().zip(halves) {
                add_lanes(sums, lanes);
            }
        }
    }
    sums
}

/// Of two slices: for each of the four groups of dimensions the bytes of all sixteen vectors, those of the second slice in the
/// upper half.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(codes: &[u8; TURN]) -> [__m256i; 4] {
    let by_group = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    let mut rows = [_mm256_setzero_si256(); 4];
    for (at, row) in rows.iter_mut().enumerate() {
        *row = _mm256_shuffle_epi8(load_two(codes, at), by_group);
    }
    let low = [_mm256_unpacklo_epi32(rows[0], rows[1]), _mm256_unpacklo_epi32(rows[2], rows[3])];
    let high = [_mm256_unpackhi_epi32(rows[0], rows[1]), _mm256_unpackhi_epi32(rows[2], rows[3])];
    [
        _mm256_unpacklo_epi64(low[0], low[1]),
        _mm256_unpackhi_epi64(low[0], low[1]),
        _mm256_unpacklo_epi64(high[0], high[1]),
        _mm256_unpackhi_epi64(high[0], high[1]),
    ]
}

/// Sixteen bytes of each of two slices.
#[inline]
#[target_feature(enable = "avx2")]
fn load_two(slices: &[u8; TURN], at: usize) -> __m256i {
    let parts = slices.as_chunks::<16>().0;
    // SAFETY: each borrowed part is the 16 bytes that its load reads; the loads need no alignment.
    unsafe { _mm256_loadu2_m128i(parts[at + 4].as_ptr().cast(), parts[at].as_ptr().cast()) }
}

/// Adds eight sums of 16 bits from both halves of a register.
#[inline]
#[target_feature(enable = "avx2")]
fn add_lanes(sums: &mut [u32; 8], lanes: __m256i) {
    let low = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(lanes));
    let high = _mm256_cvtepu16_epi32(_mm256_extracti128_si256::<1>(lanes));
    let added = to_array(_mm256_add_epi32(low, high));
    for (sum, lane) in sums.iter_mut().zip(added) {
        *sum += lane.cast_unsigned();
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn code_sums_4(query: &[i8], codes: Codes<'_>, sums: &mut [i32]) {
    let (low_query, high_query) = query.split_at(query.len() / 2);
    let (low_half, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    for (sum, code) in sums.iter_mut().zip(codes.each()) {
        let parts = code.as_chunks::<32>().0.iter().zip(low_query.as_chunks::<32>().0).zip(high_query.as_chunks::<32>().0);
        let mut lanes = _mm256_setzero_si256();
        for ((part, low), high) in parts {
            let part = load(part);
            // Two products of at most 15 · 128 each, and two more, are far within 16 bits.
            let low = _mm256_maddubs_epi16(_mm256_and_si256(part, low_half), load_query(low));
            let high_nibbles = _mm256_and_si256(_mm256_srli_epi16::<4>(part), low_half);
            let high = _mm256_maddubs_epi16(high_nibbles, load_query(high));
            lanes = _mm256_add_epi32(lanes, _mm256_madd_epi16(_mm256_add_epi16(low, high), ones));
        }
        *sum = total(lanes);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn code_sums_8(query: &[i8], codes: Codes<'_>, sums: &mut [i32]) {
    for (sum, code) in sums.iter_mut().zip(codes.each()) {
        let mut lanes = _mm256_setzero_si256();
        for (part, query) in code.as_chunks::<32>().0.iter().zip(query.as_chunks::<32>().0) {
            let (part, query) = (load(part), load_query(query));
            // Products of 8 bits would saturate when two are added in 16: both sides are widened first.
            let part = [_mm256_cvtepu8_epi16(_mm256_castsi256_si128(part)), _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(part))];
            let query = [_mm256_cvtepi8_epi16(_mm256_castsi256_si128(query)), _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(query))];
            let terms = _mm256_add_epi32(_mm256_madd_epi16(part[0], query[0]), _mm256_madd_epi16(part[1], query[1]));
            lanes = _mm256_add_epi32(lanes, terms);
        }
        *sum = total(lanes);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(part: &[u8; 32]) -> __m256i {
    // SAFETY: the borrowed array is the 32 bytes that the load reads; the load needs no alignment.
    unsafe { _mm256_loadu_si256(part.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_query(part: &[i8; 32]) -> __m256i {
    // SAFETY: the borrowed array is the 32 bytes that the load reads; the load needs no alignment.
    unsafe { _mm256_loadu_si256(part.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn to_array(lanes: __m256i) -> [i32; 8] {
    let mut array = [0; 8];
    // SAFETY: the array is the 32 bytes that the store writes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(array.as_mut_ptr().cast(), lanes) };
    array
}

#[inline]
#[target_feature(enable = "avx2")]
fn total(lanes: __m256i) -> i32 {
    let quarters = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let pairs = _mm_add_epi32(quarters, _mm_shuffle_epi32::<0b00_00_11_10>(quarters));
    _mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32::<0b00_00_00_01>(pairs)))
}
