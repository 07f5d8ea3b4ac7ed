//! Dense vectors in blocks of about 1 MiB, row-major, each followed by its rows' norms.
//!
//! Vectors are counted by *ordinal*: the how-manyeth row with a dense vector it is. Mostly every row has one, and then the
//! ordinal is the row.

use std::ops::Range;

use pinyon_kernels::Kernels;
use pinyon_model::DenseVector;
use roaring::RoaringBitmap;

use super::{
    block::{Block, Shape},
    codec::Malformed,
    format::Section,
};

/// About how many bytes of values a block holds.
const BLOCK_BYTES: usize = 1 << 20;
/// Bytes of one value.
const VALUE: usize = size_of::<f32>();
/// Bytes of one norm.
const NORM: usize = size_of::<f64>();

/// How many vectors of this dimension a block holds: at least one.
pub(crate) fn rows_per_block(dimension: usize) -> u32 {
    (BLOCK_BYTES / (dimension.max(1) * VALUE)).max(1) as u32
}

/// Decoded vectors of consecutive ordinals.
pub(crate) struct DenseBlock {
    /// Row-major.
    pub(crate) values: Vec<f32>,
    /// The Euclidean norm of each.
    pub(crate) norms: Vec<f64>,
}

impl Block for DenseBlock {
    const SECTION: Section = Section::Dense;

    fn decode(bytes: &[u8], shape: &Shape) -> Result<Self, Malformed> {
        let row = shape.dimension * VALUE + NORM;
        if shape.dimension == 0 || !bytes.len().is_multiple_of(row) {
            return Err(Malformed("a block's length does not fit the dimension"));
        }
        let rows = bytes.len() / row;
        let (values, norms) = bytes.split_at(rows * shape.dimension * VALUE);
        let norms: Vec<f64> = norms.as_chunks::<NORM>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        if norms.iter().any(|n| !n.is_finite()) {
            return Err(Malformed("it holds a norm that is not finite"));
        }
        Ok(Self { values: floats(values), norms })
    }

    fn weight_bytes(&self) -> usize {
        self.values.len() * VALUE + self.norms.len() * NORM
    }
}

/// The values in these bytes, one for each whole four of them.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<VALUE>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// A block that is being filled.
pub(crate) struct DenseBlockBuilder {
    kernels: Kernels,
    dimension: usize,
    bytes: Vec<u8>,
    norms: Vec<u8>,
    rows: u32,
}

impl DenseBlockBuilder {
    pub(crate) fn new(kernels: Kernels, dimension: usize) -> Self {
        Self { kernels, dimension, bytes: Vec::new(), norms: Vec::new(), rows: 0 }
    }

    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(crate) fn push(&mut self, vector: &DenseVector) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(rows_per_block(self.dimension) as usize * self.dimension * VALUE);
        }
        vector.as_slice().iter().for_each(|v| self.bytes.extend_from_slice(&v.to_le_bytes()));
        self.norms.extend_from_slice(&self.kernels.norm_squared(vector.as_slice()).sqrt().to_le_bytes());
        self.rows += 1;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows >= rows_per_block(self.dimension)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The block's bytes so far, and how many vectors they are; the builder is empty then.
    pub(crate) fn take(&mut self) -> (Vec<u8>, u32) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.append(&mut self.norms);
        (bytes, std::mem::take(&mut self.rows))
    }
}

/// Which rows have a dense vector, and where.
pub(crate) struct DenseLayout {
    /// Values of each vector.
    pub(crate) dimension: usize,
    /// How many vectors there are.
    pub(crate) count: u32,
    /// The row of each ordinal, when not every row has a vector.
    rows: Option<Box<[u32]>>,
}

impl DenseLayout {
    /// `bitmap` names the rows that have a vector; none if all do.
    pub(crate) fn new(dimension: usize, count: u32, rows: u32, bitmap: Option<&RoaringBitmap>) -> Result<Self, Malformed> {
        match bitmap {
            None if count != rows && count != 0 => Err(Malformed("it is missing")),
            Some(bitmap) if bitmap.len() != u64::from(count) => Err(Malformed("it does not name as many rows as there are vectors")),
            _ => Ok(Self { dimension, count, rows: bitmap.map(|b| b.iter().collect()) }),
        }
    }

    /// The ordinal of this row's vector.
    pub(crate) fn ordinal(&self, row: u32) -> Option<u32> {
        match &self.rows {
            None => (row < self.count).then_some(row),
            Some(rows) => rows.binary_search(&row).ok().map(|at| at as u32),
        }
    }

    /// The row of this vector.
    pub(crate) fn row(&self, ordinal: u32) -> u32 {
        self.rows.as_ref().map_or(ordinal, |rows| rows.get(ordinal as usize).copied().unwrap_or(u32::MAX))
    }

    /// The ordinals of the rows in `wanted`, ascending, that have a vector.
    pub(crate) fn ordinals(&self, wanted: &RoaringBitmap) -> Vec<u32> {
        match &self.rows {
            None => wanted.iter().take_while(|row| *row < self.count).collect(),
            Some(rows) => rows.iter().enumerate().filter(|(_, row)| wanted.contains(**row)).map(|(at, _)| at as u32).collect(),
        }
    }

    /// Bytes of one vector.
    pub(crate) fn vector_len(&self) -> u64 {
        (self.dimension * VALUE) as u64
    }

    /// Where in its block's bytes the values of these vectors lie; `within` counts from the block's first.
    pub(crate) fn values_at(&self, within: Range<u32>) -> Range<u64> {
        u64::from(within.start) * self.vector_len()..u64::from(within.end) * self.vector_len()
    }

    /// How many vectors block `block` has, and its first ordinal.
    pub(crate) fn block(&self, block: u32) -> (u32, u32) {
        let each = rows_per_block(self.dimension);
        let first = (block * each).min(self.count);
        (first, each.min(self.count - first))
    }
}

/// The rows with a vector, as its section holds them; nothing if all rows or none have one.
pub(crate) fn encode_rows(with_vector: &RoaringBitmap, rows: u32) -> Option<Vec<u8>> {
    let count = with_vector.len();
    if count == 0 || count == u64::from(rows) {
        return None;
    }
    Some(super::bitmap::encode(with_vector))
}
