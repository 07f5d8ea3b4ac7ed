//! The rows that a filter selects, by where their codes lie: cluster by cluster.
//!
//! So a search sees at once which clusters hold any of them and how many, and meets them in the order of memory.

use std::ops::Range;

use crate::segment::{Codes, DenseLayout};

/// The places of selected vectors' codes in one segment, dead rows' among them.
#[derive(Debug)]
pub(crate) struct PlaceSet {
    /// Clusters that hold any, ascending.
    clusters: Vec<u32>,
    /// How many places these clusters hold, each with all before it.
    ends: Vec<u32>,
    places: Places,
    /// Vectors that are selected: one may have two places.
    vectors: u32,
    /// Places of these clusters, selected or not.
    around: u32,
}

#[derive(Debug)]
enum Places {
    /// Few: ascending.
    Listed(Vec<u32>),
    /// Many: a bit for each place there is.
    Bits(Vec<u64>),
}

/// From one place in so many on, a bit for each. A list takes more room than bits from one in 32 on, but less time to go through.
const BITS_FROM_ONE_IN: usize = 8;

/// Up to one place in so many, a list is sorted; more are put into its order by a bit for each.
const SORT_UP_TO_ONE_IN: usize = 64;

impl PlaceSet {
    /// The places of the vectors with these ordinals.
    pub(crate) fn new(codes: &Codes, ordinals: &[u32]) -> Self {
        let places = || ordinals.iter().flat_map(|ordinal| codes.places_of(*ordinal));
        let (all, vectors) = (codes.all_places(), ordinals.len() as u32);
        let count = ordinals.len() * all.div_ceil(codes.vectors().max(1) as usize);
        if count * SORT_UP_TO_ONE_IN < all {
            let mut places: Vec<u32> = places().collect();
            places.sort_unstable();
            return Self::listed(codes, places, vectors);
        }
        let mut bits = vec![0u64; all.div_ceil(64)];
        places().for_each(|place| bits[place as usize / 64] |= 1 << (place % 64));
        if count * BITS_FROM_ONE_IN < all {
            let mut places = Vec::with_capacity(count);
            (0..).step_by(64).zip(&bits).for_each(|(first, word)| append_bits(first, *word, &mut places));
            return Self::listed(codes, places, vectors);
        }
        let mut set = Self::empty(Places::Bits(bits), vectors);
        for cluster in 0..codes.clusters() {
            let here = codes.places(cluster);
            let count = set.bits_in(&here).map(|(_, word)| word.count_ones()).sum();
            set.push(cluster, count, &here);
        }
        set.fitted()
    }

    fn listed(codes: &Codes, places: Vec<u32>, vectors: u32) -> Self {
        let mut set = Self::empty(Places::Listed(Vec::new()), vectors);
        let mut rest = &places[..];
        while let Some(first) = rest.first() {
            let cluster = codes.cluster_at(*first);
            let here = codes.places(cluster);
            let (these, others) = rest.split_at(rest.partition_point(|place| *place < here.end));
            set.push(cluster, these.len() as u32, &here);
            rest = others;
        }
        Self { places: Places::Listed(places), ..set }.fitted()
    }

    /// Without room for more: it is kept.
    fn fitted(mut self) -> Self {
        self.clusters.shrink_to_fit();
        self.ends.shrink_to_fit();
        self
    }

    fn empty(places: Places, vectors: u32) -> Self {
        Self { clusters: Vec::new(), ends: Vec::new(), places, vectors, around: 0 }
    }

    fn push(&mut self, cluster: u32, count: u32, here: &Range<u32>) {
        if count > 0 {
            self.clusters.push(cluster);
            self.ends.push(self.len() + count);
            self.around += here.len() as u32;
        }
    }

    /// About how many bytes one takes that selects so many of so many vectors: no fewer.
    pub(crate) fn bytes_at_most(selected: usize, vectors: usize) -> usize {
        // A vector has two places at most; a cluster 40 vectors or more as a mean, unless many were split, and takes two numbers.
        let (selected, places) = (2 * selected, 2 * vectors);
        let clusters = 8 * selected.min(vectors / 20 + 1);
        clusters + if selected * BITS_FROM_ONE_IN < places { 4 * selected } else { places / 8 + 8 }
    }

    /// About how many bytes it takes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let places = match &self.places {
            Places::Listed(places) => size_of_val(&places[..]),
            Places::Bits(bits) => size_of_val(&bits[..]),
        };
        places + size_of_val(&self.clusters[..]) + size_of_val(&self.ends[..])
    }

    /// How many vectors are selected.
    pub(crate) fn vectors(&self) -> u32 {
        self.vectors
    }

    /// How many places are.
    pub(crate) fn len(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The share of the places that are selected, in the clusters that hold any.
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

    /// Appends the selected places of the cluster at `at`, whose places are `here`, ascending.
    pub(crate) fn append(&self, at: usize, here: &Range<u32>, out: &mut Vec<u32>) {
        match &self.places {
            Places::Listed(places) => {
                let listed = self.listed_at(at);
                out.extend_from_slice(&places[listed.start as usize..listed.end as usize]);
            }
            Places::Bits(_) => {
                self.bits_in(here).for_each(|(first, word)| append_bits(first, word, out));
            }
        }
    }

    /// Whether a place of the cluster at `at` is selected.
    #[inline]
    pub(crate) fn contains(&self, at: usize, place: u32) -> bool {
        match &self.places {
            Places::Bits(bits) => bits[place as usize / 64] >> (place % 64) & 1 == 1,
            Places::Listed(places) => {
                let listed = self.listed_at(at);
                places[listed.start as usize..listed.end as usize].binary_search(&place).is_ok()
            }
        }
    }

    /// The words of bits that meet a range of places, each with its first place, less the bits of others.
    fn bits_in(&self, places: &Range<u32>) -> impl Iterator<Item = (u32, u64)> {
        let bits: &[u64] = if let Places::Bits(bits) = &self.places { bits } else { &[] };
        let (start, end) = (places.start, places.end);
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

/// Appends the numbers of the bits of a word that are set, `first` being that of its lowest.
fn append_bits(first: u32, mut word: u64, out: &mut Vec<u32>) {
    while word != 0 {
        out.push(first + word.trailing_zeros());
        word &= word - 1;
    }
}

/// The places of these rows of a segment.
pub(super) fn places_of(rows: &roaring::RoaringBitmap, codes: &Codes, layout: &DenseLayout) -> PlaceSet {
    PlaceSet::new(codes, &layout.ordinals(rows))
}
