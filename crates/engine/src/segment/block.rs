//! One block of a blocked section, from stored bytes to what the cache holds.

use pinyon_model::Metadata;

use super::{
    codec::{self, Decoder, Encode, Malformed},
    format::{BlockEntry, Section},
};

/// What a decoder must know of the segment that a block belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Rows of the segment.
    pub(crate) rows: u32,
    /// Values of a dense vector; 0 if it has none.
    pub(crate) dimension: usize,
    /// Pages of field values.
    pub(crate) field_pages: u32,
}

/// What a kind of block decodes to.
pub(crate) trait Block: Sized + Send + Sync + 'static {
    /// The section its blocks belong to.
    const SECTION: Section;
    /// Reads one block's uncompressed bytes, which nothing vouches for.
    fn decode(bytes: &[u8], shape: &Shape) -> Result<Self, Malformed>;
    /// About how many bytes it occupies.
    fn weight_bytes(&self) -> usize;
}

/// Decompressed rows are never longer than this; a directory that says otherwise is damaged.
const RAW_LEN_MAX: u32 = 64 << 20;

/// The stored form of `raw`: compressed if that saves an eighth.
pub(crate) fn compress(raw: Vec<u8>) -> Vec<u8> {
    match zstd::bulk::compress(&raw, 1) {
        Ok(packed) if packed.len() < raw.len() - raw.len() / 8 => packed,
        _ => raw,
    }
}

/// Checks stored bytes and decompresses and decodes them.
pub(crate) fn read<T: Block>(stored: &[u8], entry: &BlockEntry, shape: &Shape) -> Result<T, Malformed> {
    entry.extent.check(stored)?;
    if u64::from(entry.raw_len) == entry.extent.len {
        return T::decode(stored, shape);
    }
    if entry.raw_len > RAW_LEN_MAX {
        return Err(Malformed("a compressed block is too long"));
    }
    let raw = zstd::bulk::decompress(stored, entry.raw_len as usize).map_err(|_| Malformed("a compressed block cannot be read"))?;
    if raw.len() != entry.raw_len as usize {
        return Err(Malformed("a compressed block has another length than announced"));
    }
    T::decode(&raw, shape)
}

/// About how many uncompressed bytes of rows share a block: reading one row costs reading its block.
const ROWS_BLOCK_BYTES: usize = 16 * 1024;
/// Rows a block holds at most, so that empty rows do not pile up in one.
const ROWS_BLOCK_ROWS: usize = 4_096;

/// Rows of variable length, one after the other: for each its length, then all their bytes.
#[derive(Default)]
pub(crate) struct RowsBlockBuilder {
    lens: Vec<u8>,
    bytes: Vec<u8>,
    rows: usize,
}

impl RowsBlockBuilder {
    /// Appends a row that `write` writes; it may be empty.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        write(&mut self.bytes);
        self.lens.put_varint((self.bytes.len() - before) as u64);
        self.rows += 1;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() + self.lens.len() >= ROWS_BLOCK_BYTES || self.rows >= ROWS_BLOCK_ROWS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The block's uncompressed bytes, none if every row is empty; the builder is empty then.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        let empty = self.bytes.is_empty();
        let mut out = Vec::with_capacity(self.lens.len() + self.bytes.len() + 4);
        out.put_varint(std::mem::take(&mut self.rows) as u64);
        out.append(&mut self.lens);
        out.append(&mut self.bytes);
        (!empty).then_some(out)
    }
}

/// Decoded rows, still in their own encoding.
struct RowsBlock {
    bytes: Box<[u8]>,
    /// Where each row ends.
    ends: Box<[u32]>,
}

impl RowsBlock {
    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes);
        let rows = from.count(1)?;
        let mut ends = Vec::with_capacity(rows);
        let mut end = 0u32;
        for _ in 0..rows {
            end = end.checked_add(from.varint32()?).ok_or(Malformed("its rows are too long"))?;
            ends.push(end);
        }
        let bytes = from.bytes(end as usize)?;
        from.finish()?;
        Ok(Self { bytes: bytes.into(), ends: ends.into() })
    }

    /// The bytes of the row at `within`, counted from the block's first. A row past the last is empty: the blocks that
    /// follow were left out because all of their rows are.
    fn row(&self, within: u32) -> &[u8] {
        let within = within as usize;
        let Some(end) = self.ends.get(within) else { return &[] };
        let start = if within == 0 { 0 } else { self.ends[within - 1] };
        &self.bytes[start as usize..*end as usize]
    }

    fn weight_bytes(&self) -> usize {
        self.bytes.len() + self.ends.len() * 4
    }
}

/// Metadata of consecutive rows.
pub(crate) struct MetadataBlock(RowsBlock);

impl MetadataBlock {
    /// The metadata of the row at `within`.
    pub(crate) fn get(&self, within: u32) -> Result<Metadata, Malformed> {
        let bytes = self.0.row(within);
        if bytes.is_empty() {
            return Ok(Metadata::default());
        }
        let mut from = Decoder::new(bytes);
        let metadata = codec::metadata(&mut from)?;
        from.finish()?;
        Ok(metadata)
    }

    pub(crate) fn rows(&self) -> u32 {
        self.0.ends.len() as u32
    }
}

impl Block for MetadataBlock {
    const SECTION: Section = Section::Metadata;
    fn decode(bytes: &[u8], _: &Shape) -> Result<Self, Malformed> {
        RowsBlock::decode(bytes).map(Self)
    }
    fn weight_bytes(&self) -> usize {
        self.0.weight_bytes()
    }
}

/// Sparse vectors of consecutive rows.
pub(crate) struct SparseBlock(RowsBlock);

impl SparseBlock {
    /// The sparse vector of the row at `within`, if it has one.
    pub(crate) fn get(&self, within: u32) -> Result<Option<pinyon_model::SparseVector>, Malformed> {
        let bytes = self.0.row(within);
        if bytes.is_empty() {
            return Ok(None);
        }
        let mut from = Decoder::new(bytes);
        let sparse = codec::sparse(&mut from)?;
        from.finish()?;
        Ok(Some(sparse))
    }

    pub(crate) fn rows(&self) -> u32 {
        self.0.ends.len() as u32
    }
}

impl Block for SparseBlock {
    const SECTION: Section = Section::Sparse;
    fn decode(bytes: &[u8], _: &Shape) -> Result<Self, Malformed> {
        RowsBlock::decode(bytes).map(Self)
    }
    fn weight_bytes(&self) -> usize {
        self.0.weight_bytes()
    }
}
