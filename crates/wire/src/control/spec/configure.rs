use pinyon_model::{Error, IndexChange, Result};
use serde::{Deserialize, de::IgnoredAny};

use super::super::parts::{self, ReadCapacityBody, TagsBody};
use crate::json;

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "json::optional_object")]
    spec: Option<SpecBody>,
    #[serde(default)]
    deletion_protection: Option<String>,
    #[serde(default)]
    tags: TagsBody,
    #[serde(default)]
    embed: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct SpecBody {
    #[serde(default, deserialize_with = "json::optional_object")]
    pod: Option<PodBody>,
    #[serde(default, deserialize_with = "json::optional_object")]
    serverless: Option<CapacityBody>,
    #[serde(default, deserialize_with = "json::optional_object")]
    byoc: Option<CapacityBody>,
}

#[derive(Deserialize)]
struct PodBody {
    #[serde(default)]
    replicas: Option<u32>,
    #[serde(default)]
    pod_type: Option<String>,
}

#[derive(Deserialize)]
struct CapacityBody {
    #[serde(default, deserialize_with = "json::optional_object")]
    read_capacity: Option<ReadCapacityBody>,
}

/// Reads the body of a configure.
pub(in crate::control) fn configure(body: &[u8]) -> Result<IndexChange> {
    let body: Body = json::from_control(body)?;
    if body.embed.is_some() {
        return Err(Error::unimplemented("Integrated embedding is not supported by this server yet; leave 'embed' out"));
    }
    let mut change = IndexChange {
        deletion_protection: parts::deletion_protection(body.deletion_protection.as_deref())?,
        tags: body.tags,
        ..IndexChange::default()
    };
    let Some(spec) = body.spec else { return Ok(change) };
    match (spec.pod, spec.serverless.or(spec.byoc)) {
        (Some(_), Some(_)) => return Err(Error::invalid("spec must hold one of 'pod', 'serverless' and 'byoc'")),
        (Some(pod), None) => {
            change.replicas = pod.replicas.map(parts::replicas).transpose()?;
            change.pod_type = pod.pod_type.map(parts::pod_type).transpose()?;
        }
        (None, Some(capacity)) => change.read_capacity = capacity.read_capacity.map(ReadCapacityBody::change).transpose()?,
        (None, None) => {}
    }
    Ok(change)
}
