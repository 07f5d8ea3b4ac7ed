//! What both families spell alike: state, protection, tags, read capacity, clouds and pods.

use std::collections::BTreeMap;

use pinyon_model::{
    DeletionProtection, Deployment, Error, Index, IndexSource, IndexState, MetadataSchema, ReadCapacity, ReadCapacityChange, Result,
    excerpt,
};
use serde::{Deserialize, Serialize};

use crate::json;

/// Tags of a request; absent and `null` are none.
pub(super) type TagsBody = Option<BTreeMap<String, String>>;

pub(super) fn deletion_protection(text: Option<&str>) -> Result<Option<DeletionProtection>> {
    match text {
        None => Ok(None),
        Some("enabled") => Ok(Some(DeletionProtection::Enabled)),
        Some("disabled") => Ok(Some(DeletionProtection::Disabled)),
        Some(other) => Err(Error::invalid(format!("deletion_protection is '{}'; enabled and disabled are allowed", excerpt(other)))),
    }
}

pub(super) fn deletion_protection_out(protection: DeletionProtection) -> &'static str {
    match protection {
        DeletionProtection::Disabled => "disabled",
        DeletionProtection::Enabled => "enabled",
    }
}

/// `status` of an index.
#[derive(Serialize)]
pub(super) struct StatusOut {
    ready: bool,
    state: &'static str,
}

impl From<IndexState> for StatusOut {
    fn from(state: IndexState) -> Self {
        let word = match state {
            IndexState::Initializing => "Initializing",
            IndexState::InitializationFailed => "InitializationFailed",
            IndexState::Ready => "Ready",
            IndexState::Terminating => "Terminating",
        };
        Self { ready: state == IndexState::Ready, state: word }
    }
}

/// `read_capacity` of a request, whole or in part.
#[derive(Deserialize)]
pub(super) struct ReadCapacityBody {
    mode: String,
    #[serde(default, deserialize_with = "json::optional_object")]
    dedicated: Option<DedicatedBody>,
}

#[derive(Deserialize, Default)]
struct DedicatedBody {
    #[serde(default)]
    node_type: Option<String>,
    #[serde(default)]
    scaling: Option<String>,
    #[serde(default, deserialize_with = "json::optional_object")]
    manual: Option<ManualBody>,
}

#[derive(Deserialize)]
struct ManualBody {
    #[serde(default)]
    shards: Option<u32>,
    #[serde(default)]
    replicas: Option<u32>,
}

impl ReadCapacityBody {
    pub(super) fn change(self) -> Result<ReadCapacityChange> {
        match (self.mode.as_str(), self.dedicated) {
            ("OnDemand", None) => Ok(ReadCapacityChange::OnDemand),
            ("OnDemand", Some(_)) => Err(Error::invalid("read_capacity with mode OnDemand takes no 'dedicated' settings")),
            ("Dedicated", dedicated) => dedicated.unwrap_or_default().change(),
            (other, _) => Err(Error::invalid(format!("read_capacity mode is '{}'; OnDemand and Dedicated are allowed", excerpt(other)))),
        }
    }

    /// The read capacity of a new index.
    pub(super) fn create(body: Option<Self>) -> Result<ReadCapacity> {
        body.map_or(Ok(ReadCapacity::OnDemand), |b| b.change()?.apply(&ReadCapacity::OnDemand))
    }
}

impl DedicatedBody {
    fn change(self) -> Result<ReadCapacityChange> {
        if let Some(scaling) = &self.scaling {
            if scaling != "Manual" {
                return Err(Error::invalid(format!("read_capacity scaling is '{}'; Manual is allowed", excerpt(scaling))));
            }
            if self.manual.is_none() {
                return Err(Error::invalid("read_capacity scaling 'Manual' needs 'manual' with shards and replicas"));
            }
        } else if self.manual.is_some() && self.node_type.is_some() {
            return Err(Error::invalid("read_capacity with 'manual' needs scaling 'Manual'"));
        }
        let (shards, replicas) = self.manual.map_or((None, None), |m| (m.shards, m.replicas));
        Ok(ReadCapacityChange::Dedicated { node_type: self.node_type, shards, replicas })
    }
}

