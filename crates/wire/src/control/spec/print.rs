use std::collections::BTreeMap;

use pinyon_model::{Deployment, Index};
use serde::Serialize;

use super::super::IndexHosts;
use super::super::parts::{self, MetadataSchemaOut, ReadCapacityOut, StatusOut};
use crate::ApiVersion;

/// An index as dates up to 2026-04 print it.
#[derive(Serialize)]
pub(in crate::control) struct IndexOut<'a> {
    id: String,
    name: &'a str,
    metric: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimension: Option<usize>,
    status: StatusOut,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_host: Option<&'a str>,
    spec: SpecOut<'a>,
    deletion_protection: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum SpecOut<'a> {
    Serverless(ServerlessOut<'a>),
    Pod(PodOut<'a>),
    Byoc(ByocOut<'a>),
}

#[derive(Serialize)]
struct ServerlessOut<'a> {
    cloud: &'a str,
    region: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_collection: Option<&'a str>,
    #[serde(flatten)]
    provision: ProvisionOut<'a>,
}

#[derive(Serialize)]
struct ByocOut<'a> {
    environment: &'a str,
    #[serde(flatten)]
    provision: ProvisionOut<'a>,
}

/// What 2025-10 added to serverless and BYOC specs.
#[derive(Serialize)]
struct ProvisionOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    read_capacity: Option<ReadCapacityOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<MetadataSchemaOut>,
}

#[derive(Serialize)]
struct PodOut<'a> {
    environment: &'a str,
    pod_type: &'a str,
    replicas: u32,
    shards: u32,
    pods: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_config: Option<MetadataConfigOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_collection: Option<&'a str>,
}

#[derive(Serialize)]
struct MetadataConfigOut<'a> {
    indexed: &'a [String],
}

impl<'a> IndexOut<'a> {
    pub(in crate::control) fn new(version: ApiVersion, index: &'a Index, hosts: &'a IndexHosts) -> Self {
        let shape = index.schema.shape();
        let typed = version >= ApiVersion::V2025_01;
        Self {
            id: index.id.to_string(),
            name: index.name.as_str(),
            metric: shape.metric().as_str(),
            dimension: shape.dense.map(|(d, _)| d.get()),
            status: index.state.into(),
            host: &hosts.host,
            private_host: hosts.private_host.as_deref().filter(|_| version >= ApiVersion::V2025_04),
            spec: SpecOut::new(version, index),
            deletion_protection: parts::deletion_protection_out(index.deletion_protection),
            vector_type: typed.then(|| shape.vector_type().as_str()),
            tags: (typed && !index.tags.is_empty()).then(|| index.tags.pairs()),
        }
    }
}

impl<'a> SpecOut<'a> {
    fn new(version: ApiVersion, index: &'a Index) -> Self {
        let provision = || ProvisionOut::new(version, index);
        let source_collection = parts::source_collection(index);
        match &index.deployment {
            Deployment::Managed { cloud, region } => {
                SpecOut::Serverless(ServerlessOut { cloud, region, source_collection, provision: provision() })
            }
            Deployment::Byoc { environment } => SpecOut::Byoc(ByocOut { environment, provision: provision() }),
            Deployment::Pod { environment, pod_type, replicas, shards, indexed } => SpecOut::Pod(PodOut {
                environment,
                pod_type,
                replicas: *replicas,
                shards: *shards,
                pods: replicas.saturating_mul(*shards),
                metadata_config: indexed.as_deref().map(|indexed| MetadataConfigOut { indexed }),
                source_collection,
            }),
        }
    }
}

impl<'a> ProvisionOut<'a> {
    fn new(version: ApiVersion, index: &'a Index) -> Self {
        if version < ApiVersion::V2025_10 {
            return Self { read_capacity: None, schema: None };
        }
        let schema = index.schema.metadata_schema().map(|schema| (&schema).into());
        Self { read_capacity: Some((&index.read_capacity).into()), schema }
    }
}
