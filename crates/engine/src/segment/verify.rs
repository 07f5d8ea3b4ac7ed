//! Reads every byte of a segment.

use pinyon_model::Result;

use super::{
    block::{self, MetadataBlock, Shape, SparseBlock},
    codec::Malformed,
    dense::DenseBlock,
    fields::{FieldHead, FieldNames, NumberPage, TextPage},
    format::{BlockEntry, Directory, MAGIC, Section},
    impacts::ImpactOrder,
    postings::TermsBlock,
    reader::SegmentReader,
};
use crate::error::stored;

/// Blocked sections of known kinds.
const BLOCKED: [Section; 8] = [
    Section::Dense,
    Section::Metadata,
    Section::Sparse,
    Section::PostingTerms,
    Section::Postings,
    Section::FieldHeads,
    Section::FieldPages,
    Section::ImpactOrder,
];

/// Checks and decodes one stored block, as a search would.
pub(super) fn check_block(section: Section, stored: &[u8], entry: &BlockEntry, shape: &Shape) -> Result<(), Malformed> {
    match section {
        Section::Dense => block::read::<DenseBlock>(stored, entry, shape).map(drop),
        Section::Metadata => {
            let rows = block::read::<MetadataBlock>(stored, entry, shape)?;
            (0..rows.rows()).try_for_each(|row| rows.get(row).map(drop))
        }
        Section::Sparse => {
            let rows = block::read::<SparseBlock>(stored, entry, shape)?;
            (0..rows.rows()).try_for_each(|row| rows.get(row).map(drop))
        }
        Section::PostingTerms => block::read::<TermsBlock>(stored, entry, shape).map(drop),
        Section::ImpactOrder => block::read::<ImpactOrder>(stored, entry, shape).map(drop),
        Section::FieldHeads => block::read::<FieldHead>(stored, entry, shape).map(drop),
        // Which type a page has is known to its head alone; it must be one of the two.
        Section::FieldPages => match block::read::<TextPage>(stored, entry, shape) {
            Ok(_) => Ok(()),
            Err(_) => block::read::<NumberPage>(stored, entry, shape).map(drop),
        },
        _ => entry.extent.check(stored),
    }
}

impl SegmentReader {
    /// Reads, authenticates, checks and decodes every byte. An error names the file and what is wrong with it.
    pub(crate) async fn verify(&self) -> Result<()> {
        self.sealed().verify().await.map_err(stored)?;
        let start = self.read_range(0..MAGIC.len() as u64).await?;
        if *start != MAGIC {
            return Err(super::damaged(self.name(), "start", Malformed("it is not a segment's")));
        }
        for section in super::resident::RESIDENT.into_iter().chain([Section::Fields]) {
            let Some(extent) = self.table.get(section) else { continue };
            let bytes = self.read_range(extent.range()).await?;
            let decoded = match section {
                Section::Fields => FieldNames::decode(&bytes).map(drop),
                _ => Ok(()),
            };
            extent.check(&bytes).and(decoded).map_err(|m| self.damaged(section, m))?;
        }
        for section in BLOCKED {
            for entry in self.directory(section).iter() {
                let bytes = self.read_range(entry.extent.range()).await?;
                check_block(section, &bytes, entry, self.shape()).map_err(|m| self.damaged(section, m))?;
                tokio::task::yield_now().await;
            }
        }
        self.verify_codes().await?;
        self.verify_postings().await?;
        self.verify_impacts().await?;
        self.verify_unknown().await
    }

    /// Loads the codes as the first dense search would, beside those that are in use.
    async fn verify_codes(&self) -> Result<()> {
        let Some(codes) = self.load_codes().await? else { return Ok(()) };
        let checked = tokio::task::spawn_blocking(move || codes.check_numbers()).await;
        let checked = checked.unwrap_or(Err(Malformed("its numbers could not be checked")));
        checked.map_err(|m| self.damaged(Section::Clusters, m))
    }

    async fn verify_postings(&self) -> Result<()> {
        for group in 0..self.groups() {
            for terms in self.load::<TermsBlock>(&[group]).await? {
                let all: Vec<u32> = (0..terms.len()).collect();
                for wanted in all.chunks(1_024) {
                    for (list, term) in self.fetch_lists(group, &terms, wanted).await?.into_iter().zip(wanted) {
                        if self.decode_list(list)?.largest() > terms.largest(*term) {
                            return Err(self.damaged(Section::PostingTerms, Malformed("a value is larger than its term's largest")));
                        }
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(())
    }

    /// Sections of a later version: what they mean is not known here, whether they are whole is.
    async fn verify_unknown(&self) -> Result<()> {
        for (kind, blocked, extent) in &self.table.unknown {
            let bad = |m: Malformed| super::damaged(self.name(), &format!("section {kind}"), m);
            let bytes = self.read_range(extent.range()).await?;
            extent.check(&bytes).map_err(bad)?;
            if !blocked {
                continue;
            }
            for entry in Directory::decode(&bytes, self.bytes()).map_err(bad)?.iter() {
                let bytes = self.read_range(entry.extent.range()).await?;
                entry.extent.check(&bytes).map_err(bad)?;
            }
        }
        Ok(())
    }
}
