//! The control plane's indexes. Two families of dates speak of them in two shapes; each converts straight to and from `model`.

mod absent;
mod parts;
mod schema;
mod spec;
#[cfg(test)]
mod tests;

pub use absent::{no_assistants, no_backups, no_collections};
use pinyon_model::{Index, IndexChange, IndexSpec, Result};
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
