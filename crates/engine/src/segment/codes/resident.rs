//! The codes of one open segment, in RAM.

use std::{
    ops::{Deref, DerefMut, Range},
    sync::OnceLock,
};

use pinyon_kernels::{CodeBits, SCAN_BLOCK_LANES, scan_block_bytes};

use super::{encode::scan_centers, head::Head, rotation::Rotation};
use crate::segment::codec::Malformed;

/// Stored parts, as read.
pub(crate) struct Parts {
    pub(crate) head: Head,
    /// The mean, f32 × padded.
    pub(crate) mean: Vec<u8>,
    /// Sizes of the clusters, u32 each.
    pub(crate) sizes: Vec<u8>,
    /// How many slots each cluster holds beside its own, and which, u32 each; empty if none does.
    pub(crate) spilled: Vec<u8>,
    pub(crate) centers: Aligned,
    /// The ordinal of each slot, u32 each.
    pub(crate) rows: Vec<u8>,
    pub(crate) scan: Aligned,
    /// None while they are being made: only scan codes are asked then.
    pub(crate) second: Option<Aligned>,
}

/// The codes. A *slot* is a vector's number in the order of clusters and, within one, of ordinals. A cluster's scan blocks hold its own
/// slots, and then those that are *spilled* into it from others; a *place* is the number of such a scan code among those of all clusters.
pub(crate) struct Codes {
    head: Head,
    rotation: Rotation,
    mean: Vec<f32>,
    /// The first slot of each cluster, and the end of the last.
    starts: Vec<u32>,
    /// Slots that are found in a second cluster too.
    spilled: Vec<u32>,
    /// The first of those in each cluster, and the end of the last.
    spills: Vec<u32>,
    /// The first scan block of each cluster, and the end of the last.
    blocks: Vec<u32>,
    centers: Aligned,
    /// Scan blocks of the centers, and the cluster of each place there.
    center_scan: Aligned,
    center_order: Vec<u32>,
    all_centers: Vec<u32>,
    center_norm: f64,
    ordinals: Vec<u32>,
    cluster_of: Vec<u32>,
    scan: Aligned,
    second: Aligned,
    /// The slot of each ordinal, once a filter needs it.
    slot_of: OnceLock<Vec<u32>>,
    /// The place of each slot that is spilled.
    second_places: OnceLock<Vec<u32>>,
}

/// No vector has so many codes.
const NO_PLACE: u32 = u32::MAX;

/// Bytes that begin a line of the CPU's cache: a code then lies in as few lines as it can, which is a quarter of a scan's speed.
#[derive(Clone)]
pub(crate) struct Aligned {
    held: Vec<u8>,
    start: usize,
}

impl Aligned {
    /// No bytes yet; holds up to `capacity` of them.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        const LINE: usize = 64;
        let mut held: Vec<u8> = Vec::with_capacity(capacity + LINE);
        pinyon_kernels::prefer_huge_pages(held.spare_capacity_mut());
        let start = held.as_ptr().align_offset(LINE).min(LINE);
        held.resize(start, 0);
        Self { held, start }
    }

    /// Appends bytes. Past the capacity they would move, and may begin elsewhere.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }
}

impl Deref for Aligned {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.held[self.start..]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.held[self.start..]
    }
}

impl From<&[u8]> for Aligned {
    fn from(bytes: &[u8]) -> Self {
        let mut aligned = Self::with_capacity(bytes.len());
        aligned.extend(bytes);
        aligned
    }
}

/// The root mean square of the centers' norms, which a code of 8 bits tells well enough.
fn center_norm(centers: &[u8], padded: usize) -> f64 {
    let squares = centers.chunks_exact(padded + 8).map(|row| {
        let (code, factors) = row.split_at(padded);
        let points: f64 = code.iter().map(|value| (f64::from(*value) - 127.5).powi(2)).sum();
        let factor = factors.last_chunk().map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
        f64::from(factor).powi(2) * points
    });
    let (sum, count) = squares.fold((0.0, 0.0), |(sum, count), square| (sum + square, count + 1.0));
    if count > 0.0 { (sum / count).sqrt() } else { 0.0 }
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
}

/// The numbers below `count`, so that those next to each other, which belong to clusters that are like each other, come far apart.
fn spread(count: u32) -> Vec<u32> {
    let common = |mut a: u32, mut b: u32| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    // About the golden section: no few steps of it come back to where they began.
    let step = (u64::from(count) * 1_618 / 2_618) as u32..;
    let step = u64::from(step.into_iter().find(|step| common(*step, count) == 1).unwrap_or(1));
    (0..u64::from(count)).map(|at| (at * step % u64::from(count)) as u32).collect()
}

