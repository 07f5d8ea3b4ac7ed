//! The data plane: each operation's request and response, from and to JSON and protobuf, with one set of checks for both.

mod delete;
mod explain;
mod fetch;
mod list;
mod namespace;
mod query;
mod recall;
mod scan;
mod stats;
mod update;
mod upsert;
mod vector;

pub use delete::{DeleteRequest, DeleteResponse};
pub use explain::ExplainResponse;
pub use fetch::{FetchByMetadataRequest, FetchRequest, FetchResponse};
pub use list::{ListRequest, ListResponse};
pub use namespace::{CreateNamespaceRequest, ListNamespacesRequest, ListNamespacesResponse, NamespaceResponse};
pub use query::{QueryRequest, QueryResponse};
pub use recall::RecallResponse;
pub use stats::{DescribeIndexStatsRequest, DescribeIndexStatsResponse};
pub use update::{UpdateRequest, UpdateResponse};
pub use upsert::{UpsertRequest, UpsertResponse};

#[cfg(test)]
mod tests;

use pinyon_model::Usage;
use serde::Serialize;

use crate::proto;

/// What a read cost, as the vectors plane prints it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageOut {
    read_units: u32,
}

impl From<Usage> for UsageOut {
    fn from(usage: Usage) -> Self {
        Self { read_units: usage.read_units }
    }
}

/// The token of the next page, in an object of its own.
#[derive(Serialize)]
struct PaginationOut<'a> {
    next: &'a str,
}

impl<'a> PaginationOut<'a> {
    fn new(token: Option<&'a str>) -> Option<Self> {
        token.map(|next| Self { next })
    }
}

fn usage_message(usage: Usage) -> Option<proto::Usage> {
    Some(proto::Usage { read_units: Some(usage.read_units) })
}

fn pagination_message(token: Option<String>) -> Option<proto::Pagination> {
    token.map(|next| proto::Pagination { next })
}
