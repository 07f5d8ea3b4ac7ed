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

/// The body that describes one index: the answer to create, describe and configure. `host` is where its data plane answers, in
/// the form this caller should dial.
pub fn index_model(version: ApiVersion, index: &Index, host: &str) -> Vec<u8> {
    json::to_vec(&IndexOut::new(version, index, host))
}

/// The body that lists indexes, each with its host.
pub fn index_list<'a>(version: ApiVersion, indexes: impl IntoIterator<Item = (&'a Index, &'a str)>) -> Vec<u8> {
    json::to_vec(&ListOut { indexes: indexes.into_iter().map(|(index, host)| IndexOut::new(version, index, host)).collect() })
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
    fn new(version: ApiVersion, index: &'a Index, host: &'a str) -> Self {
        match version.family() {
            Family::Spec => IndexOut::Spec(Box::new(spec::IndexOut::new(version, index, host))),
            Family::Schema => IndexOut::Schema(Box::new(schema::IndexOut::new(index, host))),
        }
    }
}
