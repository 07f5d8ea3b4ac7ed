//! Writes a segment in one pass.
//!
//! Rows come in the order of their ids and go out in blocks as these fill; what stays in RAM until the end is what a reader
//! keeps resident, and the filter index.

use pinyon_kernels::Kernels;
use pinyon_model::{Dimension, Error, Lsn, MetadataSchema, Metric, ObjectId, Record, Result};
use pinyon_storage::{ChunkSize, DataKey, KeyId, ObjectKind, Purpose, SealedStore, SealedWriter};
use roaring::RoaringBitmap;

use super::{
    block::{RowsBlockBuilder, compress},
    codec,
    codes::{CodesBuilder, CodesFrom},
    codes_section, column,
    dense::{self, DenseBlockBuilder},
    field_builder::FieldsBuilder,
    format::{self, BlockEntry, Directory, Extent, Footer, MAGIC, Section, Table},
    ids::IdTableBuilder,
    postings::GroupBuilder,
    resident::Statistics,
};
use crate::error::stored;

/// What a writer must know of the namespace.
pub(crate) struct SegmentOptions {
    /// How to compute norms.
    pub(crate) kernels: Kernels,
    /// Values of a dense vector, and how they are compared; none in a sparse index.
    pub(crate) dense: Option<(Dimension, Metric)>,
    /// Which segments get codes.
    pub(crate) codes: CodesFrom,
    /// Which metadata fields to index; all without one.
    pub(crate) schema: Option<MetadataSchema>,
}

/// A segment that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    /// Its object.
    pub(crate) object: ObjectId,
    /// The key it is sealed under.
    pub(crate) key: KeyId,
    /// Rows, at least one.
    pub(crate) rows: u32,
    /// Bytes of plaintext; on disk it is a little more.
    pub(crate) bytes: u64,
    /// Counted bytes of all rows, see [`Record::size_bytes`].
    pub(crate) counted_bytes: u64,
    /// The oldest write among them.
    pub(crate) lsn_min: Lsn,
    /// The newest write among them.
    pub(crate) lsn_max: Lsn,
}

/// A segment being written. Dropped before [`SegmentWriter::finish`], nothing of it becomes visible.
pub(crate) struct SegmentWriter {
    out: Output,
    key: KeyId,
    dense: DenseBlockBuilder,
    dense_rows: RoaringBitmap,
    dense_blocks: Directory,
    codes: Option<CodesBuilder>,
    metadata: RowsSection,
    sparse: RowsSection,
    sparse_rows: u32,
    group: GroupBuilder,
    terms: Directory,
    postings: Directory,
    orders: Directory,
    fields: FieldsBuilder,
    ids: IdTableBuilder,
    lsns: Vec<u64>,
    sizes: Vec<u64>,
}

/// Rows of variable length on their way out.
#[derive(Default)]
struct RowsSection {
    block: RowsBlockBuilder,
    blocks: Directory,
    first: u32,
}

/// The object, and how much of it is written.
pub(super) struct Output {
    writer: SealedWriter,
    offset: u64,
}

impl SegmentWriter {
    /// Begins a segment in folder `dir`.
    pub(crate) async fn create(store: &SealedStore, dir: &str, key: &DataKey, options: SegmentOptions, purpose: Purpose) -> Result<Self> {
        // Small chunks: a search reads a handful of single vectors, and pays for each whole chunk.
        let writer = store.writer(dir, ObjectKind::SEGMENT, format::FORMAT, key, ChunkSize::KIB_4, purpose).await.map_err(stored)?;
        let mut out = Output { writer, offset: 0 };
        out.put(&MAGIC).await?;
        Ok(Self {
            out,
            key: key.id(),
            dense: DenseBlockBuilder::new(options.kernels, options.dense.map_or(0, |(dimension, _)| dimension.get())),
            dense_rows: RoaringBitmap::new(),
            dense_blocks: Directory::default(),
            codes: options.dense.map(|(dimension, metric)| CodesBuilder::new(options.kernels, metric, dimension.get(), options.codes)),
            metadata: RowsSection::default(),
            sparse: RowsSection::default(),
            sparse_rows: 0,
            group: GroupBuilder::default(),
            terms: Directory::default(),
            postings: Directory::default(),
            orders: Directory::default(),
            fields: FieldsBuilder::new(options.schema),
            ids: IdTableBuilder::default(),
            lsns: Vec::new(),
            sizes: Vec::new(),
        })
    }

