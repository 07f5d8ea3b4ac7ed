//! How a segment's plaintext is laid out; `docs/formats.md` draws it.
//!
//! A segment is blocks and sections in any order, then a table that names the sections, then a footer of fixed length that
//! finds the table. A *blocked* section holds a directory of blocks that lie elsewhere in the object, so that blocks of
//! several kinds can be written in one pass. A reader skips sections whose kind it does not know.

use super::codec::{Decoder, Encode, Malformed};

/// The format number in the sealed object's header.
pub(crate) const FORMAT: u16 = 1;
/// What a segment begins and ends with.
pub(crate) const MAGIC: [u8; 8] = *b"PINYSEGM";
/// Bytes of the footer: table offset, table length, table checksum, magic.
pub(crate) const FOOTER_LEN: usize = 8 + 4 + 4 + 8;
/// Bytes of one entry of the table.
const TABLE_ENTRY_LEN: usize = 2 + 2 + 8 + 8 + 4;
/// Bytes of one entry of a directory.
const BLOCK_ENTRY_LEN: usize = 8 + 4 + 4 + 4 + 4;
/// The flag of a blocked section.
const BLOCKED: u16 = 1;
/// No table has more entries than this.
const SECTIONS_MAX: usize = 1_024;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub(crate) enum Section {
    /// Counts and bounds of the whole segment.
    Statistics = 1,
    /// Record ids, ascending: the place of an id is its row.
    Ids = 2,
    /// The LSN that wrote each row.
    Lsns = 3,
    /// Which rows have a dense vector, when some have and some have not.
    DenseRows = 4,
    /// Blocked: dense vectors and their norms.
    Dense = 5,
    /// Blocked: metadata by row.
    Metadata = 6,
    /// Blocked: sparse vectors by row.
    Sparse = 7,
    /// Blocked: for each group of rows, the indices that occur in their sparse vectors.
    PostingTerms = 8,
    /// Blocked: for each group of rows, the postings of those indices.
    Postings = 9,
    /// The names of the metadata fields that can be filtered on.
    Fields = 10,
    /// Blocked: one head for each field.
    FieldHeads = 11,
    /// Blocked: pages of values and the rows that have them.
    FieldPages = 12,
    /// Each row's counted bytes.
    Sizes = 13,
    /// How the codes of dense vectors were made, and what effort finds what.
    CodesHead = 14,
    /// The mean that codes are about, and the sizes of the clusters.
    Clusters = 15,
    /// Codes of the clusters' centres.
    Centers = 16,
    /// The vector of each slot.
    CodedVectors = 17,
    /// Blocked: 1-bit codes in scan blocks.
    ScanCodes = 18,
    /// Blocked: codes of more bits, a row for each slot.
    SecondCodes = 19,
    /// Blocked: for groups of rows, an order in which rows with the same indices lie together.
    ImpactOrder = 20,
    /// The slots that lie in the scan blocks of a second cluster too.
    Spilled = 21,
}

impl Section {
    const ALL: [Section; 21] = [
        Section::Statistics,
        Section::Ids,
        Section::Lsns,
        Section::DenseRows,
        Section::Dense,
        Section::Metadata,
        Section::Sparse,
        Section::PostingTerms,
        Section::Postings,
        Section::Fields,
        Section::FieldHeads,
        Section::FieldPages,
        Section::Sizes,
        Section::CodesHead,
        Section::Clusters,
        Section::Centers,
        Section::CodedVectors,
        Section::ScanCodes,
        Section::SecondCodes,
        Section::ImpactOrder,
        Section::Spilled,
    ];

    /// What a message calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Section::Statistics => "statistics",
            Section::Ids => "ids",
            Section::Lsns => "LSNs",
            Section::DenseRows => "dense rows",
            Section::Dense => "dense vectors",
            Section::Metadata => "metadata",
            Section::Sparse => "sparse vectors",
            Section::PostingTerms => "posting terms",
            Section::Postings => "postings",
            Section::Fields => "fields",
            Section::FieldHeads => "field heads",
            Section::FieldPages => "field pages",
            Section::Sizes => "sizes",
            Section::CodesHead => "head of the codes",
            Section::Clusters => "clusters",
            Section::Centers => "centers",
            Section::CodedVectors => "coded vectors",
            Section::ScanCodes => "scan codes",
            Section::SecondCodes => "second codes",
            Section::ImpactOrder => "impact order",
            Section::Spilled => "spilled vectors",
        }
    }

    const fn flags(self) -> u16 {
        match self {
            Section::Dense
            | Section::Metadata
            | Section::Sparse
            | Section::PostingTerms
            | Section::Postings
            | Section::FieldHeads
            | Section::FieldPages
            | Section::ScanCodes
            | Section::SecondCodes
            | Section::ImpactOrder => BLOCKED,
            _ => 0,
        }
    }
}

