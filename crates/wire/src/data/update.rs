use pinyon_model::{DenseVector, Error, Filter, Metadata, RecordId, Result, SparseVector, Update, UpdateTarget};
use serde::{Deserialize, Serialize};

use super::vector::{self, SparseBody};
use crate::{
    NamespaceRef, filter,
    json::{self, Node},
    metadata, proto,
};

/// A change of records that are there.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateRequest {
    /// Where.
    pub namespace: NamespaceRef,
    /// What.
    pub update: Update,
}

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateResponse {
    /// How many records an update by filter matched; none of an update by id.
    pub matched_records: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default, deserialize_with = "json::null_default")]
    id: String,
    #[serde(default, deserialize_with = "json::null_default")]
    values: Vec<f32>,
    #[serde(default, alias = "sparse_values", deserialize_with = "json::optional_object")]
    sparse_values: Option<SparseBody>,
    #[serde(default, alias = "set_metadata")]
    set_metadata: Option<Node>,
    #[serde(default)]
    filter: Option<Node>,
    #[serde(default, alias = "dry_run", deserialize_with = "json::null_default")]
    dry_run: bool,
}

/// What both forms of a request hold, before the rules.
struct Parts {
    id: String,
    filter: Option<Filter>,
    dry_run: bool,
    dense: Option<DenseVector>,
    sparse: Option<SparseVector>,
    set_metadata: Option<Metadata>,
}

impl UpdateRequest {
    /// Reads the body of `POST /vectors/update`.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let body: Body = json::from_gateway(body)?;
        let parts = Parts {
            id: body.id,
            filter: filter::from_optional_node(body.filter)?,
            dry_run: body.dry_run,
            dense: vector::dense(body.values)?,
            sparse: vector::sparse_from_body(body.sparse_values)?,
            set_metadata: metadata::from_optional_node(body.set_metadata)?,
        };
        Ok(Self { namespace: NamespaceRef::new(body.namespace.as_deref())?, update: parts.update()? })
    }

    /// Reads the message of `Update`.
    pub fn from_proto(message: proto::UpdateRequest) -> Result<Self> {
        let parts = Parts {
            id: message.id,
            filter: message.filter.map(|s| filter::from_node(metadata::struct_node(s))).transpose()?,
            dry_run: message.dry_run,
            dense: vector::dense(message.values)?,
            sparse: vector::sparse_from_message(message.sparse_values)?,
            set_metadata: message.set_metadata.map(|s| metadata::from_node(metadata::struct_node(s))).transpose()?,
        };
        Ok(Self { namespace: NamespaceRef::new(Some(&message.namespace))?, update: parts.update()? })
    }
}

impl Parts {
    fn update(self) -> Result<Update> {
        let target = match (self.id.is_empty(), self.filter) {
            (false, None) if self.dry_run => {
                return Err(Error::invalid("dryRun counts what a filter matches; it cannot be used with an id"));
            }
            (false, None) => UpdateTarget::Id(RecordId::new(self.id)?),
            (false, Some(_)) => return Err(Error::invalid("Cannot provide both 'id' and 'filter' to an update; use one of them")),
            (true, None) => return Err(Error::invalid("An update needs an 'id' or a 'filter'")),
            (true, Some(filter)) => UpdateTarget::Filter { filter, dry_run: self.dry_run },
        };
        Update { target, dense: self.dense, sparse: self.sparse, set_metadata: self.set_metadata }.checked()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Out {
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_records: Option<u64>,
}

impl UpdateResponse {
    /// The body of a 200.
    pub fn to_json(&self) -> Vec<u8> {
        json::to_vec(&Out { matched_records: self.matched_records })
    }

    /// The message, whose count ends at the largest 32-bit number.
    pub fn into_proto(self) -> proto::UpdateResponse {
        proto::UpdateResponse { matched_records: self.matched_records.map(|n| i32::try_from(n).unwrap_or(i32::MAX)) }
    }
}
