//! The codes of a segment on their way to and from its sections.

use std::sync::Arc;

use bytes::Bytes;
use pinyon_model::{Error, Result};

use super::{
    codec::Malformed,
    codes::{Aligned, Codes, CodesBuilder, CodesPlan, Encoded, Head, Parts, bits, padded},
    dense::DenseLayout,
    format::{Directory, Section, Table},
    reader::SegmentReader,
    writer::Output,
};

/// Makes the codes, if there are to be any, and writes their sections.
pub(super) async fn write(out: &mut Output, table: &mut Table, builder: Option<CodesBuilder>) -> Result<()> {
    let Some(builder) = builder else { return Ok(()) };
    let Some(plan) = compute(move || builder.plan()).await? else { return Ok(()) };
    let plan = Arc::new(plan);
    let (mut scan_blocks, mut second_blocks) = (Directory::default(), Directory::default());
    // Scan codes are kept for the calibration: an eighth of a byte a dimension.
    let (mut scan, mut rows) = (Aligned::with_capacity(plan.scan_bytes()), Vec::new());
    for batch in 0..plan.batches() {
        let encoded = encode(&plan, batch).await?;
        let first = plan.first_slot(batch);
        out.block(&mut scan_blocks, &encoded.scan, encoded.scan.len(), first).await?;
        out.block(&mut second_blocks, &encoded.second, encoded.second.len(), first).await?;
        scan.extend(&encoded.scan);
        rows.extend_from_slice(&encoded.rows);
    }
    out.section(table, Section::Clusters, &[plan.mean(), plan.sizes()].concat()).await?;
    out.section(table, Section::Centers, &plan.centers()).await?;
    out.section(table, Section::Spilled, &plan.spilled()).await?;
    out.section(table, Section::CodedVectors, &rows).await?;
    let head = compute(move || plan.calibrate(scan, rows)).await?;
    let head = head.map_err(|_| Error::internal("Codes that were just made do not fit together"))?;
    out.section(table, Section::CodesHead, &head.encode()).await?;
    out.directory(table, Section::ScanCodes, &scan_blocks).await?;
    out.directory(table, Section::SecondCodes, &second_blocks).await
}

async fn encode(plan: &Arc<CodesPlan>, batch: usize) -> Result<Encoded> {
    let plan = Arc::clone(plan);
    compute(move || plan.encode(batch)).await
}

/// Runs what takes long away from the threads that others wait for, and behind them: on a thread of its own, which is served when no other
/// wants the processor, as are those it starts. A pool's thread would keep that for whoever comes next, since only root can take it back.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let failed = "Making the codes of a segment failed unexpectedly";
    let (tell, told) = tokio::sync::oneshot::channel();
    let run = move || {
        // Where it cannot be done, the work is done all the same.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::setpriority_process(None, NICE);
        let _ = tell.send(work());
    };
    std::thread::Builder::new().name("pinyon-codes".to_owned()).spawn(run).map_err(|_| Error::internal(failed))?;
    told.await.map_err(|_| Error::internal(failed))
}

/// How far behind others a thread stands that makes codes, of 19: a tenth of a share beside one that answers.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The sections that codes are kept in: a segment has all of them or none, but for that of spilled vectors, which may be missing: then none
/// are.
pub(super) const SECTIONS: [Section; 7] = [
    Section::CodesHead,
    Section::Clusters,
    Section::Centers,
    Section::CodedVectors,
    Section::ScanCodes,
    Section::SecondCodes,
    Section::Spilled,
];