/// Where a stretch of bytes lies, and what its CRC-32C is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) crc: u32,
}

impl Extent {
    pub(crate) fn range(&self) -> std::ops::Range<u64> {
        self.offset..self.offset + self.len
    }

    /// Whether these are the bytes that were written.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), Malformed> {
        if bytes.len() as u64 == self.len && crc32c::crc32c(bytes) == self.crc {
            Ok(())
        } else {
            Err(Malformed("its checksum does not match"))
        }
    }
}

/// The table of sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    known: Vec<(Section, Extent)>,
    /// Blocked sections of kinds that this version does not know: still checked by a verifier.
    pub(crate) unknown: Vec<(u16, bool, Extent)>,
}

impl Table {
    pub(crate) fn get(&self, section: Section) -> Option<Extent> {
        self.known.iter().find(|(s, _)| *s == section).map(|(_, extent)| *extent)
    }

    pub(crate) fn add(&mut self, section: Section, extent: Extent) {
        self.known.push((section, extent));
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.known.len() * TABLE_ENTRY_LEN);
        for (section, extent) in &self.known {
            out.extend_from_slice(&(*section as u16).to_le_bytes());
            out.extend_from_slice(&section.flags().to_le_bytes());
            out.put_u64(extent.offset);
            out.put_u64(extent.len);
            out.put_u32(extent.crc);
        }
        out
    }

    /// Reads the table of an object whose sections must end before `limit`.
    pub(crate) fn decode(bytes: &[u8], limit: u64) -> Result<Self, Malformed> {
        if !bytes.len().is_multiple_of(TABLE_ENTRY_LEN) || bytes.len() / TABLE_ENTRY_LEN > SECTIONS_MAX {
            return Err(Malformed("its length is not that of a table"));
        }
        let mut table = Table::default();
        let mut from = Decoder::new(bytes);
        while from.remaining() > 0 {
            let (kind, flags) = (from.u16()?, from.u16()?);
            let extent = Extent { offset: from.u64()?, len: from.u64()?, crc: from.u32()? };
            if extent.offset.checked_add(extent.len).is_none_or(|end| end > limit) {
                return Err(Malformed("a section lies outside of the object"));
            }
            match Section::ALL.into_iter().find(|s| *s as u16 == kind) {
                Some(section) if section.flags() != flags => return Err(Malformed("a section has flags that do not fit its kind")),
                Some(section) if table.get(section).is_some() => return Err(Malformed("a section is there twice")),
                Some(section) => table.add(section, extent),
                None => table.unknown.push((kind, flags & BLOCKED != 0, extent)),
            }
        }
        Ok(table)
    }
}

/// The end of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) table: Extent,
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_LEN);
        out.put_u64(self.table.offset);
        out.put_u32(self.table.len as u32);
        out.put_u32(self.table.crc);
        out.extend_from_slice(&MAGIC);
        out
    }

    /// Reads the last [`FOOTER_LEN`] bytes of an object of `object_len` bytes.
    pub(crate) fn decode(bytes: &[u8], object_len: u64) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes);
        let table = Extent { offset: from.u64()?, len: u64::from(from.u32()?), crc: from.u32()? };
        if from.array()? != MAGIC {
            return Err(Malformed("it is not a segment's footer"));
        }
        from.finish()?;
        if table.offset.checked_add(table.len).and_then(|end| end.checked_add(FOOTER_LEN as u64)) != Some(object_len) {
            return Err(Malformed("the table does not end where the footer begins"));
        }
        Ok(Self { table })
    }
}

/// One block of a blocked section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub(crate) extent: Extent,
    /// Bytes after decompression; equal to the extent's length when the block is not compressed.
    pub(crate) raw_len: u32,
    /// The first row it is about (dense vectors: the first ordinal); 0 where rows have no meaning.
    pub(crate) first: u32,
}

/// The blocks of a blocked section, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    blocks: Vec<BlockEntry>,
}

/// No block is this long: rows, pages and heads are a few MiB at most, a group's postings below 1 GiB.
pub(crate) const BLOCK_LEN_MAX: u64 = 1 << 30;

