//! The few messages of Qdrant's gRPC API that queries and upserts need, by the field numbers of its public definition
//! (`lib/api/src/grpc/proto` in its repository: points.proto, json_with_int.proto).

use std::collections::BTreeMap;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PointId {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) num: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DenseVector {
    #[prost(float, repeated, tag = "1")]
    pub(crate) data: Vec<f32>,
}

/// A vector as it is stored; `dense` is one of several kinds.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Vector {
    #[prost(message, optional, tag = "101")]
    pub(crate) dense: Option<DenseVector>,
}

/// The vectors of a point; the unnamed one alone.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Vectors {
    #[prost(message, optional, tag = "1")]
    pub(crate) vector: Option<Vector>,
}

/// A payload value: a number or a text.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Value {
    #[prost(double, optional, tag = "2")]
    pub(crate) double_value: Option<f64>,
    #[prost(string, optional, tag = "4")]
    pub(crate) string_value: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PointStruct {
    #[prost(message, optional, tag = "1")]
    pub(crate) id: Option<PointId>,
    #[prost(btree_map = "string, message", tag = "3")]
    pub(crate) payload: BTreeMap<String, Value>,
    #[prost(message, optional, tag = "4")]
    pub(crate) vectors: Option<Vectors>,
}

/// `Points/Upsert`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UpsertPoints {
    #[prost(string, tag = "1")]
    pub(crate) collection_name: String,
    #[prost(bool, optional, tag = "2")]
    pub(crate) wait: Option<bool>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) points: Vec<PointStruct>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Match {
    #[prost(string, optional, tag = "1")]
    pub(crate) keyword: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FieldCondition {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) r#match: Option<Match>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Condition {
    #[prost(message, optional, tag = "1")]
    pub(crate) field: Option<FieldCondition>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Filter {
    #[prost(message, repeated, tag = "2")]
    pub(crate) must: Vec<Condition>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SearchParams {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) hnsw_ef: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VectorInput {
    #[prost(message, optional, tag = "2")]
    pub(crate) dense: Option<DenseVector>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Query {
    #[prost(message, optional, tag = "1")]
    pub(crate) nearest: Option<VectorInput>,
}

/// `Points/Query`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueryPoints {
    #[prost(string, tag = "1")]
    pub(crate) collection_name: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) query: Option<Query>,
    #[prost(message, optional, tag = "5")]
    pub(crate) filter: Option<Filter>,
    #[prost(message, optional, tag = "6")]
    pub(crate) params: Option<SearchParams>,
    #[prost(uint64, optional, tag = "8")]
    pub(crate) limit: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ScoredPoint {
    #[prost(message, optional, tag = "1")]
    pub(crate) id: Option<PointId>,
    #[prost(float, tag = "3")]
    pub(crate) score: f32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueryResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) result: Vec<ScoredPoint>,
}
