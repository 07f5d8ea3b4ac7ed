//! Collections: what pod indexes call their backups. One shape for every date; 2026-07 has one state more.

use pinyon_model::{Collection, CollectionName, CollectionState, NewCollection, Result};
use serde::{Deserialize, Serialize};

use crate::{ApiVersion, json};

#[derive(Deserialize)]
struct CreateBody {
    name: String,
    source: String,
}

/// Reads the body of `POST /collections`.
pub fn create_collection(body: &[u8]) -> Result<NewCollection> {
    let CreateBody { name, source } = json::from_control(body)?;
    Ok(NewCollection { name: CollectionName::new(&name)?, source })
}

/// The body that describes one collection.
pub fn collection_model(version: ApiVersion, collection: &Collection) -> Vec<u8> {
    json::to_vec(&CollectionOut::new(version, collection))
}

/// The body that lists collections.
pub fn collection_list(version: ApiVersion, collections: &[Collection]) -> Vec<u8> {
    json::to_vec(&ListOut { collections: collections.iter().map(|c| CollectionOut::new(version, c)).collect() })
}

#[derive(Serialize)]
struct ListOut<'a> {
    collections: Vec<CollectionOut<'a>>,
}

#[derive(Serialize)]
struct CollectionOut<'a> {
    name: &'a str,
    status: &'static str,
    environment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimension: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector_count: Option<u64>,
}

impl<'a> CollectionOut<'a> {
    fn new(version: ApiVersion, collection: &'a Collection) -> Self {
        Self {
            name: collection.name.as_str(),
            status: match collection.state {
                CollectionState::Initializing => "Initializing",
                CollectionState::Ready => "Ready",
                // The older dates have no word for what holds nothing any more but this.
                CollectionState::Terminated if version < ApiVersion::V2026_07 => "Terminating",
                CollectionState::Terminated => "Terminated",
            },
            environment: &collection.environment,
            size: collection.size_bytes,
            dimension: collection.dimension.map(|d| d.get()),
            vector_count: collection.records,
        }
    }
}
