//! The control plane: indexes, backups and what belongs to them. Two families of dates speak of indexes in two shapes; each converts straight
//! to and from `model`.

mod absent;
mod backup;
mod backup_schedule;
#[cfg(test)]
mod backup_tests;
mod collection;
mod parts;
mod restore_job;
mod schema;
mod spec;
#[cfg(test)]
mod tests;

pub use absent::no_assistants;
pub use backup::{
    backup_model, backup_page, create_backup, create_index_from_backup, created_from_backup, list_backups, list_index_backups,
};
pub use backup_schedule::{
    backup_schedule_history, backup_schedule_model, backup_schedule_page, create_backup_schedule, list_backup_schedule_history,
    list_backup_schedules, update_backup_schedule,
};
pub use collection::{collection_list, collection_model, create_collection};
use pinyon_model::{Index, IndexChange, IndexSpec, Result};
pub use restore_job::{list_restore_jobs, restore_job_model, restore_job_page};
use serde::Serialize;

use crate::{ApiVersion, json, version::Family};

/// Reads the body of `POST /indexes`.
pub fn create_index(version: ApiVersion, body: &[u8]) -> Result<IndexSpec> {
    match version.family() {
        Family::Spec => spec::create(body),
        Family::Schema => schema::create(body),
    }
}

/// Reads the body of `PATCH /indexes/{name}`.
pub fn configure_index(version: ApiVersion, body: &[u8]) -> Result<IndexChange> {
    match version.family() {
        Family::Spec => spec::configure(body),
        Family::Schema => schema::configure(body),
    }
}

/// Where an index's data plane answers, in the form this caller should dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexHosts {
    /// From everywhere.
    pub host: String,
    /// By a private endpoint: only for those who reach it, because clients that are told of it dial no other.
    pub private_host: Option<String>,
}

impl From<&str> for IndexHosts {
    fn from(host: &str) -> Self {
        Self { host: host.to_owned(), private_host: None }
    }
}

/// The body that describes one index: the answer to create, describe and configure.
pub fn index_model(version: ApiVersion, index: &Index, hosts: &IndexHosts) -> Vec<u8> {
    json::to_vec(&IndexOut::new(version, index, hosts))
}

/// The body that lists indexes, each with its hosts.
pub fn index_list<'a>(version: ApiVersion, indexes: impl IntoIterator<Item = (&'a Index, &'a IndexHosts)>) -> Vec<u8> {
    json::to_vec(&ListOut { indexes: indexes.into_iter().map(|(index, hosts)| IndexOut::new(version, index, hosts)).collect() })
}

#[derive(Serialize)]
struct ListOut<'a> {
    indexes: Vec<IndexOut<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum IndexOut<'a> {
    Spec(Box<spec::IndexOut<'a>>),
    Schema(Box<schema::IndexOut<'a>>),
}

impl<'a> IndexOut<'a> {
    fn new(version: ApiVersion, index: &'a Index, hosts: &'a IndexHosts) -> Self {
        match version.family() {
            Family::Spec => IndexOut::Spec(Box::new(spec::IndexOut::new(version, index, hosts))),
            Family::Schema => IndexOut::Schema(Box::new(schema::IndexOut::new(index, hosts))),
        }
    }
}
