//! An open segment.

use std::{
    collections::HashSet,
    ops::Range,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use pinyon_kernels::Kernels;
use pinyon_model::{Filter, Lsn, ObjectId, RecordId, Result};
use pinyon_storage::{ObjectKind, Opens, SealedReader, SealedStore};
use tokio::sync::OnceCell;

use super::{
    block::{self, Block, Shape},
    codec::Malformed,
    codes::Codes,
    damaged,
    dense::DenseLayout,
    fields::FieldNames,
    format::{self, Directory, Extent, Footer, Section, Table},
    ids::Cursor,
    postings::{PostingList, TermsBlock},
    resident::{RESIDENT, Resident},
};
use crate::{
    cache::{BlockCache, BlockKey},
    error::stored,
    filter::{Selection, SelectionKey},
    vector_cache::Shelf,
};

/// Bytes read from the end at once: the footer, the table, and what was written just before them.
const TAIL_BYTES: u64 = 8 * 1024;

/// An open segment: cheap to share, read by many at once, changed by none.
pub(crate) struct SegmentReader {
    sealed: SealedReader,
    name: String,
    object: ObjectId,
    cache: Arc<BlockCache>,
    /// What of it was put into the cache.
    kept: Mutex<HashSet<BlockKey>>,
    /// Where single vectors are kept, once any were.
    singles: OnceLock<Arc<Shelf>>,
    /// Whether anything that a filter selects was.
    kept_selections: AtomicBool,
    pub(super) table: Table,
    resident: Resident,
    /// Read with the first dense search.
    pub(super) codes: OnceCell<Option<Arc<Codes>>>,
}

/// A block that was fetched: from the cache, or as stored bytes that are yet to be decoded.
pub(crate) struct Fetched<T> {
    block: u32,
    source: FetchedFrom<T>,
}

enum FetchedFrom<T> {
    Cache(Arc<T>),
    Store(Bytes),
}

impl<T> Fetched<T> {
    /// Whether it holds bytes that were just read.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self.source, FetchedFrom::Store(_))
    }
}

/// One term's postings of one group that were fetched.
pub(crate) struct FetchedList {
    key: BlockKey,
    rows: u32,
    source: FetchedFrom<PostingList>,
}

