//! Whole records out of a segment, and single vectors.

use std::{borrow::Cow, collections::BTreeMap, ops::Range, sync::Arc};

use bytes::Bytes;
use pinyon_model::{DenseVector, Metadata, Record, Result, SparseVector};

use super::{
    block::{MetadataBlock, SparseBlock},
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
            let sparse = self.sparse_of(rows).await?;
            for (record, (dense, sparse)) in records.iter_mut().zip(dense.into_iter().zip(sparse)) {
                (record.dense, record.sparse) = (dense, sparse);
            }
        }
        if parts.metadata {
            for (record, metadata) in records.iter_mut().zip(self.metadata_of(rows).await?) {
                record.metadata = metadata;
            }
        }
        Ok(records)
    }

    /// The metadata of these rows, in the order asked.
    pub(crate) async fn metadata_of(&self, rows: &[u32]) -> Result<Vec<Metadata>> {
        let (places, blocks) = self.places(Section::Metadata, rows);
        let loaded = self.load::<MetadataBlock>(&blocks).await?;
        let metadata = places.into_iter().map(|place| match place {
            Some((at, within)) => loaded[at].get(within).map_err(|m| self.damaged(Section::Metadata, m)),
            None => Ok(Metadata::default()),
        });
        metadata.collect()
    }

    async fn sparse_of(&self, rows: &[u32]) -> Result<Vec<Option<SparseVector>>> {
        let (places, blocks) = self.places(Section::Sparse, rows);
        let loaded = self.load::<SparseBlock>(&blocks).await?;
        let sparse = places.into_iter().map(|place| match place {
            Some((at, within)) => loaded[at].get(within).map_err(|m| self.damaged(Section::Sparse, m)),
            None => Ok(None),
        });
        sparse.collect()
    }

    /// For each row, which of the returned blocks it is in and where, if in any.
    fn places(&self, section: Section, rows: &[u32]) -> (Vec<Option<(usize, u32)>>, Vec<u32>) {
        let directory = self.directory(section);
        let found: Vec<Option<(u32, u32)>> = rows
            .iter()
            .map(|row| {
                let block = directory.block_of(*row)?;
                directory.get(block).map(|entry| (block, row - entry.first))
            })
            .collect();
        let mut blocks: Vec<u32> = found.iter().flatten().map(|(block, _)| *block).collect();
        blocks.sort_unstable();
        blocks.dedup();
        let places = found.into_iter().map(|f| f.map(|(block, within)| (blocks.partition_point(|b| *b < block), within)));
        (places.collect(), blocks)
    }

    async fn dense_of(&self, rows: &[u32]) -> Result<Vec<Option<DenseVector>>> {
        let ordinals: Vec<Option<u32>> = rows.iter().map(|row| self.dense().ordinal(*row)).collect();
        let mut wanted: Vec<u32> = ordinals.iter().flatten().copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut vectors = BTreeMap::new();
        for stretch in self.vectors(&wanted).await? {
            let values = stretch.values();
            for (ordinal, values) in (stretch.first..).zip(values.chunks_exact(self.dense().dimension)) {
                let vector = DenseVector::new(values).map_err(|_| self.damaged(Section::Dense, Malformed("a vector is not valid")))?;
                vectors.insert(ordinal, vector);
            }
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
}
