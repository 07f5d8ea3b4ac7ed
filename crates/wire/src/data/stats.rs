use std::collections::BTreeMap;

use pinyon_model::{Error, Filter, NamespaceName, Result, VectorShape};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    ApiVersion, filter,
    json::{self, Node},
    metadata, proto,
};

/// A question for an index's counts. It holds nothing: counting under a filter is refused, as Pinecone refuses it on serverless indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescribeIndexStatsRequest;

/// An index's counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribeIndexStatsResponse {
    /// Live records of each namespace.
    pub namespaces: BTreeMap<NamespaceName, u64>,
    /// Their sum.
    pub total: u64,
    /// What the index holds.
    pub shape: VectorShape,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    filter: Option<Node>,
}

impl DescribeIndexStatsRequest {
    /// Reads the body of `POST /describe_index_stats`; that of the GET is empty.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let body: Body = json::from_gateway(body)?;
        Self::new(filter::from_optional_node(body.filter)?)
    }

    /// Reads the message of `DescribeIndexStats`.
    pub fn from_proto(message: proto::DescribeIndexStatsRequest) -> Result<Self> {
        Self::new(message.filter.map(|s| filter::from_node(metadata::struct_node(s))).transpose()?)
    }

    fn new(filter: Option<Filter>) -> Result<Self> {
        match filter {
            Some(filter) if !filter.is_empty() => {
                Err(Error::invalid("Index statistics cannot be filtered by metadata on this kind of index; leave the filter out"))
            }
            _ => Ok(Self),
        }
    }
}

/// The default namespace's name in the counts: empty in old answers, spelled out since 2025-10.
fn namespace_key(name: &NamespaceName, version: ApiVersion) -> &str {
    if name.is_default() && version < ApiVersion::V2025_10 { "" } else { name.as_str() }
}

struct NamespacesOut<'a>(&'a BTreeMap<NamespaceName, u64>, ApiVersion);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryOut {
    vector_count: u64,
}

impl Serialize for NamespacesOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = |(name, &vector_count)| (namespace_key(name, self.1), SummaryOut { vector_count });
        serializer.collect_map(self.0.iter().map(entry))
    }
}

/// How full a fixed-size index is; one that grows with its data never fills. The two newer ones have had two spellings.
#[derive(Serialize)]
struct FullnessOut {
    #[serde(rename = "memoryFullness")]
    memory: f32,
    #[serde(rename = "memory_fullness")]
    memory_snake: f32,
    #[serde(rename = "storageFullness")]
    storage: f32,
    #[serde(rename = "storage_fullness")]
    storage_snake: f32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Out<'a> {
    namespaces: NamespacesOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimension: Option<usize>,
    index_fullness: f32,
    total_vector_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector_type: Option<&'static str>,
    #[serde(flatten)]
    fullness: Option<FullnessOut>,
}

impl DescribeIndexStatsResponse {
    /// The body of a 200 for a caller of this date.
    pub fn to_json(&self, version: ApiVersion) -> Vec<u8> {
        let typed = version >= ApiVersion::V2025_01;
        json::to_vec(&Out {
            namespaces: NamespacesOut(&self.namespaces, version),
            dimension: self.shape.dense.map(|(d, _)| d.get()),
            index_fullness: 0.0,
            total_vector_count: self.total,
            metric: typed.then(|| self.shape.metric().as_str()),
            vector_type: typed.then(|| self.shape.vector_type().as_str()),
            fullness: (version >= ApiVersion::V2025_10).then_some(FullnessOut {
                memory: 0.0,
                memory_snake: 0.0,
                storage: 0.0,
                storage_snake: 0.0,
            }),
        })
    }

    /// The message; the date, which some clients send as metadata, decides the default namespace's name alone. Counts end at the largest
    /// 32-bit number.
    pub fn into_proto(self, version: ApiVersion) -> proto::DescribeIndexStatsResponse {
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let summary = |(name, &n): (&NamespaceName, &u64)| {
            (namespace_key(name, version).to_owned(), proto::NamespaceSummary { vector_count: narrow(n) })
        };
        proto::DescribeIndexStatsResponse {
            namespaces: self.namespaces.iter().map(summary).collect(),
            dimension: self.shape.dense.and_then(|(d, _)| u32::try_from(d.get()).ok()),
            index_fullness: 0.0,
            total_vector_count: narrow(self.total),
            metric: Some(self.shape.metric().as_str().to_owned()),
            vector_type: Some(self.shape.vector_type().as_str().to_owned()),
            memory_fullness: Some(0.0),
            storage_fullness: Some(0.0),
        }
    }
}