/// `read_capacity` of an answer. What was asked for is in place at once.
#[derive(Serialize)]
pub(super) struct ReadCapacityOut<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedicated: Option<DedicatedOut<'a>>,
    status: CapacityStatusOut,
}

#[derive(Serialize)]
struct DedicatedOut<'a> {
    node_type: &'a str,
    scaling: &'static str,
    manual: ManualOut,
}

#[derive(Serialize)]
struct ManualOut {
    shards: u32,
    replicas: u32,
}

#[derive(Serialize)]
struct CapacityStatusOut {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_shards: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_replicas: Option<u32>,
}

impl<'a> From<&'a ReadCapacity> for ReadCapacityOut<'a> {
    fn from(capacity: &'a ReadCapacity) -> Self {
        let status = |shards, replicas| CapacityStatusOut { state: "Ready", current_shards: shards, current_replicas: replicas };
        match capacity {
            ReadCapacity::OnDemand => Self { mode: "OnDemand", dedicated: None, status: status(None, None) },
            ReadCapacity::Dedicated(d) => Self {
                mode: "Dedicated",
                dedicated: Some(DedicatedOut {
                    node_type: &d.node_type,
                    scaling: "Manual",
                    manual: ManualOut { shards: d.shards, replicas: d.replicas },
                }),
                status: status(Some(d.shards), Some(d.replicas)),
            },
        }
    }
}

/// The filterable metadata fields, as dates from 2025-10 to 2026-04 print them.
#[derive(Serialize)]
pub(super) struct MetadataSchemaOut {
    fields: BTreeMap<String, FilterableOut>,
}

#[derive(Serialize)]
struct FilterableOut {
    filterable: bool,
}

impl From<&MetadataSchema> for MetadataSchemaOut {
    fn from(schema: &MetadataSchema) -> Self {
        Self { fields: schema.fields().iter().map(|name| (name.clone(), FilterableOut { filterable: true })).collect() }
    }
}

/// A serverless index's place. Which regions a cloud has is not known here, so that newer ones need no release.
pub(super) fn managed(cloud: String, region: String) -> Result<Deployment> {
    let shaped = !region.is_empty() && region.len() <= 64 && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !shaped || !["aws", "gcp", "azure"].contains(&cloud.as_str()) {
        let (cloud, region) = (excerpt(&cloud), excerpt(&region));
        return Err(Error::not_found(format!("Resource cloud: {cloud} region: {region} not found. The clouds are aws, gcp and azure")));
    }
    Ok(Deployment::Managed { cloud, region })
}

pub(super) fn environment(text: String) -> Result<String> {
    if text.is_empty() || text.len() > 128 {
        return Err(Error::invalid(format!("environment has {} characters; 1 to 128 are allowed", text.len())));
    }
    Ok(text)
}

pub(super) fn pod_type(text: String) -> Result<String> {
    let (kind, size) = text.split_once('.').unwrap_or((&text, "x1"));
    if !["s1", "p1", "p2", "starter", "nano"].contains(&kind) || !["x1", "x2", "x4", "x8"].contains(&size) {
        let shown = excerpt(&text);
        return Err(Error::invalid(format!("'{shown}' is not a pod type; s1, p1 and p2 with .x1, .x2, .x4 or .x8 are allowed")));
    }
    Ok(text)
}

pub(super) fn replicas(n: u32) -> Result<u32> {
    if n == 0 { Err(Error::invalid("replicas is 0; at least 1 is needed")) } else { Ok(n) }
}

/// The collection that an index was made from.
pub(super) fn source_collection(index: &Index) -> Option<&str> {
    match &index.source {
        Some(IndexSource::Collection(name)) => Some(name.as_str()),
        Some(IndexSource::Backup(_)) | None => None,
    }
}
