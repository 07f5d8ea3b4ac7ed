//! Makes the codes of a segment that is being written: vectors come one by one, clusters are made once all are known, and the codes go
//! out in batches, so that they need not be in memory together.

use std::ops::Range;

use pinyon_kernels::{Kernels, SCAN_BLOCK_LANES, scan_block_bytes};
use pinyon_model::Metric;

use super::{
    calibrate::calibrate,
    encode::{Encoded, encode, encode_centers},
    head::{Calibrated, Head, SEED, bits},
    kmeans::{Cluster, clusters},
    resident::{Aligned, Codes, Parts},
    vectors::Vectors,
};
use crate::segment::codec::Malformed;

/// From how many vectors on a segment has codes, and from how many on more than one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodesFrom {
    pub(crate) coded: usize,
    pub(crate) clustered: usize,
}

/// Clusters have no fewer vectors of their own than this on average.
const MEMBERS_MIN: usize = 40;
/// Clusters grow in number with the square root of the vectors, times this.
const PER_ROOT: f64 = 7.0;
/// About how many bytes of second codes a batch makes.
const BATCH_BYTES: usize = 768 << 10;

/// Collects the vectors.
pub(crate) struct CodesBuilder {
    vectors: Vectors,
    from: CodesFrom,
}

impl CodesBuilder {
    pub(crate) fn new(kernels: Kernels, metric: Metric, dimension: usize, from: CodesFrom) -> Self {
        Self { vectors: Vectors::new(kernels, metric, dimension, SEED), from }
    }

    pub(crate) fn push(&mut self, vector: &[f32]) {
        self.vectors.push(vector);
    }

    /// Makes the clusters. None if the vectors are too few, or codes of them could not be trusted. Takes seconds of all cores.
    pub(crate) fn plan(mut self) -> Option<CodesPlan> {
        let count = self.vectors.len();
        if count < self.from.coded.max(1) || !self.vectors.can_be_coded() {
            return None;
        }
        self.vectors.complete();
        let k = ((PER_ROOT * (count as f64).sqrt()) as usize).min(count / MEMBERS_MIN);
        let k = if count < self.from.clustered { 1 } else { k.max(1) };
        let clusters = clusters(&self.vectors, k, SEED);
        let head = Head {
            seed: SEED,
            metric: self.vectors.metric(),
            bits: bits(self.vectors.dimension()),
            padded: self.vectors.padded() as u32,
            vectors: count as u32,
            clusters: clusters.len() as u32,
            calibration: vec![Calibrated { k: 1, clusters: clusters.len() as u32, pool: count as u32 }],
        };
        let each = (BATCH_BYTES / head.row_bytes(head.bits)).max(1);
        let batches = batches(&clusters, each);
        Some(CodesPlan { vectors: self.vectors, clusters, head, batches })
    }
}

/// Runs of clusters of at most `each` vectors, or of one cluster.
fn batches(clusters: &[Cluster], each: usize) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut held = 0;
    for (n, cluster) in clusters.iter().enumerate() {
        match batches.last_mut() {
            Some(batch) if held + cluster.members.len() <= each => {
                batch.end = n + 1;
                held += cluster.members.len();
            }
            _ => {
                batches.push(n..n + 1);
                held = cluster.members.len();
            }
        }
    }
    batches
}

/// The clusters of a segment, about to be encoded.
pub(crate) struct CodesPlan {
    vectors: Vectors,
    clusters: Vec<Cluster>,
    head: Head,
    batches: Vec<Range<usize>>,
}

impl CodesPlan {
    /// In how many batches the codes come.
    pub(crate) fn batches(&self) -> usize {
        self.batches.len()
    }
    /// Bytes of all scan codes.
    pub(crate) fn scan_bytes(&self) -> usize {
        let blocks = |cluster: &Cluster| (cluster.members.len() + cluster.spilled.len()).div_ceil(SCAN_BLOCK_LANES);
        self.clusters.iter().map(blocks).sum::<usize>() * scan_block_bytes(self.vectors.padded())
    }
    /// The first slot of a batch.
    pub(crate) fn first_slot(&self, batch: usize) -> u32 {
        self.clusters[..self.batches[batch].start].iter().map(|cluster| cluster.members.len() as u32).sum()
    }
    /// The codes of a batch.
    pub(crate) fn encode(&self, batch: usize) -> Encoded {
        encode(&self.vectors, self.head.bits, &self.clusters[self.batches[batch].clone()])
    }
    /// The mean, as stored.
    pub(crate) fn mean(&self) -> Vec<u8> {
        self.vectors.mean().iter().flat_map(|value| value.to_le_bytes()).collect()
    }
    /// The clusters' sizes, as stored.
    pub(crate) fn sizes(&self) -> Vec<u8> {
        self.clusters.iter().flat_map(|cluster| (cluster.members.len() as u32).to_le_bytes()).collect()
    }
    /// How many slots each cluster holds beside its own, and which, as stored.
    pub(crate) fn spilled(&self) -> Vec<u8> {
        let mut slot_of = vec![0u32; self.vectors.len()];
        let members = self.clusters.iter().flat_map(|cluster| &cluster.members);
        (0..).zip(members).for_each(|(slot, number)| slot_of[*number as usize] = slot);
        let counts = self.clusters.iter().map(|cluster| cluster.spilled.len() as u32);
        let slots = self.clusters.iter().flat_map(|cluster| &cluster.spilled).map(|number| slot_of[*number as usize]);
        counts.chain(slots).flat_map(u32::to_le_bytes).collect()
    }
    /// The centres' codes, as stored.
    pub(crate) fn centers(&self) -> Vec<u8> {
        encode_centers(&self.vectors, &self.clusters)
    }

    /// The head, calibrated on the scan codes and rows of all batches. Takes seconds of all cores.
    pub(crate) fn calibrate(&self, scan: Aligned, rows: Vec<u8>) -> Result<Head, Malformed> {
        let (mean, sizes, centers) = (self.mean(), self.sizes(), Aligned::from(&self.centers()[..]));
        let spilled = self.spilled();
        let codes = Codes::new(Parts { head: self.head.clone(), mean, sizes, spilled, centers, rows, scan, second: None })?;
        Ok(Head { calibration: calibrate(&self.vectors, &codes, SEED), ..self.head.clone() })
    }
}
