//! A record's vectors, in every form that requests and answers carry them.

use pinyon_model::{DenseVector, Error, Metadata, Record, RecordId, Result, SparseVector};
use serde::{Deserialize, Serialize};

use crate::{
    json::{self, Node, null_default},
    metadata::{self, MetadataOut},
    proto,
};

/// A sparse vector as JSON requests spell it.
#[derive(Debug, Deserialize, Default)]
pub(super) struct SparseBody {
    #[serde(default, deserialize_with = "null_default")]
    indices: Vec<u32>,
    #[serde(default, deserialize_with = "null_default")]
    values: Vec<f32>,
}

/// A record as JSON requests spell it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VectorBody {
    #[serde(default, deserialize_with = "null_default")]
    pub(super) id: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) values: Vec<f32>,
    #[serde(default, alias = "sparse_values", deserialize_with = "json::optional_object")]
    pub(super) sparse_values: Option<SparseBody>,
    #[serde(default)]
    pub(super) metadata: Option<Node>,
}

/// A dense vector; none when there are no values.
pub(super) fn dense(values: Vec<f32>) -> Result<Option<DenseVector>> {
    if values.is_empty() { Ok(None) } else { DenseVector::new(values).map(Some) }
}

/// A sparse vector; none when there are neither indices nor values.
fn sparse(indices: Vec<u32>, values: Vec<f32>) -> Result<Option<SparseVector>> {
    if indices.is_empty() && values.is_empty() { Ok(None) } else { SparseVector::new(indices, values).map(Some) }
}

pub(super) fn sparse_from_body(body: Option<SparseBody>) -> Result<Option<SparseVector>> {
    body.map_or(Ok(None), |s| sparse(s.indices, s.values))
}

pub(super) fn sparse_from_message(message: Option<proto::SparseValues>) -> Result<Option<SparseVector>> {
    message.map_or(Ok(None), |s| sparse(s.indices, s.values))
}

impl VectorBody {
    pub(super) fn into_record(self) -> Result<Record> {
        let metadata = metadata::from_optional_node(self.metadata)?.unwrap_or_default();
        record(self.id, dense(self.values)?, sparse_from_body(self.sparse_values)?, metadata)
    }
}

pub(super) fn record_from_message(message: proto::Vector) -> Result<Record> {
    let metadata = message.metadata.map_or(Ok(Metadata::default()), |s| metadata::from_node(metadata::struct_node(s)))?;
    record(message.id, dense(message.values)?, sparse_from_message(message.sparse_values)?, metadata)
}

fn record(id: String, dense: Option<DenseVector>, sparse: Option<SparseVector>, metadata: Metadata) -> Result<Record> {
    let id = RecordId::new(id)?;
    if dense.is_none() && sparse.is_none() {
        return Err(Error::invalid(format!("Vector '{id}' has neither values nor sparse values; at least one of them is needed")));
    }
    Ok(Record { id, dense, sparse, metadata })
}

/// A record as JSON answers spell it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VectorOut<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    values: &'a [f32],
    #[serde(skip_serializing_if = "Option::is_none")]
    sparse_values: Option<SparseOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<MetadataOut<'a>>,
}

#[derive(Serialize)]
struct SparseOut<'a> {
    indices: &'a [u32],
    values: &'a [f32],
}

impl<'a> VectorOut<'a> {
    pub(super) fn record(record: &'a Record) -> Self {
        Self::new(&record.id, None, record.dense.as_ref(), record.sparse.as_ref(), Some(&record.metadata))
    }
    /// JSON has no infinity, and clients decode a score as a number: one beyond 32-bit floats is printed as the largest of them.
    pub(super) fn scored(m: &'a pinyon_model::Match) -> Self {
        let score = m.score.clamp(f32::MIN, f32::MAX);
        Self::new(&m.id, Some(score), m.dense.as_ref(), m.sparse.as_ref(), m.metadata.as_ref())
    }
    fn new(
        id: &'a RecordId,
        score: Option<f32>,
        dense: Option<&'a DenseVector>,
        sparse: Option<&'a SparseVector>,
        metadata: Option<&'a Metadata>,
    ) -> Self {
        Self {
            id: id.as_str(),
            score,
            values: dense.map_or(&[], DenseVector::as_slice),
            sparse_values: sparse.map(|s| SparseOut { indices: s.indices(), values: s.values() }),
            metadata: metadata.filter(|m| !m.is_empty()).map(MetadataOut),
        }
    }
}

pub(super) fn values_message(dense: Option<DenseVector>) -> Vec<f32> {
    dense.map_or_else(Vec::new, |v| v.into_inner().into_vec())
}

pub(super) fn sparse_message(sparse: Option<SparseVector>) -> Option<proto::SparseValues> {
    sparse.map(|s| proto::SparseValues { indices: s.indices().to_vec(), values: s.values().to_vec() })
}

pub(super) fn metadata_message(metadata: Metadata) -> Option<prost_types::Struct> {
    (!metadata.is_empty()).then(|| metadata::into_struct(metadata))
}

pub(super) fn record_message(record: Record) -> proto::Vector {
    proto::Vector {
        id: record.id.as_str().to_owned(),
        values: values_message(record.dense),
        sparse_values: sparse_message(record.sparse),
        metadata: metadata_message(record.metadata),
    }
}
