//! The codes of a segment on their way to and from its sections.

use std::sync::Arc;

use pinyon_model::{Error, Result};

use super::{
    codec::Malformed,
    codes::{Codes, CodesBuilder, CodesPlan, Encoded, Head, Parts},
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
    let (mut scan, mut rows) = (Vec::new(), Vec::new());
    for batch in 0..plan.batches() {
        let encoded = encode(&plan, batch).await?;
        let first = plan.first_slot(batch);
        out.block(&mut scan_blocks, &encoded.scan, encoded.scan.len(), first).await?;
        out.block(&mut second_blocks, &encoded.second, encoded.second.len(), first).await?;
        scan.extend_from_slice(&encoded.scan);
        rows.extend_from_slice(&encoded.rows);
    }
    out.section(table, Section::Clusters, &[plan.mean(), plan.sizes()].concat()).await?;
    out.section(table, Section::Centers, &plan.centers()).await?;
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

/// Runs what takes long away from the threads that others wait for.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal("Making the codes of a segment failed unexpectedly"))
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

    async fn load_codes(&self) -> Result<Option<Arc<Codes>>> {
        if self.table.get(Section::CodesHead).is_none() {
            return Ok(None);
        }
        let head = self.whole(Section::CodesHead).await?;
        let head = Head::decode(&head).map_err(|m| self.damaged(Section::CodesHead, m))?;
        let mut mean = self.whole(Section::Clusters).await?;
        let mean_bytes = head.padded as usize * 4;
        if head.vectors != self.dense().count || mean.len() < mean_bytes {
            return Err(self.damaged(Section::CodesHead, Malformed("it does not fit the segment's vectors")));
        }
        let sizes = mean.split_off(mean_bytes);
        let centers = self.whole(Section::Centers).await?;
        let rows = self.whole(Section::CodedVectors).await?;
        let scan = self.blocks(Section::ScanCodes).await?;
        let second = Some(self.blocks(Section::SecondCodes).await?);
        let codes = Codes::new(Parts { head, mean, sizes, centers, rows, scan, second });
        Ok(Some(Arc::new(codes.map_err(|m| self.damaged(Section::Clusters, m))?)))
    }

    /// A section that is not blocked.
    async fn whole(&self, section: Section) -> Result<Vec<u8>> {
        let extent = self.table.get(section).ok_or_else(|| self.damaged(section, Malformed("it is missing")))?;
        let bytes = self.read_range(extent.range()).await?;
        extent.check(&bytes).map_err(|m| self.damaged(section, m))?;
        Ok(bytes.to_vec())
    }

    /// All blocks of a section, one after the other.
    async fn blocks(&self, section: Section) -> Result<Vec<u8>> {
        let directory = self.directory(section);
        let mut all = Vec::with_capacity(directory.iter().map(|entry| entry.extent.len as usize).sum());
        for entry in directory.iter() {
            let bytes = self.read_range(entry.extent.range()).await?;
            entry.extent.check(&bytes).map_err(|m| self.damaged(section, m))?;
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}
