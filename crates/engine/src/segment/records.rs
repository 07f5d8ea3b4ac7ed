//! Whole records out of a segment, and single vectors.

use std::{borrow::Cow, collections::BTreeMap, ops::Range, sync::Arc};

use bytes::Bytes;
use pinyon_kernels::Kernels;
use pinyon_model::{DenseVector, Metadata, Record, Result, SparseVector};

use super::{
    block::{Block, MetadataBlock, SparseBlock},
    codec::Malformed,
    dense::{DenseBlock, floats, rows_per_block},
    format::Section,
    reader::SegmentReader,
};

/// Which parts of a record are wanted beside its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Its dense and sparse vectors.
    pub(crate) values: bool,
    /// Its metadata.
    pub(crate) metadata: bool,
}

impl Parts {
    /// The whole record.
    pub(crate) const ALL: Self = Self { values: true, metadata: true };
}

/// Dense vectors of consecutive ordinals.
pub(crate) struct Stretch {
    /// The first ordinal.
    pub(crate) first: u32,
    values: StretchValues,
}

enum StretchValues {
    Cached(Arc<DenseBlock>, Range<usize>),
    Stored(Bytes),
}

impl Stretch {
    /// Their values, row-major.
    pub(crate) fn values(&self) -> Cow<'_, [f32]> {
        match &self.values {
            StretchValues::Cached(block, range) => Cow::Borrowed(block.values.get(range.clone()).unwrap_or_default()),
            StretchValues::Stored(bytes) => Cow::Owned(floats(bytes)),
        }
    }
}

/// Blocks of rows that are decoded before others get the thread: a millisecond of work.
const BLOCKS_AT_ONCE: usize = 64;
/// Dense vectors that are copied before others get the thread.
const VECTORS_AT_ONCE: usize = 512;

/// A block of rows of variable length.
trait Rows: Block {
    /// What one row is; empty where the row has none.
    type Row: Default;
    fn row(&self, within: u32) -> Result<Self::Row, Malformed>;
}

impl Rows for MetadataBlock {
    type Row = Metadata;
    fn row(&self, within: u32) -> Result<Metadata, Malformed> {
        self.get(within)
    }
}

impl Rows for SparseBlock {
    type Row = Option<SparseVector>;
    fn row(&self, within: u32) -> Result<Option<SparseVector>, Malformed> {
        self.get(within)
    }
}

