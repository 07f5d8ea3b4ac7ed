//! Indexes: the control plane.

mod control;
mod entry;

pub use entry::IndexRef;