/// The first spilled slot of each cluster and the end of the last, and the slots.
fn spills(stored: &[u8], head: &Head) -> Result<(Vec<u32>, Vec<u32>), Malformed> {
    let clusters = head.clusters as usize;
    if stored.is_empty() {
        return Ok((vec![0; clusters + 1], Vec::new()));
    }
    let (counts, slots) = stored.split_at_checked(4 * clusters).ok_or(Malformed("it does not say how many vectors are spilled"))?;
    let slots = numbers(slots);
    // A vector is spilled once, if at all: what is stored must justify the room that is made for it.
    if slots.len() > head.vectors as usize || slots.iter().any(|slot| *slot >= head.vectors) {
        return Err(Malformed("it spills vectors that are not there"));
    }
    let mut spills = vec![0u32];
    for count in numbers(counts) {
        let end = spills.last().copied().unwrap_or(0).checked_add(count).filter(|end| *end as usize <= slots.len());
        spills.push(end.ok_or(Malformed("its clusters are spilled more vectors than there are"))?);
    }
    if spills.last().is_none_or(|end| *end as usize != slots.len()) {
        return Err(Malformed("it spills vectors into no cluster"));
    }
    Ok((spills, slots))
}

impl Codes {
    /// Puts the parts together; nothing vouches for them but their checksums.
    pub(crate) fn new(parts: Parts) -> Result<Self, Malformed> {
        let Parts { head, mean, sizes, spilled, centers, rows, scan, second } = parts;
        let (padded, clusters) = (head.padded as usize, head.clusters as usize);
        let mean: Vec<f32> = mean.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let sizes = numbers(&sizes);
        if mean.len() != padded || sizes.len() != clusters || centers.len() != clusters * head.row_bytes(CodeBits::Eight) {
            return Err(Malformed("its parts do not fit the number of clusters"));
        }
        let (ordinals, vectors) = (numbers(&rows), head.vectors as usize);
        // Before room is made for as many: what is stored must justify it.
        if ordinals.len() != vectors {
            return Err(Malformed("its parts do not fit the number of vectors"));
        }
        let (mut starts, mut blocks) = (vec![0u32], vec![0u32]);
        let mut cluster_of = Vec::with_capacity(vectors);
        let (spills, spilled) = spills(&spilled, &head)?;
        for (cluster, (size, spills)) in (0u32..).zip(sizes.iter().zip(spills.windows(2))) {
            let start = starts.last().copied().unwrap_or(0);
            let end = start.checked_add(*size).filter(|end| *end <= head.vectors).ok_or(Malformed("its clusters hold too many vectors"))?;
            starts.push(end);
            let entries = u64::from(*size) + u64::from(spills[1] - spills[0]);
            blocks.push(blocks.last().copied().unwrap_or(0) + entries.div_ceil(SCAN_BLOCK_LANES as u64) as u32);
            cluster_of.resize(end as usize, cluster);
        }
        let scan_len = blocks.last().copied().unwrap_or(0) as usize * scan_block_bytes(padded);
        let second_fits = second.as_ref().is_none_or(|second| second.len() == vectors * head.row_bytes(head.bits));
        // Places are numbers too.
        if head.vectors.checked_add(spilled.len() as u32).is_none() {
            return Err(Malformed("it has too many codes"));
        }
        if cluster_of.len() != vectors || !second_fits || scan.len() != scan_len {
            return Err(Malformed("its parts do not fit the number of vectors"));
        }
        let mut named = vec![false; vectors];
        if !ordinals.iter().all(|ordinal| named.get_mut(*ordinal as usize).is_some_and(|named| !std::mem::replace(named, true))) {
            return Err(Malformed("it names a vector twice, or one that is not there"));
        }
        let all_centers = (0..head.clusters).collect();
        let center_norm = center_norm(&centers, padded);
        let center_order = spread(head.clusters);
        let center_scan = Aligned::from(&scan_centers(padded, &centers, &center_order)[..]);
        let second = second.unwrap_or_else(|| Aligned::with_capacity(0));
        let rotation = Rotation::new(padded, head.seed);
        Ok(Self {
            head,
            rotation,
            mean,
            starts,
            spilled,
            spills,
            blocks,
            centers,
            center_scan,
            center_order,
            all_centers,
            center_norm,
            ordinals,
            cluster_of,
            scan,
            second,
            slot_of: OnceLock::new(),
            second_places: OnceLock::new(),
        })
    }

