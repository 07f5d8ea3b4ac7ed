//! Backups: an index as it was at one moment, kept on its own (RFC 0009). A collection is one too, under another name.

mod control;
mod descriptor;
mod settle;
mod stored;
mod tasks;
mod transfer;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use control::{Taken, find, index_gone, not_found};
pub(crate) use descriptor::{BackupDescriptor, name as descriptor_name};
pub(crate) use settle::counts;
pub(crate) use stored::{read, write};
pub(crate) use tasks::{BackupTasks, RunningRestore};
pub use transfer::ExportedBackup;
pub(crate) use transfer::WAIT_MS;
pub use verify::BackupReport;
