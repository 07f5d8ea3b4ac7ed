//! The rows that a filter selects, by where their codes lie: cluster by cluster.
//!
//! So a search sees at once which clusters hold any of them and how many, and meets them in the order of memory.

use std::ops::Range;

use crate::segment::{Codes, DenseLayout};

/// Selected slots of one segment's codes, dead rows' among them.
#[derive(Debug)]
pub(crate) struct SlotSet {
    /// Clusters that hold any, ascending.
    clusters: Vec<u32>,
    /// How many slots these clusters hold, each with all before it.
    ends: Vec<u32>,
    slots: Slots,
    /// Slots of these clusters, selected or not.
    around: u32,
}

#[derive(Debug)]
enum Slots {
    /// Few: ascending.
    Listed(Vec<u32>),
    /// Many: a bit for each slot there is.
    Bits(Vec<u64>),
}

/// From one slot in so many on, a bit for each. A list takes more room than bits from one in 32 on, but less time to go through.
const BITS_FROM_ONE_IN: usize = 8;

impl SlotSet {
    /// The slots of the vectors with these ordinals.
    pub(crate) fn new(codes: &Codes, ordinals: &[u32]) -> Self {
        let slot_of = codes.slot_of();
        let slots = ordinals.iter().filter_map(|ordinal| slot_of.get(*ordinal as usize).copied());
        let all = codes.vectors() as usize;
        if ordinals.len() * BITS_FROM_ONE_IN < all {
            let mut slots: Vec<u32> = slots.collect();
            slots.sort_unstable();
            return Self::listed(codes, slots);
        }
        let mut bits = vec![0u64; all.div_ceil(64)];
        slots.for_each(|slot| bits[slot as usize / 64] |= 1 << (slot % 64));
        let mut set = Self::empty(Slots::Bits(bits));
        for cluster in 0..codes.clusters() {
            let here = codes.slots(cluster);
            let count = set.bits_in(&here).map(|(_, word)| word.count_ones()).sum();
            set.push(cluster, count, &here);
        }
        set.fitted()
    }

    fn listed(codes: &Codes, slots: Vec<u32>) -> Self {
        let mut set = Self::empty(Slots::Listed(Vec::new()));
        for one in slots.chunk_by(|a, b| codes.cluster_of(*a) == codes.cluster_of(*b)) {
            let cluster = codes.cluster_of(one[0]);
            set.push(cluster, one.len() as u32, &codes.slots(cluster));
        }
        Self { slots: Slots::Listed(slots), ..set }.fitted()
    }

    /// Without room for more: it is kept.
    fn fitted(mut self) -> Self {
        self.clusters.shrink_to_fit();
        self.ends.shrink_to_fit();
        self
    }

    fn empty(slots: Slots) -> Self {
        Self { clusters: Vec::new(), ends: Vec::new(), slots, around: 0 }
    }

    fn push(&mut self, cluster: u32, count: u32, slots: &Range<u32>) {
        if count > 0 {
            self.clusters.push(cluster);
            self.ends.push(self.len() + count);
            self.around += slots.len() as u32;
        }
    }

    /// About how many bytes one takes that selects so many of so many vectors: no fewer.
    pub(crate) fn bytes_at_most(selected: usize, vectors: usize) -> usize {
        // A cluster has 64 vectors or more as a mean, unless many were split, and takes two numbers.
        let clusters = 8 * selected.min(vectors / 32 + 1);
        clusters + if selected * BITS_FROM_ONE_IN < vectors { 4 * selected } else { vectors / 8 + 8 }
    }

    /// About how many bytes it takes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let slots = match &self.slots {
            Slots::Listed(slots) => size_of_val(&slots[..]),
            Slots::Bits(bits) => size_of_val(&bits[..]),
        };
        slots + size_of_val(&self.clusters[..]) + size_of_val(&self.ends[..])
    }

    /// How many slots are selected.
    pub(crate) fn len(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The share of the slots that are selected, in the clusters that hold any.
    pub(crate) fn density(&self) -> f64 {
        f64::from(self.len()) / f64::from(self.around.max(1))
    }

    /// The clusters that hold any, ascending.
    pub(crate) fn clusters(&self) -> &[u32] {
        &self.clusters
    }

    /// How many the cluster at `at` of [`Self::clusters`] holds.
    pub(crate) fn count(&self, at: usize) -> u32 {
        let listed = self.listed_at(at);
        listed.end - listed.start
    }

    fn listed_at(&self, at: usize) -> Range<u32> {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        start..self.ends[at]
    }

    /// Appends the selected slots of the cluster at `at`, whose slots are `here`, ascending.
    pub(crate) fn append(&self, at: usize, here: &Range<u32>, out: &mut Vec<u32>) {
        match &self.slots {
            Slots::Listed(slots) => {
                let listed = self.listed_at(at);
                out.extend_from_slice(&slots[listed.start as usize..listed.end as usize]);
            }
            Slots::Bits(_) => {
                for (first, mut word) in self.bits_in(here) {
                    while word != 0 {
                        out.push(first + word.trailing_zeros());
                        word &= word - 1;
                    }
                }
            }
        }
    }

    /// Whether a slot of the cluster at `at` is selected.
    #[inline]
    pub(crate) fn contains(&self, at: usize, slot: u32) -> bool {
        match &self.slots {
            Slots::Bits(bits) => bits[slot as usize / 64] >> (slot % 64) & 1 == 1,
            Slots::Listed(slots) => {
                let listed = self.listed_at(at);
                slots[listed.start as usize..listed.end as usize].binary_search(&slot).is_ok()
            }
        }
    }

    /// The words of bits that meet a range of slots, each with its first slot, less the bits of others.
    fn bits_in(&self, slots: &Range<u32>) -> impl Iterator<Item = (u32, u64)> {
        let bits: &[u64] = if let Slots::Bits(bits) = &self.slots { bits } else { &[] };
        let (start, end) = (slots.start, slots.end);
        let words = start / 64..end.div_ceil(64);
        words.filter_map(move |word| {
            let first = word * 64;
            let mut here = *bits.get(word as usize)?;
            if first < start {
                here &= u64::MAX << (start - first);
            }
            if end - first < 64 {
                here &= (1 << (end - first)) - 1;
            }
            Some((first, here))
        })
    }
}

/// The slots of these rows of a segment.
pub(super) fn slots_of(rows: &roaring::RoaringBitmap, codes: &Codes, layout: &DenseLayout) -> SlotSet {
    SlotSet::new(codes, &layout.ordinals(rows))
}
