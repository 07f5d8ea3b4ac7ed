use pinyon_model::{DenseVector, Error, Filter, Match, Query, QueryTarget, RecordId, Result, SparseVector, TopK, Usage};
use serde::{Deserialize, Serialize};

use super::{
    UsageOut, scan, usage_message,
    vector::{self, SparseBody, VectorOut},
};
use crate::{
    NamespaceRef, filter,
    json::{self, Node},
    metadata, proto,
};

/// A search.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRequest {
    /// Where.
    pub namespace: NamespaceRef,
    /// What.
    pub query: Query,
}

/// The matches of a search, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResponse {
    /// As the request spelled it.
    pub namespace: NamespaceRef,
    /// Best first.
    pub matches: Vec<Match>,
    /// What the search cost.
    pub usage: Usage,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body {
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default, alias = "top_k", deserialize_with = "json::whole_number")]
    top_k: Option<u32>,
    #[serde(default, deserialize_with = "json::null_default")]
    vector: Vec<f32>,
    #[serde(default, deserialize_with = "json::null_default")]
    id: String,
    #[serde(default, alias = "sparse_vector", deserialize_with = "json::optional_object")]
    sparse_vector: Option<SparseBody>,
    #[serde(default)]
    filter: Option<Node>,
    #[serde(default, alias = "include_values", deserialize_with = "json::null_default")]
    include_values: bool,
    #[serde(default, alias = "include_metadata", deserialize_with = "json::null_default")]
    include_metadata: bool,
    #[serde(default, alias = "scan_factor")]
    scan_factor: Option<f32>,
    #[serde(default, alias = "max_candidates", deserialize_with = "json::whole_number")]
    max_candidates: Option<u32>,
    #[serde(default, deserialize_with = "json::null_default")]
    queries: Vec<serde::de::IgnoredAny>,
}

/// What both forms of a request hold, before the rules.
struct Parts {
    top_k: u32,
    dense: Option<DenseVector>,
    sparse: Option<SparseVector>,
    id: String,
    filter: Option<Filter>,
    include_values: bool,
    include_metadata: bool,
    scan_factor: Option<f32>,
    max_candidates: Option<u32>,
    batched: bool,
}

impl Body {
    /// Numbers are almost all of a body: when it is spelled plainly they are read fast, and only the rest the general way, which also says
    /// what is wrong with any body.
    pub(super) fn read(body: &[u8]) -> Result<Self> {
        if let Some((vector, rest)) = scan::query(body)
            && let Ok(rest) = json::from_gateway::<Self>(&rest)
        {
            return Ok(Self { vector, ..rest });
        }
        json::from_gateway(body)
    }
}

impl QueryRequest {
    /// Reads the body of `POST /query`.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let body = Body::read(body)?;
        let parts = Parts {
            top_k: body.top_k.unwrap_or_default(),
            dense: vector::dense(body.vector)?,
            sparse: vector::sparse_from_body(body.sparse_vector)?,
            id: body.id,
            filter: filter::from_optional_node(body.filter)?,
            include_values: body.include_values,
            include_metadata: body.include_metadata,
            scan_factor: body.scan_factor,
            max_candidates: body.max_candidates,
            batched: !body.queries.is_empty(),
        };
        Ok(Self { namespace: NamespaceRef::new(body.namespace.as_deref())?, query: parts.query()? })
    }

    /// Reads the message of `Query`.
    #[expect(deprecated, reason = "the batch form is refused by name")]
    pub fn from_proto(message: proto::QueryRequest) -> Result<Self> {
        let parts = Parts {
            top_k: message.top_k,
            dense: vector::dense(message.vector)?,
            sparse: vector::sparse_from_message(message.sparse_vector)?,
            id: message.id,
            filter: message.filter.map(|s| filter::from_node(metadata::struct_node(s))).transpose()?,
            include_values: message.include_values,
            include_metadata: message.include_metadata,
            scan_factor: message.scan_factor,
            max_candidates: message.max_candidates,
            batched: !message.queries.is_empty(),
        };
        Ok(Self { namespace: NamespaceRef::new(Some(&message.namespace))?, query: parts.query()? })
    }
}

impl Parts {
    fn query(self) -> Result<Query> {
        if self.batched {
            return Err(Error::unimplemented("'queries' is deprecated and not supported; send one request per query"));
        }
        let target = match (self.id.is_empty(), self.dense, self.sparse) {
            (false, None, None) => QueryTarget::Id(RecordId::new(self.id)?),
            (false, Some(_), _) => return Err(Error::invalid("Cannot provide both 'ID' and 'vector' at the same time")),
            (false, None, Some(_)) => return Err(Error::invalid("Cannot provide both 'ID' and 'sparseVector' at the same time")),
            (true, None, None) => return Err(Error::invalid("A query needs one of 'vector', 'sparseVector' and 'id'")),
            (true, dense, sparse) => QueryTarget::Vector { dense, sparse },
        };
        Query {
            target,
            top_k: TopK::new(self.top_k)?,
            filter: self.filter.filter(|f| !f.is_empty()),
            include_values: self.include_values,
            include_metadata: self.include_metadata,
            scan_factor: self.scan_factor,
            max_candidates: self.max_candidates,
        }
        .checked()
    }
}

#[derive(Serialize)]
struct Out<'a> {
    results: [(); 0],
    matches: Vec<VectorOut<'a>>,
    namespace: &'a str,
    usage: UsageOut,
}

impl QueryResponse {
    /// The body of a 200.
    pub fn to_json(&self) -> Vec<u8> {
        let matches = self.matches.iter().map(VectorOut::scored).collect();
        json::to_vec(&Out { results: [], matches, namespace: self.namespace.as_spelled(), usage: self.usage.into() })
    }

    /// The message.
    #[expect(deprecated, reason = "the batch form's results stay empty")]
    pub fn into_proto(self) -> proto::QueryResponse {
        let scored = |m: Match| proto::ScoredVector {
            id: m.id.as_str().to_owned(),
            score: m.score,
            values: vector::values_message(m.dense),
            sparse_values: vector::sparse_message(m.sparse),
            metadata: m.metadata.and_then(vector::metadata_message),
        };
        proto::QueryResponse {
            results: Vec::new(),
            matches: self.matches.into_iter().map(scored).collect(),
            namespace: self.namespace.as_spelled().to_owned(),
            usage: usage_message(self.usage),
        }
    }
}
