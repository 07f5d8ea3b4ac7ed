use std::collections::BTreeMap;

use pinyon_model::{Deployment, Index, IndexSchema, IndexSource, SchemaField};
use serde::Serialize;

use super::super::IndexHosts;
use super::super::parts::{self, ReadCapacityOut, StatusOut};

/// An index as 2026-07 prints it. Without tags, `tags` is `null`.
#[derive(Serialize)]
pub(in crate::control) struct IndexOut<'a> {
    id: String,
    name: &'a str,
    status: StatusOut,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_host: Option<&'a str>,
    schema: SchemaOut<'a>,
    deployment: DeploymentOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_capacity: Option<ReadCapacityOut<'a>>,
    deletion_protection: &'static str,
    tags: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmek_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_collection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_backup_id: Option<String>,
}

/// A schema as 2026-07 prints it.
#[derive(Serialize)]
pub(in crate::control) struct SchemaOut<'a> {
    fields: BTreeMap<&'a str, FieldOut<'a>>,
}

#[derive(Serialize)]
struct FieldOut<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimension: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filterable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "deployment_type", rename_all = "lowercase")]
enum DeploymentOut<'a> {
    Managed { cloud: &'a str, region: &'a str },
    Pod { environment: &'a str, pod_type: &'a str, replicas: u32, shards: u32 },
    Byoc { environment: &'a str },
}

impl<'a> IndexOut<'a> {
    pub(in crate::control) fn new(index: &'a Index, hosts: &'a IndexHosts) -> Self {
        let provisioned = !matches!(index.deployment, Deployment::Pod { .. });
        Self {
            id: index.id.to_string(),
            name: index.name.as_str(),
            status: index.state.into(),
            host: &hosts.host,
            private_host: hosts.private_host.as_deref(),
            schema: (&index.schema).into(),
            deployment: (&index.deployment).into(),
            read_capacity: provisioned.then(|| (&index.read_capacity).into()),
            deletion_protection: parts::deletion_protection_out(index.deletion_protection),
            tags: (!index.tags.is_empty()).then(|| index.tags.pairs()),
            cmek_id: index.cmek_id.map(|id| id.to_string()),
            source_collection: parts::source_collection(index),
            source_backup_id: match &index.source {
                Some(IndexSource::Backup(id)) => Some(id.to_string()),
                Some(IndexSource::Collection(_)) | None => None,
            },
        }
    }
}

impl<'a> From<&'a IndexSchema> for SchemaOut<'a> {
    fn from(schema: &'a IndexSchema) -> Self {
        Self { fields: schema.fields().iter().map(|(name, field)| (name.as_str(), field.into())).collect() }
    }
}

impl<'a> From<&'a SchemaField> for FieldOut<'a> {
    fn from(field: &'a SchemaField) -> Self {
        let plain = |kind, description: &'a Option<String>| Self {
            kind,
            dimension: None,
            metric: None,
            filterable: None,
            description: description.as_deref(),
        };
        match field {
            SchemaField::DenseVector { dimension, metric, description } => {
                Self { dimension: Some(dimension.get()), metric: Some(metric.as_str()), ..plain(Some("dense_vector"), description) }
            }
            SchemaField::SparseVector { description } => plain(Some("sparse_vector"), description),
            SchemaField::Filterable { description } => Self { filterable: Some(true), ..plain(None, description) },
        }
    }
}

impl<'a> From<&'a Deployment> for DeploymentOut<'a> {
    fn from(deployment: &'a Deployment) -> Self {
        match deployment {
            Deployment::Managed { cloud, region } => DeploymentOut::Managed { cloud, region },
            Deployment::Byoc { environment } => DeploymentOut::Byoc { environment },
            Deployment::Pod { environment, pod_type, replicas, shards, indexed: _ } => {
                DeploymentOut::Pod { environment, pod_type, replicas: *replicas, shards: *shards }
            }
        }
    }
}