impl SegmentReader {
    /// Opens the segment `object` in folder `dir`.
    pub(crate) async fn open(
        store: &SealedStore,
        dir: &str,
        keys: &(impl Opens + ?Sized),
        object: ObjectId,
        cache: Arc<BlockCache>,
    ) -> Result<Self> {
        let name = format!("{dir}/{}", object.hex());
        let sealed = store.open(&name, ObjectKind::SEGMENT, keys).await.map_err(stored)?;
        if sealed.format() != format::FORMAT {
            let what = format!("its format is {}, and this version reads {}", sealed.format(), format::FORMAT);
            return Err(crate::error::damaged(&name, &what));
        }
        let bad = |part: &'static str| {
            let name = name.clone();
            move |malformed: Malformed| damaged(&name, part, malformed)
        };
        let len = sealed.plain_len();
        let tail_at = len.saturating_sub(TAIL_BYTES);
        let tail = read(&sealed, tail_at..len).await?;
        let footer_at = tail.len().checked_sub(format::FOOTER_LEN).ok_or_else(|| bad("footer")(Malformed("it ends too early")))?;
        let footer = Footer::decode(&tail[footer_at..], len).map_err(bad("footer"))?;
        let table = match footer.table.offset.checked_sub(tail_at) {
            Some(at) => tail.slice(at as usize..footer_at),
            None => read(&sealed, footer.table.range()).await?,
        };
        footer.table.check(&table).map_err(bad("table"))?;
        let table = Table::decode(&table, footer.table.offset).map_err(bad("table"))?;
        let resident = read_resident(&sealed, &name, &table, footer.table.offset, tail_at, &tail).await?;
        Ok(Self {
            sealed,
            name,
            object,
            cache,
            kept: Mutex::default(),
            singles: OnceLock::new(),
            kept_selections: AtomicBool::new(false),
            table,
            resident,
            codes: OnceCell::new(),
        })
    }

    /// The object's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
    /// The object's id.
    pub(crate) fn object(&self) -> ObjectId {
        self.object
    }
    /// Rows, dead ones too.
    pub(crate) fn rows(&self) -> u32 {
        self.resident.statistics.rows
    }
    /// Bytes of plaintext.
    pub(crate) fn bytes(&self) -> u64 {
        self.sealed.plain_len()
    }
    /// The row of this id, dead or alive.
    pub(crate) fn find(&self, id: &RecordId) -> Option<u32> {
        self.resident.ids.find(id.as_bytes())
    }
    /// The id of `row`, which must be one of the segment.
    pub(crate) fn id(&self, row: u32) -> Option<RecordId> {
        self.resident.ids.get(row)
    }
    /// Hints that the id of `row` will be wanted.
    pub(crate) fn prefetch_id(&self, kernels: Kernels, row: u32) {
        self.resident.ids.prefetch(kernels, row);
    }
    /// The first row whose id is not less than `text`; [`Self::rows`] if there is none.
    pub(crate) fn lower_bound(&self, text: &str) -> u32 {
        self.resident.ids.lower_bound(text.as_bytes()).0
    }
    /// The rows from `row` on with their ids, ascending.
    pub(crate) fn ids_from(&self, row: u32) -> Cursor<'_> {
        self.resident.ids.from(row)
    }
    /// The write that put `row`.
    pub(crate) fn lsn(&self, row: u32) -> Lsn {
        Lsn(self.resident.lsns.get(row))
    }
    /// Counted bytes of `row`.
    pub(crate) fn size_bytes(&self, row: u32) -> u64 {
        self.resident.sizes.get(row)
    }
    /// Where the dense vectors are.
    pub(crate) fn dense(&self) -> &DenseLayout {
        &self.resident.dense
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.resident.shape
    }
    pub(super) fn sealed(&self) -> &SealedReader {
        &self.sealed
    }
    pub(super) fn cache(&self) -> &BlockCache {
        &self.cache
    }
    pub(super) fn directory(&self, section: Section) -> &Directory {
        self.resident.directory(section)
    }
    pub(super) fn damaged(&self, section: Section, malformed: Malformed) -> pinyon_model::Error {
        damaged(&self.name, section.name(), malformed)
    }
    pub(super) fn key(&self, section: Section, block: u64) -> BlockKey {
        BlockKey { object: self.object, section: section as u16, block }
    }

    pub(super) fn keep<T: Send + Sync + 'static>(&self, key: BlockKey, block: &Arc<T>, weight_bytes: usize) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        self.cache.insert(key, Arc::clone(block), weight_bytes);
    }

    /// Where vectors that were read alone are kept.
    pub(super) fn singles(&self) -> &Shelf {
        self.singles.get_or_init(|| self.cache.vectors().shelf(self.dense().dimension))
    }

    /// What a filter selects, if it was kept.
    pub(crate) fn kept_selection(&self, filter: &Arc<Filter>) -> Option<Arc<Selection>> {
        self.cache.selection(&SelectionKey { object: self.object, filter: Arc::clone(filter) })
    }

    /// Keeps what a filter selects.
    pub(crate) fn keep_selection(&self, filter: &Arc<Filter>, selection: &Arc<Selection>) {
        self.kept_selections.store(true, Relaxed);
        let coded = if self.has_codes() { self.dense().count } else { 0 };
        let key = SelectionKey { object: self.object, filter: Arc::clone(filter) };
        self.cache.insert_selection(key, Arc::clone(selection), selection.weight_bytes(coded));
    }

    /// These ranges of plaintext, with one batched read.
    pub(super) async fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        self.sealed.read_ranges(ranges).await.map_err(stored)
    }

    pub(super) async fn read_range(&self, range: Range<u64>) -> Result<Bytes> {
        read(&self.sealed, range).await
    }

    /// The block, if it is in the cache.
    pub(crate) fn cached<T: Block>(&self, block: u32) -> Option<Arc<T>> {
        self.cache.get(&self.key(T::SECTION, u64::from(block)))
    }

    /// These blocks, in the order asked: what the cache lacks is read in one batch, and decoded by [`Self::decode`].
    pub(crate) async fn fetch<T: Block>(&self, blocks: &[u32]) -> Result<Vec<Fetched<T>>> {
        let cached: Vec<Option<Arc<T>>> = blocks.iter().map(|b| self.cached(*b)).collect();
        let missing = blocks.iter().zip(&cached).filter(|(_, c)| c.is_none());
        let ranges: Option<Vec<Range<u64>>> =
            missing.map(|(b, _)| self.directory(T::SECTION).get(*b).map(|entry| entry.extent.range())).collect();
        let ranges = ranges.ok_or_else(|| self.damaged(T::SECTION, Malformed("a block is missing")))?;
        let mut read = self.read_ranges(&ranges).await?.into_iter();
        let fetched = blocks.iter().zip(cached).map(|(block, cached)| {
            let source = match cached {
                Some(decoded) => FetchedFrom::Cache(decoded),
                None => FetchedFrom::Store(read.next().unwrap_or_default()),
            };
            Fetched { block: *block, source }
        });
        Ok(fetched.collect())
    }

    /// Decodes a fetched block and keeps it in the cache. This is work for the pool.
    pub(crate) fn decode<T: Block>(&self, fetched: Fetched<T>) -> Result<Arc<T>> {
        let block = fetched.block;
        let bytes = match fetched.source {
            FetchedFrom::Cache(decoded) => return Ok(decoded),
            FetchedFrom::Store(bytes) => bytes,
        };
        let decoded = Arc::new(self.decode_bytes::<T>(block, &bytes)?);
        self.keep(self.key(T::SECTION, u64::from(block)), &decoded, decoded.weight_bytes());
        Ok(decoded)
    }

    pub(super) fn decode_bytes<T: Block>(&self, block: u32, bytes: &[u8]) -> Result<T> {
        let decoded = match self.directory(T::SECTION).get(block) {
            Some(entry) => block::read::<T>(bytes, entry, self.shape()),
            None => Err(Malformed("a block is missing")),
        };
        decoded.map_err(|m| self.damaged(T::SECTION, m))
    }

    /// These blocks as they are stored, for something larger that is kept instead of them.
    pub(super) async fn read_blocks(&self, section: Section, blocks: &[u32]) -> Result<Vec<Bytes>> {
        let ranges: Option<Vec<Range<u64>>> =
            blocks.iter().map(|block| self.directory(section).get(*block).map(|entry| entry.extent.range())).collect();
        self.read_ranges(&ranges.ok_or_else(|| self.damaged(section, Malformed("a block is missing")))?).await
    }

    /// These blocks, decoded at once: for a few small ones.
    pub(crate) async fn load<T: Block>(&self, blocks: &[u32]) -> Result<Vec<Arc<T>>> {
        self.fetch(blocks).await?.into_iter().map(|fetched| self.decode(fetched)).collect()
    }

    /// The names of the metadata fields that are indexed.
    pub(crate) async fn field_names(&self) -> Result<Arc<FieldNames>> {
        let Some(extent) = self.table.get(Section::Fields) else { return Ok(Arc::default()) };
        let key = self.key(Section::Fields, 0);
        if let Some(names) = self.cache.get(&key) {
            return Ok(names);
        }
        let bytes = self.read_range(extent.range()).await?;
        let names = extent.check(&bytes).and_then(|()| FieldNames::decode(&bytes)).map_err(|m| self.damaged(Section::Fields, m))?;
        let names = Arc::new(names);
        self.keep(key, &names, names.weight_bytes());
        Ok(names)
    }

    /// The rows of sparse group `group`.
    pub(crate) fn group(&self, group: u32) -> Range<u32> {
        let groups = self.directory(Section::Postings);
        let first = groups.get(group).map_or(self.rows(), |entry| entry.first);
        first..groups.end_of(group, self.rows()).min(first.saturating_add(super::postings::GROUP_ROWS))
    }

    /// How many sparse groups there are; rows outside of all have no sparse vector.
    pub(crate) fn groups(&self) -> u32 {
        self.directory(Section::Postings).len()
    }

    /// Where the postings of a group begin.
    pub(super) fn postings_at(&self, group: u32, terms: &TermsBlock) -> Result<u64> {
        let extent = self.directory(Section::Postings).get(group).map(|entry| entry.extent);
        let fitting = extent.filter(|extent| extent.len == terms.postings_len());
        fitting.map(|extent| extent.offset).ok_or_else(|| self.damaged(Section::Postings, Malformed("its length does not fit the terms")))
    }

    /// The postings of these terms of one group, in the order asked, read in one batch.
    pub(crate) async fn fetch_lists(&self, group: u32, terms: &TermsBlock, wanted: &[u32]) -> Result<Vec<FetchedList>> {
        let offset = self.postings_at(group, terms)?;
        let key = |term: u32| self.key(Section::Postings, u64::from(group) << 32 | u64::from(term));
        let cached: Vec<Option<Arc<PostingList>>> = wanted.iter().map(|term| self.cache.get(&key(*term))).collect();
        let missing = wanted.iter().zip(&cached).filter(|(_, c)| c.is_none());
        let at = |range: Range<u64>| offset + range.start..offset + range.end;
        let ranges: Vec<Range<u64>> = missing.map(|(term, _)| at(terms.list_at(*term))).collect();
        let mut read = self.read_ranges(&ranges).await?.into_iter();
        let rows = self.group(group).len() as u32;
        let lists = wanted.iter().zip(cached).map(|(term, cached)| {
            let source = match cached {
                Some(list) => FetchedFrom::Cache(list),
                None => FetchedFrom::Store(read.next().unwrap_or_default()),
            };
            FetchedList { key: key(*term), rows, source }
        });
        Ok(lists.collect())
    }

    /// Decodes a fetched list and keeps it in the cache. This is work for the pool.
    pub(crate) fn decode_list(&self, fetched: FetchedList) -> Result<Arc<PostingList>> {
        let bytes = match fetched.source {
            FetchedFrom::Cache(list) => return Ok(list),
            FetchedFrom::Store(bytes) => bytes,
        };
        let list = Arc::new(PostingList::decode(&bytes, fetched.rows).map_err(|m| self.damaged(Section::Postings, m))?);
        self.keep(fetched.key, &list, list.weight_bytes());
        Ok(list)
    }
}