/// Puts the codes of a segment together from what its sections hold, against which their checksums were held and nothing else.
pub(super) fn decode(stored: Stored<'_>, dense: &DenseLayout) -> Result<Codes, (Section, Malformed)> {
    let head = Head::decode(stored.head).map_err(|m| (Section::CodesHead, m))?;
    let of_vectors = head.vectors == dense.count && head.padded as usize == padded(dense.dimension) && head.bits == bits(dense.dimension);
    let Some((mean, sizes)) = stored.clusters.split_at_checked(head.padded as usize * 4).filter(|_| of_vectors) else {
        return Err((Section::CodesHead, Malformed("it does not fit the segment's vectors")));
    };
    let parts = Parts {
        head,
        mean: mean.to_vec(),
        sizes: sizes.to_vec(),
        spilled: stored.spilled,
        centers: stored.centers,
        rows: stored.rows,
        scan: stored.scan,
        second: Some(stored.second),
    };
    Codes::new(parts).map_err(|m| (Section::Clusters, m))
}

/// What the sections hold; of the blocked ones, all blocks.
pub(super) struct Stored<'a> {
    pub(super) head: &'a [u8],
    pub(super) clusters: &'a [u8],
    pub(super) spilled: Vec<u8>,
    pub(super) centers: Aligned,
    pub(super) rows: Vec<u8>,
    pub(super) scan: Aligned,
    pub(super) second: Aligned,
}

impl SegmentReader {
    /// The segment's codes, read when they are first needed; none if it has none.
    pub(crate) async fn codes(&self) -> Result<Option<Arc<Codes>>> {
        let codes = self.codes.get_or_try_init(|| self.load_codes()).await?;
        Ok(codes.clone())
    }

    /// Whether it has codes.
    pub(crate) fn has_codes(&self) -> bool {
        self.table.get(Section::CodesHead).is_some()
    }

    /// Reads the codes, and keeps nothing of them.
    pub(super) async fn load_codes(&self) -> Result<Option<Arc<Codes>>> {
        if SECTIONS.iter().all(|section| self.table.get(*section).is_none()) {
            return Ok(None);
        }
        let (head, clusters) = (self.whole(Section::CodesHead).await?, self.whole(Section::Clusters).await?);
        let spilled = match self.table.get(Section::Spilled) {
            Some(_) => self.whole(Section::Spilled).await?.to_vec(),
            None => Vec::new(),
        };
        let centers = Aligned::from(&self.whole(Section::Centers).await?[..]);
        let rows = self.whole(Section::CodedVectors).await?.to_vec();
        let scan = self.blocks(Section::ScanCodes).await?;
        let second = self.blocks(Section::SecondCodes).await?;
        let codes = decode(Stored { head: &head, clusters: &clusters, spilled, centers, rows, scan, second }, self.dense());
        Ok(Some(Arc::new(codes.map_err(|(section, m)| self.damaged(section, m))?)))
    }

    /// A section that is not blocked.
    async fn whole(&self, section: Section) -> Result<Bytes> {
        let extent = self.table.get(section).ok_or_else(|| self.damaged(section, Malformed("it is missing")))?;
        let bytes = self.read_range(extent.range()).await?;
        extent.check(&bytes).map_err(|m| self.damaged(section, m))?;
        Ok(bytes)
    }

    /// All blocks of a section, one after the other.
    async fn blocks(&self, section: Section) -> Result<Aligned> {
        let directory = self.directory(section);
        let len: u64 = directory.iter().map(|entry| entry.extent.len).sum();
        if len > self.bytes() || directory.iter().any(|entry| u64::from(entry.raw_len) != entry.extent.len) {
            return Err(self.damaged(section, Malformed("its blocks have lengths that cannot be")));
        }
        let mut all = Aligned::with_capacity(len as usize);
        for entry in directory.iter() {
            let bytes = self.read_range(entry.extent.range()).await?;
            entry.extent.check(&bytes).map_err(|m| self.damaged(section, m))?;
            all.extend(&bytes);
        }
        Ok(all)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_stands_behind_and_nothing_else_does() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let (own, started) = compute(move || (priority(), std::thread::spawn(priority).join().unwrap())).await.unwrap();
        assert_eq!((own, started, priority()), (NICE.max(before), NICE.max(before), before));
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        assert!(compute(|| panic!("no codes today")).await.is_err());
    }
}
