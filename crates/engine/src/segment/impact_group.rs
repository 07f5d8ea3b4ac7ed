//! Groups as a search that skips finds them: terms, order and cached lists of a group by one look into the cache.
//!
//! Lists stay entries of the cache of their own, so that rare ones give way to common ones; the group only knows where they are, as long
//! as they are there. Asking the cache for each of a query's lists would take longer than most searches, so it is told of every
//! [`TOLD_EVERY`]th use alone.

use std::{
    ops::Range,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use pinyon_kernels::Kernels;
use pinyon_model::{Result, SparseVector};

use super::{
    block::Block,
    codec::Malformed,
    format::Section,
    impacts::{ImpactList, ImpactOrder},
    postings::TermsBlock,
    reader::SegmentReader,
};
use crate::cache::BlockKey;

/// What tells a list's key in the cache from that of an order.
const LIST_KEY: u64 = 1 << 63;
/// What tells a group's.
const GROUP_KEY: u64 = 1 << 62;
/// Of so many searches of a group, one tells the cache which lists it used.
const TOLD_EVERY: u32 = 16;

/// What is known of one group.
struct ImpactGroup {
    number: u32,
    rows: Range<u32>,
    /// Where its postings begin.
    at: u64,
    terms: TermsBlock,
    order: Option<Arc<ImpactOrder>>,
    /// For each term its list, if somebody holds it.
    lists: RwLock<Box<[Weak<ImpactList>]>>,
    searches: AtomicU32,
}

impl ImpactGroup {
    fn weight_bytes(&self) -> usize {
        let terms = self.terms.weight_bytes() + self.terms.len() as usize * size_of::<Weak<ImpactList>>();
        terms + self.order.as_ref().map_or(0, |order| order.weight_bytes()) + size_of::<Self>()
    }

    fn put(&self, term: u32, list: &Arc<ImpactList>) {
        if let Some(place) = self.lists.write().unwrap_or_else(PoisonError::into_inner).get_mut(term as usize) {
            *place = Arc::downgrade(list);
        }
    }
}

/// One term's list that was fetched, and the query's value for the term.
struct FetchedList {
    weight: f32,
    term: u32,
    source: ListFrom,
}

enum ListFrom {
    Cache(Arc<ImpactList>),
    Store(Bytes),
}

/// What a search needs of one group, fetched.
pub(crate) struct FetchedGroup {
    group: Arc<ImpactGroup>,
    lists: Vec<FetchedList>,
}

/// What a search needs of one group.
pub(crate) struct GroupImpacts {
    /// The group's rows.
    pub(crate) rows: Range<u32>,
    /// Their positions; without it, they are in their own order.
    pub(crate) order: Option<Arc<ImpactOrder>>,
    /// For each index that the query and the group have, in ascending order, the query's value and the postings.
    pub(crate) lists: Vec<(f32, Arc<ImpactList>)>,
}

impl FetchedGroup {
    /// Whether it holds bytes that were just read.
    pub(crate) fn is_stored(&self) -> bool {
        self.lists.iter().any(|list| matches!(list.source, ListFrom::Store(_)))
    }

    /// No score of its rows is larger than this, nor is any magnitude of one.
    pub(crate) fn bound(&self) -> f64 {
        let largest = |list: &FetchedList| match &list.source {
            ListFrom::Cache(decoded) => decoded.largest,
            ListFrom::Store(_) => self.group.terms.largest(list.term),
        };
        // A little more, for the roundings of this sum and of those that it bounds.
        self.lists.iter().map(|list| f64::from(list.weight.abs()) * f64::from(largest(list))).sum::<f64>() * (1.0 + 1e-9)
    }
}

impl SegmentReader {
    /// What a search for `query` needs of these groups, in two batched reads.
    pub(crate) async fn fetch_impacts(&self, groups: &[u32], query: &SparseVector, kernels: Kernels) -> Result<Vec<FetchedGroup>> {
        let mut fetched = Vec::with_capacity(groups.len());
        let mut ranges = Vec::new();
        let groups = self.impact_groups(groups).await?;
        for stretch_is_near in [false, true] {
            for group in &groups {
                query.indices().iter().for_each(|index| group.terms.prefetch(kernels, *index, stretch_is_near));
            }
        }
        for group in groups {
            let lists = self.impact_lists(&group, query, kernels);
            for list in lists.iter().filter(|list| matches!(list.source, ListFrom::Store(_))) {
                let range = group.terms.list_at(list.term);
                ranges.push(group.at + range.start..group.at + range.end);
            }
            fetched.push(FetchedGroup { group, lists });
        }
        let mut read = self.read_ranges(&ranges).await?.into_iter();
        for list in fetched.iter_mut().flat_map(|group| &mut group.lists) {
            match &mut list.source {
                ListFrom::Cache(decoded) => decoded.prefetch(kernels),
                ListFrom::Store(bytes) => *bytes = read.next().unwrap_or_default(),
            }
        }
        Ok(fetched)
    }

    /// These groups, from the cache or in one batched read of terms and one of orders.
    async fn impact_groups(&self, groups: &[u32]) -> Result<Vec<Arc<ImpactGroup>>> {
        let mut all: Vec<Option<Arc<ImpactGroup>>> = groups.iter().map(|group| self.cache().get(&self.group_key(*group))).collect();
        let missing: Vec<u32> = groups.iter().zip(&all).filter(|(_, cached)| cached.is_none()).map(|(group, _)| *group).collect();
        if !missing.is_empty() {
            let terms = self.read_blocks(Section::PostingTerms, &missing).await?;
            let ordered: Vec<Option<u32>> = missing.iter().map(|group| self.order_block(self.group(*group).start)).collect();
            let blocks: Vec<u32> = ordered.iter().flatten().copied().collect();
            let mut orders = self.read_blocks(Section::ImpactOrder, &blocks).await?.into_iter();
            let places = all.iter_mut().filter(|place| place.is_none());
            for (((place, number), terms), order) in places.zip(missing).zip(terms).zip(ordered) {
                let terms = self.decode_bytes::<TermsBlock>(number, &terms)?;
                let order = order.and_then(|block| Some((block, orders.next()?)));
                let order = order.map(|(block, bytes)| self.decode_bytes::<ImpactOrder>(block, &bytes)).transpose()?;
                *place = Some(self.impact_group(number, terms, order.map(Arc::new))?);
            }
        }
        Ok(all.into_iter().flatten().collect())
    }

    fn impact_group(&self, number: u32, terms: TermsBlock, order: Option<Arc<ImpactOrder>>) -> Result<Arc<ImpactGroup>> {
        let (at, rows) = (self.postings_at(number, &terms)?, self.group(number));
        if order.as_ref().is_some_and(|order| order.len() != rows.len()) {
            return Err(self.damaged(Section::ImpactOrder, Malformed("it is not that of the group's rows")));
        }
        let lists = RwLock::new((0..terms.len()).map(|_| Weak::new()).collect());
        let group = Arc::new(ImpactGroup { number, rows, at, terms, order, lists, searches: AtomicU32::new(0) });
        self.keep(self.group_key(number), &group, group.weight_bytes());
        Ok(group)
    }

    fn group_key(&self, group: u32) -> BlockKey {
        self.key(Section::ImpactOrder, GROUP_KEY | u64::from(group))
    }

    fn list_key(&self, group: u32, term: u32) -> BlockKey {
        self.key(Section::ImpactOrder, LIST_KEY | u64::from(group) << 32 | u64::from(term))
    }

    /// The lists of a query's terms that the group has, those that nobody holds yet to be read.
    fn impact_lists(&self, group: &ImpactGroup, query: &SparseVector, kernels: Kernels) -> Vec<FetchedList> {
        let wanted = query.indices().iter().zip(query.values()).filter_map(|(index, weight)| Some((group.terms.find(*index)?, *weight)));
        let nothing_yet = |(term, weight)| FetchedList { weight, term, source: ListFrom::Store(Bytes::new()) };
        let mut lists: Vec<FetchedList> = wanted.map(nothing_yet).collect();
        let places = group.lists.read().unwrap_or_else(PoisonError::into_inner);
        // Each is somewhere else in memory: all are asked for before the first is waited for.
        lists.iter().for_each(|list| kernels.prefetch_at(places[list.term as usize].as_ptr()));
        for list in &mut lists {
            if let Some(decoded) = places[list.term as usize].upgrade() {
                list.source = ListFrom::Cache(decoded);
            }
        }
        drop(places);
        if group.searches.fetch_add(1, Ordering::Relaxed).is_multiple_of(TOLD_EVERY) {
            for list in lists.iter().filter(|list| matches!(list.source, ListFrom::Cache(_))) {
                let _told = self.cache().get::<ImpactList>(&self.list_key(group.number, list.term));
            }
        }
        lists
    }

    /// The block of the order of the group that begins at `first`, if it has one.
    fn order_block(&self, first: u32) -> Option<u32> {
        let orders = self.directory(Section::ImpactOrder);
        orders.block_of(first).filter(|block| orders.get(*block).is_some_and(|entry| entry.first == first))
    }

    /// Decodes what was fetched and keeps it in the cache. This is work for the pool.
    pub(crate) fn decode_impacts(&self, fetched: FetchedGroup) -> Result<GroupImpacts> {
        let FetchedGroup { group, lists } = fetched;
        let rows = group.rows.clone();
        let lists = lists.into_iter().map(|list| {
            let bytes = match list.source {
                ListFrom::Cache(decoded) => return Ok((list.weight, decoded)),
                ListFrom::Store(bytes) => bytes,
            };
            let decoded = ImpactList::decode(&bytes, rows.len() as u32, group.terms.largest(list.term), group.order.as_deref());
            let decoded = Arc::new(decoded.map_err(|m| self.damaged(Section::Postings, m))?);
            self.keep(self.list_key(group.number, list.term), &decoded, decoded.weight_bytes());
            group.put(list.term, &decoded);
            Ok((list.weight, decoded))
        });
        let lists = lists.collect::<Result<_>>()?;
        Ok(GroupImpacts { rows, order: group.order.clone(), lists })
    }

    /// Checks that every order is that of a group's rows.
    pub(super) async fn verify_impacts(&self) -> Result<()> {
        for group in 0..self.groups() {
            let rows = self.group(group);
            let Some(block) = self.order_block(rows.start) else { continue };
            for order in self.load::<ImpactOrder>(&[block]).await? {
                if order.len() != rows.len() {
                    return Err(self.damaged(Section::ImpactOrder, Malformed("it is not that of the group's rows")));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl GroupImpacts {
    /// The postings of `lists`, by row counted from the group's first, as if they had been stored and read.
    pub(crate) fn of(rows: Range<u32>, order: Option<&[u16]>, lists: &[(f32, std::collections::BTreeMap<u16, f32>)]) -> Self {
        let shape = super::block::Shape { rows: rows.end, dimension: 0, field_pages: 0 };
        let order = order.map(|order| Arc::new(ImpactOrder::decode(&ImpactOrder::encode(order), &shape).unwrap()));
        let read = |(weight, postings): &(f32, std::collections::BTreeMap<u16, f32>)| {
            let mut bytes: Vec<u8> = postings.keys().flat_map(|row| row.to_le_bytes()).collect();
            bytes.extend(postings.values().flat_map(|value| value.to_le_bytes()));
            let largest = postings.values().fold(0f32, |most, v| most.max(v.abs()));
            (*weight, Arc::new(ImpactList::decode(&bytes, rows.len() as u32, largest, order.as_deref()).unwrap()))
        };
        let lists = lists.iter().map(read).collect();
        Self { rows, order, lists }
    }
}

#[cfg(test)]
mod tests {
    use pinyon_model::{Metadata, Record, RecordId};

    use super::{
        super::tests::{Fixture, block_on},
        *,
    };

    /// A list that gave way is read again, alone, and one that somebody still holds is not.
    #[test]
    fn a_list_that_is_gone_is_read_again() {
        let record = |n: u16| Record {
            id: RecordId::new(format!("{n:04}")).unwrap(),
            dense: None,
            sparse: Some(SparseVector::new(vec![u32::from(n % 3), 7], vec![f32::from(n) + 1.0, 2.0]).unwrap()),
            metadata: Metadata::default(),
        };
        let records: Vec<Record> = (0..700).map(record).collect();
        let query = SparseVector::new(vec![1, 2, 7, 9], vec![1.0; 4]).unwrap();
        block_on(async {
            let reader = Fixture::new().segment(&records, 0).await;
            let fetch = async || reader.fetch_impacts(&[0], &query, Kernels::detect()).await.unwrap().remove(0);
            let stored = |fetched: &FetchedGroup| -> Vec<bool> {
                fetched.lists.iter().map(|list| matches!(list.source, ListFrom::Store(_))).collect()
            };
            let fetched = fetch().await;
            assert_eq!(stored(&fetched), [true; 3]);
            let values = |group: &GroupImpacts| -> Vec<Vec<Option<f32>>> {
                group.lists.iter().map(|(_, list)| (0..700).map(|position| list.get(position)).collect()).collect()
            };
            let group = reader.decode_impacts(fetched).unwrap();
            let expected = values(&group);
            let held = Arc::clone(&group.lists[0].1);
            drop(group);
            assert_eq!(stored(&fetch().await), [false; 3]);
            // The middle one gives way, as the first would if nobody held it.
            // Of the group's terms 0, 1, 2 and 7 these are those of the indices 1 and 2.
            [1, 2].into_iter().for_each(|term| reader.cache().remove(&reader.list_key(0, term)));
            reader.cache().settle();
            let fetched = fetch().await;
            assert_eq!(stored(&fetched), [false, true, false]);
            assert_eq!(values(&reader.decode_impacts(fetched).unwrap()), expected);
            assert_eq!(stored(&fetch().await), [false; 3]);
            drop(held);
            assert_eq!(stored(&fetch().await), [true, false, false]);
        });
    }
}