/// A segment that nobody has open, because its namespace is idle or it is to be deleted, leaves no plaintext behind.
impl Drop for SegmentReader {
    fn drop(&mut self) {
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        kept.iter().for_each(|key| self.cache.remove(key));
        if let Some(singles) = self.singles.get() {
            singles.forget(|object| object == self.object);
        }
        if *self.kept_selections.get_mut() {
            self.cache.forget_selections(self.object);
        }
    }
}

async fn read(sealed: &SealedReader, range: Range<u64>) -> Result<Bytes> {
    Ok(sealed.read_ranges(&[range]).await.map_err(stored)?.pop().unwrap_or_default())
}

/// Reads what stays resident in one batch; what lies in the tail that was read before is not read again.
async fn read_resident(sealed: &SealedReader, name: &str, table: &Table, limit: u64, tail_at: u64, tail: &Bytes) -> Result<Resident> {
    let wanted: Vec<(Section, Extent)> = RESIDENT.iter().filter_map(|s| table.get(*s).map(|extent| (*s, extent))).collect();
    let (near, far): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, extent)| extent.offset >= tail_at);
    let ranges: Vec<Range<u64>> = far.iter().map(|(_, extent)| extent.range()).collect();
    let read = if ranges.is_empty() { Vec::new() } else { sealed.read_ranges(&ranges).await.map_err(stored)? };
    let within = |extent: &Extent| (extent.offset - tail_at) as usize..(extent.offset - tail_at + extent.len) as usize;
    let mut sections: Vec<(Section, Bytes)> = far.iter().map(|(s, _)| *s).zip(read).collect();
    sections.extend(near.iter().map(|(s, extent)| (*s, tail.slice(within(extent)))));
    for (section, extent) in far.iter().chain(&near) {
        let bytes = sections.iter().find(|(s, _)| s == section).map(|(_, b)| &b[..]).unwrap_or_default();
        extent.check(bytes).map_err(|m| damaged(name, section.name(), m))?;
    }
    let bytes_of = |section| sections.iter().find(|(s, _)| *s == section).map(|(_, bytes)| &bytes[..]);
    Resident::decode(table, limit, bytes_of).map_err(|(section, m)| damaged(name, section.name(), m))
}