    /// Whether every number is one that can be computed with, and unused lanes of scan blocks are marked as such: for a verifier. A
    /// search takes no harm from others, but may miss what they belong to.
    pub(crate) fn check_numbers(&self) -> Result<(), Malformed> {
        let finite = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().all(|value| f32::from_le_bytes(*value).is_finite());
        let factors = |rows: &[u8], bits| rows.chunks_exact(self.head.row_bytes(bits)).all(|row| finite(&row[row.len() - 8..]));
        if !self.mean.iter().all(|value| value.is_finite()) || !factors(&self.centers, CodeBits::Eight) {
            return Err(Malformed("a center's factors are not finite"));
        }
        if !factors(&self.second, self.head.bits) {
            return Err(Malformed("a second code's factors are not finite"));
        }
        let each = scan_block_bytes(self.head.padded as usize);
        for cluster in 0..self.head.clusters {
            let mut left = self.places(cluster).len();
            for block in self.scan(cluster).chunks_exact(each) {
                let lanes = left.min(SCAN_BLOCK_LANES);
                let (addends, factors) = block[4 * self.head.padded as usize..].split_at(4 * SCAN_BLOCK_LANES);
                let (used, unused) = addends.split_at(4 * lanes);
                let skipped = unused.as_chunks::<4>().0.iter().all(|value| f32::from_le_bytes(*value) == f32::NEG_INFINITY);
                if !finite(used) || !finite(factors) || !skipped {
                    return Err(Malformed("a scan block's addends and factors are not those of its vectors"));
                }
                left -= lanes;
            }
        }
        Ok(())
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }
    /// The rotation that vectors went through.
    pub(crate) fn rotation(&self) -> &Rotation {
        &self.rotation
    }
    /// What was subtracted from every vector; rotated.
    pub(crate) fn mean(&self) -> &[f32] {
        &self.mean
    }
    pub(crate) fn vectors(&self) -> u32 {
        self.head.vectors
    }
    pub(crate) fn clusters(&self) -> u32 {
        self.head.clusters
    }
    /// The slots of a cluster.
    pub(crate) fn slots(&self, cluster: u32) -> Range<u32> {
        let cluster = cluster as usize;
        self.starts[cluster]..self.starts[cluster + 1]
    }
    /// The slots that a cluster holds beside its own.
    pub(crate) fn spilled(&self, cluster: u32) -> &[u32] {
        let cluster = cluster as usize;
        &self.spilled[self.spills[cluster] as usize..self.spills[cluster + 1] as usize]
    }
    /// The places of a cluster: those of its own slots, and then the spilled ones'.
    pub(crate) fn places(&self, cluster: u32) -> Range<u32> {
        let place = |cluster: usize| self.starts[cluster] + self.spills[cluster];
        place(cluster as usize)..place(cluster as usize + 1)
    }
    /// How many places there are.
    pub(crate) fn all_places(&self) -> usize {
        self.ordinals.len() + self.spilled.len()
    }
    /// The slot at a place of this cluster.
    pub(crate) fn slot_at(&self, cluster: u32, place: u32) -> u32 {
        let (own, place) = (self.slots(cluster), place - self.places(cluster).start);
        if place < own.len() as u32 { own.start + place } else { self.spilled(cluster)[place as usize - own.len()] }
    }
    /// The places of the vector with this ordinal.
    pub(crate) fn places_of(&self, ordinal: u32) -> impl Iterator<Item = u32> {
        let slot = self.slot_of().get(ordinal as usize).copied();
        let own = slot.map(|slot| slot + self.spills[self.cluster_of(slot) as usize]);
        let second = slot.and_then(|slot| self.second_places().get(slot as usize).copied()).filter(|place| *place != NO_PLACE);
        own.into_iter().chain(second)
    }
    /// The second place of each slot.
    fn second_places(&self) -> &[u32] {
        self.second_places.get_or_init(|| {
            let mut places = vec![NO_PLACE; if self.spilled.is_empty() { 0 } else { self.ordinals.len() }];
            for cluster in 0..self.head.clusters {
                let first = self.places(cluster).start + self.slots(cluster).len() as u32;
                (first..).zip(self.spilled(cluster)).for_each(|(place, slot)| places[*slot as usize] = place);
            }
            places
        })
    }
    /// The cluster that a place is in.
    pub(crate) fn cluster_at(&self, place: u32) -> u32 {
        let (mut low, mut high) = (0, self.head.clusters);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.places(middle).start <= place { low = middle } else { high = middle }
        }
        low
    }
    /// The scan blocks of a cluster.
    pub(crate) fn scan(&self, cluster: u32) -> &[u8] {
        let (cluster, each) = (cluster as usize, scan_block_bytes(self.head.padded as usize));
        &self.scan[self.blocks[cluster] as usize * each..self.blocks[cluster + 1] as usize * each]
    }
    /// How long the centers are, as a mean.
    pub(crate) fn center_norm(&self) -> f64 {
        self.center_norm
    }
    /// Rows of second codes, by slot.
    pub(crate) fn second(&self) -> &[u8] {
        &self.second
    }
    /// Rows of the centres' codes.
    pub(crate) fn centers(&self) -> &[u8] {
        &self.centers
    }
    /// Scan blocks of the centers, in an order of which every stretch is a sample, and the cluster of each place there.
    pub(crate) fn center_scan(&self) -> (&[u8], &[u32]) {
        (&self.center_scan, &self.center_order)
    }
    /// The numbers of all clusters.
    pub(crate) fn all_centers(&self) -> &[u32] {
        &self.all_centers
    }
    /// Which vector a slot is of.
    pub(crate) fn ordinal(&self, slot: u32) -> u32 {
        self.ordinals[slot as usize]
    }
    /// The cluster of a slot.
    pub(crate) fn cluster_of(&self, slot: u32) -> u32 {
        self.cluster_of[slot as usize]
    }
    /// The slot of each ordinal.
    pub(crate) fn slot_of(&self) -> &[u32] {
        self.slot_of.get_or_init(|| {
            let mut slots = vec![0; self.ordinals.len()];
            (0..).zip(&self.ordinals).for_each(|(slot, ordinal)| slots[*ordinal as usize] = slot);
            slots
        })
    }
}
