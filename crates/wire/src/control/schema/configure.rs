use pinyon_model::{Error, IndexChange, Result};
use serde::{Deserialize, de::IgnoredAny};

use super::super::parts::{self, ReadCapacityBody, TagsBody};
use crate::json;

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "json::optional_object")]
    deployment: Option<DeploymentBody>,
    #[serde(default)]
    schema: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "json::optional_object")]
    read_capacity: Option<ReadCapacityBody>,
    #[serde(default)]
    deletion_protection: Option<String>,
    #[serde(default)]
    tags: TagsBody,
}

#[derive(Deserialize)]
struct DeploymentBody {
    #[serde(default)]
    replicas: Option<u32>,
    #[serde(default)]
    pod_type: Option<String>,
    #[serde(default)]
    deployment_type: Option<IgnoredAny>,
}

/// Reads the body of a configure.
pub(in crate::control) fn configure(body: &[u8]) -> Result<IndexChange> {
    let body: Body = json::from_control(body)?;
    if body.schema.is_some() {
        return Err(Error::invalid(
            "The schema of an index cannot be changed; only semantic_text fields take new parameters, and there are none",
        ));
    }
    let deployment = body.deployment.unwrap_or(DeploymentBody { replicas: None, pod_type: None, deployment_type: None });
    if deployment.deployment_type.is_some() {
        return Err(Error::invalid("deployment_type cannot be changed; replicas and pod_type are allowed"));
    }
    Ok(IndexChange {
        replicas: deployment.replicas.map(parts::replicas).transpose()?,
        pod_type: deployment.pod_type.map(parts::pod_type).transpose()?,
        read_capacity: body.read_capacity.map(ReadCapacityBody::change).transpose()?,
        deletion_protection: parts::deletion_protection(body.deletion_protection.as_deref())?,
        tags: body.tags,
    })
}