impl Directory {
    /// No blocks.
    pub(crate) const EMPTY: Self = Self { blocks: Vec::new() };

    pub(crate) fn push(&mut self, block: BlockEntry) {
        self.blocks.push(block);
    }

    pub(crate) fn len(&self) -> u32 {
        self.blocks.len() as u32
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(crate) fn get(&self, block: u32) -> Option<&BlockEntry> {
        self.blocks.get(block as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &BlockEntry> {
        self.blocks.iter()
    }

    /// The block that `row` lies in, if any block begins at or before it.
    pub(crate) fn block_of(&self, row: u32) -> Option<u32> {
        self.blocks.partition_point(|b| b.first <= row).checked_sub(1).map(|b| b as u32)
    }

    /// The first row after `block`, given that the section ends before `end`.
    pub(crate) fn end_of(&self, block: u32, end: u32) -> u32 {
        self.get(block + 1).map_or(end, |b| b.first)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.blocks.len() * BLOCK_ENTRY_LEN);
        for b in &self.blocks {
            out.put_u64(b.extent.offset);
            out.put_u32(b.extent.len as u32);
            out.put_u32(b.raw_len);
            out.put_u32(b.first);
            out.put_u32(b.extent.crc);
        }
        out
    }

    /// Reads the directory of a section whose blocks must end before `limit`.
    pub(crate) fn decode(bytes: &[u8], limit: u64) -> Result<Self, Malformed> {
        if !bytes.len().is_multiple_of(BLOCK_ENTRY_LEN) {
            return Err(Malformed("its length is not that of a directory"));
        }
        let mut blocks = Vec::with_capacity(bytes.len() / BLOCK_ENTRY_LEN);
        let mut from = Decoder::new(bytes);
        while from.remaining() > 0 {
            let (offset, len, raw_len, first, crc) = (from.u64()?, u64::from(from.u32()?), from.u32()?, from.u32()?, from.u32()?);
            let inside = offset.checked_add(len).is_some_and(|end| end <= limit) && len <= BLOCK_LEN_MAX;
            if !inside || u64::from(raw_len) < len || blocks.last().is_some_and(|b: &BlockEntry| b.first > first) {
                return Err(Malformed("its directory is inconsistent"));
            }
            blocks.push(BlockEntry { extent: Extent { offset, len, crc }, raw_len, first });
        }
        Ok(Self { blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: Extent = Extent { offset: 8, len: 24, crc: 7 };

    #[test]
    fn table_skips_what_it_does_not_know() {
        let mut table = Table::default();
        table.add(Section::Ids, EXTENT);
        let mut bytes = table.encode();
        let mut foreign = bytes.clone();
        foreign[..4].copy_from_slice(&[0xe7, 0x03, 1, 0]);
        bytes.extend(foreign);
        let read = Table::decode(&bytes, 32).unwrap();
        assert_eq!(read.get(Section::Ids), Some(EXTENT));
        assert_eq!(read.unknown, vec![(999, true, EXTENT)]);
        assert!(Table::decode(&bytes, 31).is_err(), "outside of the object");
        assert!(Table::decode(&bytes[1..], 32).is_err());
        assert!(Table::decode(&[table.encode(), table.encode()].concat(), 32).is_err(), "twice");
    }

    #[test]
    fn footer_must_meet_the_table() {
        let footer = Footer { table: Extent { offset: 100, len: 24, crc: 1 } };
        let bytes = footer.encode();
        assert_eq!(bytes.len(), FOOTER_LEN);
        assert_eq!(Footer::decode(&bytes, 148), Ok(footer));
        assert!(Footer::decode(&bytes, 149).is_err());
        assert!(Footer::decode(&bytes[1..], 148).is_err());
    }

    #[test]
    fn directory_finds_the_block_of_a_row() {
        let mut directory = Directory::default();
        for first in [0, 10, 25] {
            directory.push(BlockEntry { extent: EXTENT, raw_len: 24, first });
        }
        let directory = Directory::decode(&directory.encode(), 32).unwrap();
        assert_eq!([0, 9, 10, 24, 25, 99].map(|r| directory.block_of(r).unwrap()), [0, 0, 1, 1, 2, 2]);
        assert_eq!([0, 1, 2].map(|b| directory.end_of(b, 30)), [10, 25, 30]);
        assert!(Directory::decode(&directory.encode(), 31).is_err());
    }
}
