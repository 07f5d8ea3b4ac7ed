//! Backups of indexes, and the indexes that are made from them.

use std::collections::BTreeMap;

use pinyon_model::{
    Backup, BackupKind, BackupStatus, CmekId, Deployment, IndexName, NewBackup, NewRestore, Page, RestoreJob, Result, Tags,
};
use serde::{Deserialize, Serialize};

use super::{
    parts::{self, ReadCapacityBody, TagsBody},
    schema::SchemaOut,
};
use crate::{ApiVersion, json, listing::Listing, percent::Parameters, rfc3339};

/// Entries of a page when the caller names no number.
pub(super) const LIMIT_DEFAULT: u32 = 10;

#[derive(Deserialize)]
struct CreateBody {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Deserialize)]
struct RestoreBody {
    name: String,
    #[serde(default)]
    tags: TagsBody,
    #[serde(default)]
    deletion_protection: Option<String>,
    #[serde(default, deserialize_with = "json::optional_object")]
    read_capacity: Option<ReadCapacityBody>,
    /// Pinyon's own: the customer-managed key to put the index under.
    #[serde(default)]
    cmek_id: Option<String>,
}

/// Reads the body of `POST /indexes/{name}/backups`. Before 2026-07 a name had no rule, and an empty one was none.
pub fn create_backup(version: ApiVersion, body: &[u8]) -> Result<NewBackup> {
    let CreateBody { name, description } = json::from_control(body)?;
    let name = if version >= ApiVersion::V2026_07 {
        name.as_deref().map(Backup::parse_resource_name).transpose()?
    } else {
        name.as_deref().filter(|n| !n.is_empty()).map(Backup::parse_name).transpose()?
    };
    let description = description.as_deref().map(Backup::parse_description).transpose()?.flatten();
    Ok(NewBackup { name, description })
}

/// Reads the body of `POST /backups/{id}/create-index`.
pub fn create_index_from_backup(body: &[u8]) -> Result<NewRestore> {
    let RestoreBody { name, tags, deletion_protection, read_capacity, cmek_id } = json::from_control(body)?;
    Ok(NewRestore {
        name: IndexName::new(&name)?,
        tags: tags.map(Tags::new).transpose()?,
        deletion_protection: parts::deletion_protection(deletion_protection.as_deref())?.unwrap_or_default(),
        read_capacity: read_capacity.map(ReadCapacityBody::change).transpose()?,
        cmek_id: cmek_id.as_deref().map(CmekId::parse).transpose()?,
    })
}

/// Reads the query string of `GET /indexes/{name}/backups`: the page, and whether backups of deleted indexes are wanted too.
pub fn list_index_backups(index: &str, query: &str) -> Result<(bool, Listing)> {
    let parameters = Parameters::parse(query)?;
    let include_deleted = parameters.get_bool("include_deleted")?.unwrap_or(false);
    let filters = [index, if include_deleted { "deleted too" } else { "" }];
    Ok((include_deleted, Listing::with_default(&parameters, "backups of an index", &filters, LIMIT_DEFAULT)?))
}

/// Reads the query string of `GET /backups`.
pub fn list_backups(query: &str) -> Result<Listing> {
    Listing::with_default(&Parameters::parse(query)?, "backups", &[], LIMIT_DEFAULT)
}

/// The body that describes one backup.
pub fn backup_model(version: ApiVersion, backup: &Backup) -> Vec<u8> {
    json::to_vec(&BackupOut::new(version, backup))
}

/// The body of a page of backups.
pub fn backup_page(version: ApiVersion, listing: &Listing, page: &Page<Backup>) -> Vec<u8> {
    listing.page(page, |backup| BackupOut::new(version, backup))
}

/// The answer to an index's creation from a backup.
pub fn created_from_backup(job: &RestoreJob) -> Vec<u8> {
    json::to_vec(&CreatedOut { restore_job_id: job.id.to_string(), index_id: job.target_index_id.to_string() })
}

#[derive(Serialize)]
struct CreatedOut {
    restore_job_id: String,
    index_id: String,
}

/// A backup as each date prints it: up to 2026-04 with dimension and metric, since then with the schema they are in.
#[derive(Serialize)]
pub(super) struct BackupOut<'a> {
    backup_id: String,
    source_index_name: &'a str,
    source_index_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_index_deleted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    status: &'static str,
    /// Why it failed: Pinyon's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    cloud: &'a str,
    region: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimension: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<BackupSchemaOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// Up to 2026-04 absent when there are none, since then `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Option<&'a BTreeMap<String, String>>>,
    created_at: String,
    /// The customer-managed key that it is under: Pinyon's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    cmek_id: Option<String>,
    /// Of a run that is to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_execution_at: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum BackupSchemaOut<'a> {
    Metadata(parts::MetadataSchemaOut),
    Typed(SchemaOut<'a>),
}

impl<'a> BackupOut<'a> {
    pub(super) fn new(version: ApiVersion, backup: &'a Backup) -> Self {
        let typed = version >= ApiVersion::V2026_07;
        let shape = backup.schema.shape();
        let (name, description) = match &backup.kind {
            BackupKind::Backup { name, description } => (name.as_deref(), description.as_deref()),
            BackupKind::Collection(name) => (Some(name.as_str()), None),
        };
        let (cloud, region) = place(&backup.deployment);
        let counts = backup.status.counts();
        let tags = (!backup.tags.is_empty()).then(|| backup.tags.pairs());
        let schema = if typed {
            Some(BackupSchemaOut::Typed((&backup.schema).into()))
        } else {
            let metadata = backup.schema.metadata_schema().filter(|_| version >= ApiVersion::V2025_10);
            metadata.map(|m| BackupSchemaOut::Metadata((&m).into()))
        };
        Self {
            backup_id: backup.id.to_string(),
            source_index_name: backup.source_index_name.as_str(),
            source_index_id: backup.source_index_id.to_string(),
            source_index_deleted_at: backup.source_index_deleted_at_ms.filter(|_| typed).map(rfc3339),
            name,
            description,
            status: match backup.status {
                BackupStatus::Initializing => "Initializing",
                BackupStatus::Ready(_) => "Ready",
                BackupStatus::Failed(_) => "Failed",
            },
            error_message: if let BackupStatus::Failed(reason) = &backup.status { Some(reason) } else { None },
            cloud,
            region,
            dimension: shape.dense.filter(|_| !typed).map(|(d, _)| d.get()),
            metric: (!typed).then(|| shape.metric().as_str()),
            schema,
            record_count: counts.map(|c| c.records),
            namespace_count: counts.map(|c| c.namespaces),
            size_bytes: counts.map(|c| c.bytes),
            tags: if typed { Some(tags) } else { tags.map(Some) },
            created_at: rfc3339(backup.created_at_ms),
            cmek_id: backup.cmek_id.map(|id| id.to_string()),
            scheduled_execution_at: None,
        }
    }

    /// What a run that is to come will be.
    pub(super) fn planned(version: ApiVersion, backup: &'a Backup, at_ms: u64) -> Self {
        Self { status: "Scheduled", scheduled_execution_at: Some(rfc3339(at_ms)), ..Self::new(version, backup) }
    }
}

/// Cloud and region, which an environment tells by its name.
fn place(deployment: &Deployment) -> (&str, &str) {
    match deployment {
        Deployment::Managed { cloud, region } => (cloud, region),
        Deployment::Pod { environment, .. } | Deployment::Byoc { environment } => {
            let cloud = ["aws", "gcp", "azure"].into_iter().find(|cloud| environment.contains(cloud));
            (cloud.unwrap_or("aws"), environment)
        }
    }
}
