use std::collections::BTreeMap;

use pinyon_model::{CmekId, Deployment, Error, IndexName, IndexSpec, ReadCapacity, Result, Tags};
use serde::Deserialize;

use super::{
    super::parts::{self, ReadCapacityBody, TagsBody},
    field::{self, FieldBody},
};
use crate::json;

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    name: Option<String>,
    #[serde(deserialize_with = "json::object")]
    schema: SchemaBody,
    #[serde(default, deserialize_with = "json::optional_object")]
    deployment: Option<DeploymentBody>,
    #[serde(default, deserialize_with = "json::optional_object")]
    read_capacity: Option<ReadCapacityBody>,
    #[serde(default)]
    deletion_protection: Option<String>,
    #[serde(default)]
    tags: TagsBody,
    #[serde(default)]
    source_collection: Option<String>,
    #[serde(default)]
    source_backup_id: Option<String>,
    #[serde(default)]
    cmek_id: Option<String>,
}

#[derive(Deserialize)]
struct SchemaBody {
    fields: BTreeMap<String, FieldBody>,
}

#[derive(Deserialize)]
#[serde(tag = "deployment_type", rename_all = "lowercase")]
enum DeploymentBody {
    Managed { cloud: String, region: String },
    Byoc { environment: String },
    Pod {},
}

/// Reads the body of a create.
pub(in crate::control) fn create(body: &[u8]) -> Result<IndexSpec> {
    let body: Body = json::from_control(body)?;
    let name = body.name.as_deref().map(IndexName::new).transpose()?;
    if body.source_backup_id.is_some() {
        return Err(Error::invalid(
            "An index is made from a backup by POST /backups/{backup_id}/create-index; leave 'source_backup_id' out",
        ));
    }
    let schema = field::schema(body.schema.fields, body.cmek_id.is_some())?;
    let read_capacity = ReadCapacityBody::create(body.read_capacity)?;
    Ok(IndexSpec {
        name,
        schema,
        deployment: deployment(body.deployment, &read_capacity)?,
        read_capacity,
        deletion_protection: parts::deletion_protection(body.deletion_protection.as_deref())?.unwrap_or_default(),
        tags: Tags::new(body.tags.unwrap_or_default())?,
        cmek_id: body.cmek_id.as_deref().map(CmekId::parse).transpose()?,
        source_collection: body.source_collection,
    })
}

fn deployment(body: Option<DeploymentBody>, read_capacity: &ReadCapacity) -> Result<Deployment> {
    match body {
        None => Ok(Deployment::Managed { cloud: "aws".to_owned(), region: "us-east-1".to_owned() }),
        Some(DeploymentBody::Managed { cloud, region }) => parts::managed(cloud, region),
        Some(DeploymentBody::Byoc { environment }) => match read_capacity {
            ReadCapacity::Dedicated(_) => Ok(Deployment::Byoc { environment: parts::environment(environment)? }),
            ReadCapacity::OnDemand => Err(Error::invalid("A byoc deployment needs read_capacity with mode Dedicated")),
        },
        Some(DeploymentBody::Pod {}) => Err(Error::invalid(
            "Pod indexes cannot be created with API version 2026-07; use a managed or byoc deployment, or an older version",
        )),
    }
}
