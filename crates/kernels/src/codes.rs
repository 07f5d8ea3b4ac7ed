//! How compressed vectors and the queries against them are laid out.
//!
//! A *scan block* holds the 1-bit codes of [`SCAN_BLOCK_LANES`] vectors of P padded dimensions in 4·P + 256 bytes. For each
//! sixteen dimensions r there are 64 bytes: byte `4v + j` holds in its low half the four bits of the dimensions
//! `16r + 4j ..` of vector v (bit i = dimension `+ i`), in its high half those of vector `16 + v`. Then come 32 addends and 32
//! factors, `f32` little-endian. One lookup instruction thus serves four groups of four dimensions of sixteen vectors.
//!
//! A *second code* has 4 or 8 bits a dimension, see [`CodeBits`].

/// Vectors in a scan block.
pub const SCAN_BLOCK_LANES: usize = 32;

/// Entries of the table for four dimensions: one for every pattern of their bits.
pub(crate) const PATTERNS: usize = 16;
/// Code bytes of a block for sixteen dimensions.
pub(crate) const SLICE: usize = 64;
/// Bytes of the addends, and of the factors.
pub(crate) const CONSTANTS: usize = 4 * SCAN_BLOCK_LANES;

/// The bytes of a scan block of vectors with so many padded dimensions.
pub const fn scan_block_bytes(padded: usize) -> usize {
    4 * padded + 2 * CONSTANTS
}

/// Writes the 4·P code bytes of a scan block from one row of P / 8 bytes a vector, bit i of byte b being the sign of
/// dimension 8b + i. The lanes behind the last row are zero; their addends should be -inf.
///
/// # Panics
/// If P is no multiple of 64, there are more than [`SCAN_BLOCK_LANES`] rows, or a row or `out` has another length.
pub fn pack_scan_block(rows: &[&[u8]], padded: usize, out: &mut [u8]) {
    assert!(padded.is_multiple_of(64), "{padded} dimensions are not padded");
    assert!(rows.len() <= SCAN_BLOCK_LANES, "{} rows for one scan block", rows.len());
    assert_eq!(out.len(), 4 * padded, "the codes of a scan block have another length");
    out.fill(0);
    for (lane, row) in rows.iter().enumerate() {
        assert_eq!(row.len(), padded / 8, "a row of signs has another length");
        let (vector, shift) = (lane % 16, lane / 16 * 4);
        for (slice, bits) in out.as_chunks_mut::<SLICE>().0.iter_mut().zip(row.as_chunks::<2>().0) {
            let bits = u16::from_le_bytes(*bits);
            for group in 0..4 {
                slice[4 * vector + group] |= ((bits >> (4 * group) & 15) as u8) << shift;
            }
        }
    }
}

/// Whether bit n of a pattern is set, as 0 or 1, for every pattern.
const SET: [[f32; PATTERNS]; 4] = {
    let mut set = [[0.0; PATTERNS]; 4];
    let mut at = 0;
    while at < 4 * PATTERNS {
        set[at / PATTERNS][at % PATTERNS] = ((at % PATTERNS) >> (at / PATTERNS) & 1) as f32;
        at += 1;
    }
    set
};

/// The integer nearest to a value from 0 to 255. Whole numbers from 2^23 on have no fraction bits, and their low bits count: that takes no
/// conversion, of which compilers make a call or a branch for each value.
fn to_nearest(value: f32) -> u8 {
    const WHOLE: f32 = 8_388_608.0;
    (value + WHOLE).to_bits() as u8
}

/// A rotated query for 1-bit codes: with u = ±1 by the bits of a code, `<u, q> ≈ scale · sum + offset`, where `sum` adds up
/// one entry of the table for each group of four dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanQuery {
    /// Sixteen entries for each four dimensions, one for every pattern of their bits.
    pub table: Vec<u8>,
    /// What one step of an entry stands for.
    pub scale: f32,
    /// What a sum of zero stands for.
    pub offset: f32,
}

impl ScanQuery {
    /// Quantizes a rotated query of P dimensions. All entries share one scale, so that sums of them compare.
    ///
    /// # Panics
    /// If P is no multiple of 64.
    pub fn new(rotated: &[f32]) -> Self {
        assert!(rotated.len().is_multiple_of(64), "{} dimensions are not padded", rotated.len());
        let groups = rotated.as_chunks::<4>().0;
        // The patterns of a group stand for -reach ..= reach.
        let reach = |group: &[f32; 4]| group.iter().map(|value| value.abs()).sum::<f32>();
        let scale = 2.0 * groups.iter().map(reach).fold(0.0, f32::max) / 255.0;
        let steps_per_unit = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut table = Vec::with_capacity(PATTERNS * groups.len());
        for group in groups {
            let mut entries = [(reach(group) - group.iter().sum::<f32>()) * steps_per_unit; PATTERNS];
            for (value, set) in group.iter().zip(&SET) {
                let twice = 2.0 * value * steps_per_unit;
                entries.iter_mut().zip(set).for_each(|(entry, set)| *entry += set * twice);
            }
            table.extend(entries.map(to_nearest));
        }
        Self { table, scale, offset: -groups.iter().map(reach).sum::<f32>() }
    }

    /// P, the padded dimensions.
    pub fn padded(&self) -> usize {
        self.table.len() / 4
    }
}

/// How many bits a dimension of a second code has, P being a multiple of 64. A code value v stands for the grid point
/// v + 0.5 - 2^(bits - 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeBits {
    /// P / 2 bytes: byte j holds dimension j in its low half, and dimension j + P / 2 in its high half.
    Four,
    /// P bytes, in the order of dimensions.
    Eight,
}

impl CodeBits {
    /// The bytes of the code of a vector with so many padded dimensions.
    pub const fn code_bytes(self, padded: usize) -> usize {
        match self {
            Self::Four => padded / 2,
            Self::Eight => padded,
        }
    }

    /// By how much a code value is above its grid point.
    pub(crate) const fn grid_shift(self) -> f32 {
        match self {
            Self::Four => 7.5,
            Self::Eight => 127.5,
        }
    }
}

/// A rotated query for second codes: with `u` the grid points of a code and `sum` what [`code_sums`] gives for it,
/// `<u, q> ≈ scale · sum + offset`.
///
/// [`code_sums`]: crate::Kernels::code_sums
#[derive(Debug, Clone, PartialEq)]
pub struct SecondQuery {
    /// The query in steps of `scale`, in the order of dimensions.
    pub values: Vec<i8>,
    /// What one step of a value stands for.
    pub scale: f32,
    /// What a sum of zero stands for: `-scale · (2^(bits - 1) - 0.5) · Σ values`.
    pub offset: f32,
}

impl SecondQuery {
    /// Quantizes a rotated query of P dimensions.
    ///
    /// # Panics
    /// If P is no multiple of 64.
    pub fn new(rotated: &[f32], bits: CodeBits) -> Self {
        assert!(rotated.len().is_multiple_of(64), "{} dimensions are not padded", rotated.len());
        let scale = rotated.iter().fold(0.0f32, |most, value| most.max(value.abs())) / 127.0;
        let steps_per_unit = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let values: Vec<i8> = rotated.iter().map(|value| (to_nearest(value * steps_per_unit + 128.0) ^ 0x80) as i8).collect();
        let sum: i32 = values.iter().map(|value| i32::from(*value)).sum();
        Self { values, scale, offset: -scale * bits.grid_shift() * sum as f32 }
    }
}
