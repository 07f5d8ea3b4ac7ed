//! The codes of one open segment, in RAM.

use std::{
    ops::{Deref, DerefMut, Range},
    sync::OnceLock,
};

use pinyon_kernels::{CodeBits, SCAN_BLOCK_LANES, scan_block_bytes};

use super::{head::Head, rotation::Rotation};
use crate::segment::codec::Malformed;

/// Stored parts, as read.
pub(crate) struct Parts {
    pub(crate) head: Head,
    /// The mean, f32 × padded.
    pub(crate) mean: Vec<u8>,
    /// Sizes of the clusters, u32 each.
    pub(crate) sizes: Vec<u8>,
    pub(crate) centers: Aligned,
    /// The ordinal of each slot, u32 each.
    pub(crate) rows: Vec<u8>,
    pub(crate) scan: Aligned,
    /// None while they are being made: only scan codes are asked then.
    pub(crate) second: Option<Aligned>,
}

/// The codes. A *slot* is a vector's place in the order of clusters and, within one, of ordinals.
pub(crate) struct Codes {
    head: Head,
    rotation: Rotation,
    mean: Vec<f32>,
    /// The first slot of each cluster, and the end of the last.
    starts: Vec<u32>,
    /// The first scan block of each cluster, and the end of the last.
    blocks: Vec<u32>,
    centers: Aligned,
    all_centers: Vec<u32>,
    center_norm: f64,
    ordinals: Vec<u32>,
    cluster_of: Vec<u32>,
    scan: Aligned,
    second: Aligned,
    /// The slot of each ordinal, once a filter needs it.
    slot_of: OnceLock<Vec<u32>>,
}

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

impl Codes {
    /// Puts the parts together; nothing vouches for them but their checksums.
    pub(crate) fn new(parts: Parts) -> Result<Self, Malformed> {
        let Parts { head, mean, sizes, centers, rows, scan, second } = parts;
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
        for (cluster, size) in (0u32..).zip(&sizes) {
            let start = starts.last().copied().unwrap_or(0);
            let end = start.checked_add(*size).filter(|end| *end <= head.vectors).ok_or(Malformed("its clusters hold too many vectors"))?;
            starts.push(end);
            blocks.push(blocks.last().copied().unwrap_or(0) + size.div_ceil(SCAN_BLOCK_LANES as u32));
            cluster_of.resize(end as usize, cluster);
        }
        let scan_len = blocks.last().copied().unwrap_or(0) as usize * scan_block_bytes(padded);
        let second_fits = second.as_ref().is_none_or(|second| second.len() == vectors * head.row_bytes(head.bits));
        if cluster_of.len() != vectors || !second_fits || scan.len() != scan_len {
            return Err(Malformed("its parts do not fit the number of vectors"));
        }
        let mut named = vec![false; vectors];
        if !ordinals.iter().all(|ordinal| named.get_mut(*ordinal as usize).is_some_and(|named| !std::mem::replace(named, true))) {
            return Err(Malformed("it names a vector twice, or one that is not there"));
        }
        let all_centers = (0..head.clusters).collect();
        let center_norm = center_norm(&centers, padded);
        let second = second.unwrap_or_else(|| Aligned::with_capacity(0));
        let rotation = Rotation::new(padded, head.seed);
        Ok(Self {
            head,
            rotation,
            mean,
            starts,
            blocks,
            centers,
            all_centers,
            center_norm,
            ordinals,
            cluster_of,
            scan,
            second,
            slot_of: OnceLock::new(),
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
            let mut left = self.slots(cluster).len();
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