impl SegmentReader {
    /// The records of these rows, in the order asked. Parts that are not wanted come back empty.
    pub(crate) async fn records(&self, rows: &[u32], parts: Parts) -> Result<Vec<Record>> {
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            let id = self.id(*row).ok_or_else(|| self.damaged(Section::Ids, Malformed("a row is missing")))?;
            records.push(Record { id, dense: None, sparse: None, metadata: Metadata::default() });
        }
        if parts.values {
            let dense = self.dense_of(rows).await?;
            let sparse = self.rows_of::<SparseBlock>(rows).await?;
            for (record, (dense, sparse)) in records.iter_mut().zip(dense.into_iter().zip(sparse)) {
                (record.dense, record.sparse) = (dense, sparse);
            }
        }
        if parts.metadata {
            for (record, metadata) in records.iter_mut().zip(self.rows_of::<MetadataBlock>(rows).await?) {
                record.metadata = metadata;
            }
        }
        Ok(records)
    }

    /// The rows of `B`'s section, in the order asked, some blocks at a time.
    async fn rows_of<B: Rows>(&self, rows: &[u32]) -> Result<Vec<B::Row>> {
        let directory = self.directory(B::SECTION);
        let mut found: Vec<B::Row> = rows.iter().map(|_| B::Row::default()).collect();
        let place = |(at, row): (usize, &u32)| {
            let block = directory.block_of(*row)?;
            directory.get(block).map(|entry| (block, row - entry.first, at))
        };
        let mut places: Vec<(u32, u32, usize)> = rows.iter().enumerate().filter_map(place).collect();
        places.sort_unstable();
        let by_block: Vec<&[(u32, u32, usize)]> = places.chunk_by(|a, b| a.0 == b.0).collect();
        for group in by_block.chunks(BLOCKS_AT_ONCE) {
            let blocks: Vec<u32> = group.iter().map(|places| places[0].0).collect();
            for (block, places) in self.load::<B>(&blocks).await?.into_iter().zip(group) {
                for (_, within, at) in *places {
                    found[*at] = block.row(*within).map_err(|m| self.damaged(B::SECTION, m))?;
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(found)
    }

    async fn dense_of(&self, rows: &[u32]) -> Result<Vec<Option<DenseVector>>> {
        let ordinals: Vec<Option<u32>> = rows.iter().map(|row| self.dense().ordinal(*row)).collect();
        let mut wanted: Vec<u32> = ordinals.iter().flatten().copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut vectors = BTreeMap::new();
        for wanted in wanted.chunks(VECTORS_AT_ONCE) {
            for stretch in self.vectors(wanted).await? {
                let values = stretch.values();
                for (ordinal, values) in (stretch.first..).zip(values.chunks_exact(self.dense().dimension)) {
                    let vector = DenseVector::new(values).map_err(|_| self.damaged(Section::Dense, Malformed("a vector is not valid")))?;
                    vectors.insert(ordinal, vector);
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(ordinals.into_iter().map(|o| o.and_then(|o| vectors.get(&o).cloned())).collect())
    }

    /// The dense vectors of these ordinals, which ascend: from the cache where their block is there, else read alone, in
    /// one batch, without filling the cache with their neighbours.
    pub(crate) async fn vectors(&self, ordinals: &[u32]) -> Result<Vec<Stretch>> {
        let each = rows_per_block(self.dense().dimension);
        let stretches: Vec<(u32, u32)> = ordinals.chunk_by(|a, b| *b == a + 1 && b % each != 0).map(|s| (s[0], s.len() as u32)).collect();
        let mut cached: Vec<Option<Arc<DenseBlock>>> = Vec::with_capacity(stretches.len());
        let mut ranges = Vec::new();
        for (first, count) in &stretches {
            let block = first / each;
            let hit = self.cached::<DenseBlock>(block);
            if hit.is_none() {
                let missing = || self.damaged(Section::Dense, Malformed("a block is missing"));
                let entry = self.directory(Section::Dense).get(block).ok_or_else(missing)?;
                let within = self.dense().values_at(first % each..first % each + count);
                if within.end > entry.extent.len {
                    return Err(missing());
                }
                ranges.push(entry.extent.offset + within.start..entry.extent.offset + within.end);
            }
            cached.push(hit);
        }
        let mut read = self.read_ranges(&ranges).await?.into_iter();
        let found = stretches.into_iter().zip(cached).map(|((first, count), hit)| {
            let start = (first % each) as usize * self.dense().dimension;
            let values = match hit {
                Some(block) => StretchValues::Cached(block, start..start + count as usize * self.dense().dimension),
                None => StretchValues::Stored(read.next().unwrap_or_default()),
            };
            Stretch { first, values }
        });
        Ok(found.collect())
    }

    /// Shows the dense vectors of these ordinals, which ascend, one by one and in no order, each with its place in `ordinals`, its values and
    /// its norm. What was read alone before is kept, so that vectors near to many queries are decrypted once.
    pub(crate) async fn single_vectors(&self, kernels: Kernels, ordinals: &[u32], mut see: impl FnMut(usize, &[f32], f64)) -> Result<()> {
        let missing = self.singles().look(kernels, self.object(), ordinals, &mut see);
        if missing.is_empty() {
            return Ok(());
        }
        let wanted: Vec<u32> = missing.iter().map(|at| ordinals[*at]).collect();
        let mut places = missing.into_iter();
        for stretch in self.vectors(&wanted).await? {
            let values = stretch.values();
            for (ordinal, values) in (stretch.first..).zip(values.chunks_exact(self.dense().dimension)) {
                let norm = kernels.norm_squared(values).sqrt();
                if let Some(at) = places.next() {
                    see(at, values, norm);
                }
                self.singles().insert(self.object(), ordinal, values, norm);
            }
        }
        Ok(())
    }
}
