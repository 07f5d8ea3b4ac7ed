//! What a reader of a segment keeps in RAM for as long as it is open.

use pinyon_model::Lsn;

use super::{
    bitmap,
    block::Shape,
    codec::{Decoder, Encode, Malformed},
    column::Column,
    dense::{DenseLayout, rows_per_block},
    format::{Directory, Section, Table},
    ids::IdTable,
};

/// Counts and bounds of a whole segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub(crate) rows: u32,
    /// Rows with a dense vector.
    pub(crate) dense: u32,
    /// Rows with a sparse vector.
    pub(crate) sparse: u32,
    /// Values of a dense vector, 0 in a sparse index.
    pub(crate) dimension: u32,
    pub(crate) lsn_min: Lsn,
    pub(crate) lsn_max: Lsn,
    pub(crate) counted_bytes: u64,
}

impl Statistics {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(40);
        [self.rows, self.dense, self.sparse, self.dimension].iter().for_each(|n| out.put_u32(*n));
        [self.lsn_min.0, self.lsn_max.0, self.counted_bytes].iter().for_each(|n| out.put_u64(*n));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes);
        let statistics = Self {
            rows: from.u32()?,
            dense: from.u32()?,
            sparse: from.u32()?,
            dimension: from.u32()?,
            lsn_min: Lsn(from.u64()?),
            lsn_max: Lsn(from.u64()?),
            counted_bytes: from.u64()?,
        };
        from.finish()?;
        if statistics.dense.max(statistics.sparse) > statistics.rows || (statistics.dimension == 0 && statistics.dense > 0) {
            return Err(Malformed("its counts contradict each other"));
        }
        Ok(statistics)
    }
}

/// Sections that are read when a segment is opened.
pub(crate) const RESIDENT: [Section; 15] = [
    Section::Statistics,
    Section::Ids,
    Section::Lsns,
    Section::Sizes,
    Section::DenseRows,
    Section::Dense,
    Section::Metadata,
    Section::Sparse,
    Section::PostingTerms,
    Section::Postings,
    Section::FieldHeads,
    Section::FieldPages,
    Section::ScanCodes,
    Section::SecondCodes,
    Section::ImpactOrder,
];

/// The resident part.
pub(crate) struct Resident {
    pub(crate) statistics: Statistics,
    pub(crate) shape: Shape,
    pub(crate) ids: IdTable,
    pub(crate) lsns: Column,
    pub(crate) sizes: Column,
    pub(crate) dense: DenseLayout,
    dense_blocks: Directory,
    metadata: Directory,
    sparse: Directory,
    terms: Directory,
    postings: Directory,
    heads: Directory,
    pages: Directory,
    scan_codes: Directory,
    second_codes: Directory,
    orders: Directory,
}

impl Resident {
    /// Reads the sections that `bytes_of` gives, checked against the table already. On failure, says which one is bad.
    pub(crate) fn decode<'a>(
        table: &Table,
        limit: u64,
        bytes_of: impl Fn(Section) -> Option<&'a [u8]>,
    ) -> Result<Self, (Section, Malformed)> {
        let needed = |section| bytes_of(section).ok_or((section, Malformed("it is missing")));
        let at = |section| move |malformed| (section, malformed);
        let statistics = Statistics::decode(needed(Section::Statistics)?).map_err(at(Section::Statistics))?;
        let rows = statistics.rows;
        let directory = |section| match bytes_of(section) {
            Some(bytes) => Directory::decode(bytes, limit).map_err(at(section)),
            None => Ok(Directory::default()),
        };
        let with_vector =
            bytes_of(Section::DenseRows).map(|bytes| bitmap::decode(bytes, rows)).transpose().map_err(at(Section::DenseRows))?;
        let dense = DenseLayout::new(statistics.dimension as usize, statistics.dense, rows, with_vector.as_ref());
        let resident = Self {
            statistics,
            ids: IdTable::decode(needed(Section::Ids)?, rows).map_err(at(Section::Ids))?,
            lsns: Column::decode(needed(Section::Lsns)?, rows).map_err(at(Section::Lsns))?,
            sizes: Column::decode(needed(Section::Sizes)?, rows).map_err(at(Section::Sizes))?,
            dense: dense.map_err(at(Section::DenseRows))?,
            dense_blocks: directory(Section::Dense)?,
            metadata: directory(Section::Metadata)?,
            sparse: directory(Section::Sparse)?,
            terms: directory(Section::PostingTerms)?,
            postings: directory(Section::Postings)?,
            heads: directory(Section::FieldHeads)?,
            pages: directory(Section::FieldPages)?,
            scan_codes: directory(Section::ScanCodes)?,
            second_codes: directory(Section::SecondCodes)?,
            orders: directory(Section::ImpactOrder)?,
            shape: Shape { rows, dimension: statistics.dimension as usize, field_pages: 0 },
        };
        resident.checked(table)
    }

    fn checked(mut self, table: &Table) -> Result<Self, (Section, Malformed)> {
        self.shape.field_pages = self.pages.len();
        let each = rows_per_block(self.shape.dimension);
        let blocks = self.statistics.dense.div_ceil(each);
        let in_step = self.dense_blocks.iter().enumerate().all(|(n, b)| b.first == n as u32 * each && u64::from(b.raw_len) == b.extent.len);
        if self.dense_blocks.len() != blocks || !in_step {
            return Err((Section::Dense, Malformed("its blocks do not fit the number of vectors")));
        }
        let same_rows = self.terms.iter().map(|b| b.first).eq(self.postings.iter().map(|b| b.first));
        let plain = self.postings.iter().all(|b| u64::from(b.raw_len) == b.extent.len);
        if !same_rows || !plain {
            return Err((Section::Postings, Malformed("its groups are not those of the terms")));
        }
        let group = |first| self.postings.iter().any(|group| group.first == first);
        if !self.orders.iter().all(|order| group(order.first)) {
            return Err((Section::ImpactOrder, Malformed("an order is not that of a group")));
        }
        let beyond = |d: &Directory| d.iter().last().is_some_and(|b| b.first >= self.statistics.rows);
        for (section, directory) in
            [(Section::Metadata, &self.metadata), (Section::Sparse, &self.sparse), (Section::Postings, &self.postings)]
        {
            if beyond(directory) {
                return Err((section, Malformed("a block begins after the last row")));
            }
        }
        if table.get(Section::Fields).is_none() && !self.heads.is_empty() {
            return Err((Section::Fields, Malformed("it is missing")));
        }
        Ok(self)
    }

    /// The blocks of a blocked section.
    pub(crate) fn directory(&self, section: Section) -> &Directory {
        static NONE: Directory = Directory::EMPTY;
        match section {
            Section::Dense => &self.dense_blocks,
            Section::Metadata => &self.metadata,
            Section::Sparse => &self.sparse,
            Section::PostingTerms => &self.terms,
            Section::Postings => &self.postings,
            Section::FieldHeads => &self.heads,
            Section::FieldPages => &self.pages,
            Section::ScanCodes => &self.scan_codes,
            Section::SecondCodes => &self.second_codes,
            Section::ImpactOrder => &self.orders,
            _ => &NONE,
        }
    }
}