    /// Appends a record, whose id must be greater than the one before.
    pub(crate) async fn push(&mut self, record: &Record, lsn: Lsn) -> Result<()> {
        let row = self.ids.rows();
        if row == u32::MAX || record.dense.as_ref().is_some_and(|v| v.len() != self.dense.dimension()) {
            return Err(Error::internal("A record does not fit the segment that it was to be stored in"));
        }
        if !self.ids.push(&record.id) {
            return Err(Error::internal("Records were not in the order of their ids"));
        }
        self.lsns.push(lsn.0);
        self.sizes.push(record.size_bytes() as u64);
        self.fields.push(row, &record.metadata);
        if let Some(vector) = &record.dense {
            self.dense.push(vector);
            self.codes.iter_mut().for_each(|codes| codes.push(vector.as_slice()));
            self.dense_rows.insert(row);
        }
        self.metadata.block.push(|out| {
            if !record.metadata.is_empty() {
                codec::put_metadata(out, &record.metadata);
            }
        });
        self.sparse.block.push(|out| {
            if let Some(sparse) = &record.sparse {
                codec::put_sparse(out, sparse);
            }
        });
        self.sparse_rows += u32::from(record.sparse.is_some());
        self.group.push(record.sparse.as_ref());
        self.write_blocks(false).await
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u32 {
        self.ids.rows()
    }

    /// Writes the rest and makes the segment durable and visible. A segment has at least one row.
    pub(crate) async fn finish(mut self) -> Result<SegmentInfo> {
        let rows = self.ids.rows();
        if rows == 0 {
            return Err(Error::internal("A segment without records was to be stored"));
        }
        self.write_blocks(true).await?;
        let statistics = Statistics {
            rows,
            dense: self.dense_rows.len() as u32,
            sparse: self.sparse_rows,
            dimension: self.dense.dimension() as u32,
            lsn_min: Lsn(self.lsns.iter().min().copied().unwrap_or(0)),
            lsn_max: Lsn(self.lsns.iter().max().copied().unwrap_or(0)),
            counted_bytes: self.sizes.iter().sum(),
        };
        let mut table = Table::default();
        let mut out = self.out;
        out.section(&mut table, Section::Statistics, &statistics.encode()).await?;
        out.section(&mut table, Section::Ids, &self.ids.finish()).await?;
        out.section(&mut table, Section::Lsns, &column::encode(&self.lsns)).await?;
        out.section(&mut table, Section::Sizes, &column::encode(&self.sizes)).await?;
        if let Some(bytes) = dense::encode_rows(&self.dense_rows, rows) {
            out.section(&mut table, Section::DenseRows, &bytes).await?;
        }
        out.directory(&mut table, Section::Dense, &self.dense_blocks).await?;
        out.directory(&mut table, Section::Metadata, &self.metadata.blocks).await?;
        out.directory(&mut table, Section::Sparse, &self.sparse.blocks).await?;
        out.directory(&mut table, Section::PostingTerms, &self.terms).await?;
        out.directory(&mut table, Section::Postings, &self.postings).await?;
        out.directory(&mut table, Section::ImpactOrder, &self.orders).await?;
        out.fields(&mut table, self.fields).await?;
        codes_section::write(&mut out, &mut table, self.codes).await?;
        let bytes = table.encode();
        let extent = out.put(&bytes).await?;
        out.put(&Footer { table: extent }.encode()).await?;
        let object = out.writer.finish().await.map_err(stored)?;
        Ok(SegmentInfo {
            object: object.id,
            key: self.key,
            rows,
            bytes: object.plain_len,
            counted_bytes: statistics.counted_bytes,
            lsn_min: statistics.lsn_min,
            lsn_max: statistics.lsn_max,
        })
    }

    /// Writes the blocks that are full; at the end, all that hold anything.
    async fn write_blocks(&mut self, end: bool) -> Result<()> {
        if self.dense.is_full() || end && !self.dense.is_empty() {
            let (bytes, count) = self.dense.take();
            let first = self.dense_rows.len() as u32 - count;
            self.out.block(&mut self.dense_blocks, &bytes, bytes.len(), first).await?;
        }
        let row = self.ids.rows();
        for section in [&mut self.metadata, &mut self.sparse] {
            if section.block.is_full() || end && !section.block.is_empty() {
                section.write(&mut self.out, row).await?;
            }
        }
        if (self.group.is_full() || end)
            && let Some(rows) = self.group.take()
        {
            // Where every row has a dense vector too, all rows' sparse scores are wanted, and none is skipped.
            let ordered = self.dense.dimension() == 0;
            let group = tokio::task::spawn_blocking(move || rows.encode(ordered))
                .await
                .map_err(|_| Error::internal("Building the postings of a segment failed unexpectedly"))?;
            self.out.block(&mut self.terms, &group.terms, group.terms.len(), group.first).await?;
            self.out.block(&mut self.postings, &group.postings, group.postings.len(), group.first).await?;
            if let Some(order) = group.order {
                self.out.block(&mut self.orders, &order, order.len(), group.first).await?;
            }
        }
        Ok(())
    }
}

impl RowsSection {
    /// Writes the block, unless nothing in it has any bytes: a row without a block is an empty row.
    async fn write(&mut self, out: &mut Output, next: u32) -> Result<()> {
        let first = std::mem::replace(&mut self.first, next);
        let Some(raw) = self.block.take() else { return Ok(()) };
        let raw_len = raw.len();
        let stored = compress(raw);
        out.block(&mut self.blocks, &stored, raw_len, first).await
    }
}

impl Output {
    async fn put(&mut self, bytes: &[u8]) -> Result<Extent> {
        let extent = Extent { offset: self.offset, len: bytes.len() as u64, crc: crc32c::crc32c(bytes) };
        self.writer.write(bytes).await.map_err(stored)?;
        self.offset += extent.len;
        Ok(extent)
    }

