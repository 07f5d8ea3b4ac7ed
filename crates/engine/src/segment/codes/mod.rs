//! Codes and clusters of dense vectors: what a search computes on instead of the vectors themselves. RFC 0002 tells how they work.
//!
//! Made once, while a segment is written ([`CodesBuilder`]); kept in RAM while it is open and searched ([`Codes`]).

mod assign;
mod builder;
mod calibrate;
mod chance;
mod encode;
mod head;
mod kmeans;
mod parallel;
mod query;
mod resident;
mod rotation;
mod vectors;

pub(crate) use builder::{CodesBuilder, CodesFrom, CodesPlan};
pub(crate) use chance::Chance;
pub(crate) use encode::Encoded;
pub(crate) use head::{Head, bits};
pub(crate) use query::CodeQuery;
pub(crate) use resident::{Aligned, Codes, Parts};
pub(crate) use rotation::{Rotation, padded};
