//! A segment: an immutable, sealed set of records, in the order of their ids.
//!
//! What is needed to find a record (ids, LSNs, counted sizes, directories) is resident; vectors, metadata, postings and the
//! filter index are read on demand, in ranges, through the cache. Rows that were deleted since live beside the segment, in
//! [`deletes`], and are handed in by whoever searches. `docs/formats.md` draws the bytes.

mod bitmap;
mod block;
mod codec;
mod codes;
mod codes_section;
mod column;
pub(crate) mod deletes;
mod dense;
mod field_builder;
mod fields;
mod format;
pub(crate) mod fuzz;
mod ids;
mod impact_group;
mod impact_order;
mod impacts;
mod postings;
mod reader;
mod records;
mod resident;
mod verify;
mod writer;

pub(crate) use block::Block;
pub(crate) use codes::{Chance, CodeQuery, Codes, CodesFrom, Rotation};
pub(crate) use dense::{DenseBlock, DenseLayout, rows_per_block};
pub(crate) use fields::{FieldHead, NumberPage, RowUnion, TextPage};
pub(crate) use impact_group::{FetchedGroup, GroupImpacts};
pub(crate) use impacts::{BLOCK_ROWS, BlockedImpacts, Impact, ImpactList, Impacts, ShortImpacts};
pub(crate) use postings::{GROUP_ROWS, TermsBlock};
pub(crate) use reader::{Fetched, FetchedList, SegmentReader};
pub(crate) use records::{Parts, Stretch};
pub(crate) use writer::{SegmentInfo, SegmentOptions, SegmentWriter};

use codec::Malformed;
use pinyon_model::Error;

/// The error of stored bytes of `file` that are not what was written.
fn damaged(file: &str, part: &str, malformed: Malformed) -> Error {
    crate::error::damaged(file, &format!("{part}: {}", malformed.0))
}

#[cfg(test)]
mod coded_tests;
#[cfg(test)]
mod impacts_tests;
#[cfg(test)]
pub(crate) mod tests;