    pub(super) async fn block(&mut self, directory: &mut Directory, stored: &[u8], raw_len: usize, first: u32) -> Result<()> {
        if raw_len as u64 > format::BLOCK_LEN_MAX {
            return Err(Error::internal("A block of a segment is longer than its format allows"));
        }
        let extent = self.put(stored).await?;
        directory.push(BlockEntry { extent, raw_len: raw_len as u32, first });
        // A block is some milliseconds of work: let others have the thread.
        tokio::task::yield_now().await;
        Ok(())
    }

    pub(super) async fn section(&mut self, table: &mut Table, section: Section, bytes: &[u8]) -> Result<()> {
        table.add(section, self.put(bytes).await?);
        Ok(())
    }

    pub(super) async fn directory(&mut self, table: &mut Table, section: Section, directory: &Directory) -> Result<()> {
        if directory.is_empty() {
            return Ok(());
        }
        self.section(table, section, &directory.encode()).await
    }

    async fn fields(&mut self, table: &mut Table, fields: FieldsBuilder) -> Result<()> {
        // Sorting a million texts takes a second: not on a thread that others wait for.
        let encoded = tokio::task::spawn_blocking(move || fields.finish())
            .await
            .map_err(|_| Error::internal("Building the filter index of a segment failed unexpectedly"))?;
        if encoded.heads.is_empty() {
            return Ok(());
        }
        let (mut heads, mut pages) = (Directory::default(), Directory::default());
        for page in &encoded.pages {
            self.block(&mut pages, page, page.len(), 0).await?;
        }
        for head in &encoded.heads {
            self.block(&mut heads, head, head.len(), 0).await?;
        }
        self.section(table, Section::Fields, &encoded.names).await?;
        self.directory(table, Section::FieldHeads, &heads).await?;
        self.directory(table, Section::FieldPages, &pages).await
    }
}
