//! Indexes: the control plane.

mod control;
mod entry;
mod rules;
mod stored;

pub use entry::IndexRef;
pub(crate) use entry::{OfIndex, not_found, options};
pub(crate) use rules::check_spec;
#[cfg(test)]
pub(crate) use stored::tests::stored_index;
pub(crate) use stored::{StoredIndex, read_deployment, read_schema, write_deployment, write_schema};
