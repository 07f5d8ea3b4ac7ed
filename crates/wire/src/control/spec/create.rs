use std::collections::BTreeMap;

use pinyon_model::{
    Deployment, Dimension, Error, IndexName, IndexSchema, IndexSpec, MetadataSchema, Metric, ReadCapacity, Result, Tags, excerpt,
};
use serde::Deserialize;

use super::super::parts::{self, ReadCapacityBody, TagsBody};
use crate::json::{self, FilterableBody};

#[derive(Deserialize)]
struct Body {
    name: String,
    #[serde(deserialize_with = "json::object")]
    spec: SpecBody,
    #[serde(default)]
    dimension: Option<i64>,
    #[serde(default)]
    metric: Option<String>,
    #[serde(default)]
    vector_type: Option<String>,
    #[serde(default)]
    deletion_protection: Option<String>,
    #[serde(default)]
    tags: TagsBody,
}

#[derive(Deserialize)]
struct SpecBody {
    #[serde(default, deserialize_with = "json::optional_object")]
    serverless: Option<ServerlessBody>,
    #[serde(default, deserialize_with = "json::optional_object")]
    pod: Option<PodBody>,
    #[serde(default, deserialize_with = "json::optional_object")]
    byoc: Option<ByocBody>,
}

#[derive(Deserialize)]
struct ServerlessBody {
    cloud: String,
    region: String,
    #[serde(default)]
    source_collection: Option<String>,
    #[serde(default, deserialize_with = "json::optional_object")]
    read_capacity: Option<ReadCapacityBody>,
    #[serde(default, deserialize_with = "json::optional_object")]
    schema: Option<SchemaBody>,
}

#[derive(Deserialize)]
struct PodBody {
    environment: String,
    #[serde(default)]
    pod_type: Option<String>,
    #[serde(default)]
    replicas: Option<u32>,
    #[serde(default)]
    shards: Option<u32>,
    #[serde(default)]
    pods: Option<u32>,
    #[serde(default, deserialize_with = "json::optional_object")]
    metadata_config: Option<MetadataConfigBody>,
    #[serde(default)]
    source_collection: Option<String>,
}

#[derive(Deserialize)]
struct MetadataConfigBody {
    #[serde(default)]
    indexed: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ByocBody {
    environment: String,
    #[serde(default, deserialize_with = "json::optional_object")]
    read_capacity: Option<ReadCapacityBody>,
    #[serde(default, deserialize_with = "json::optional_object")]
    schema: Option<SchemaBody>,
}

#[derive(Deserialize)]
struct SchemaBody {
    fields: BTreeMap<String, FilterableBody>,
}

/// Where an index is to run, and what comes with it there.
struct Place {
    deployment: Deployment,
    read_capacity: ReadCapacity,
    metadata: Option<MetadataSchema>,
    source_collection: Option<String>,
}

/// Reads the body of a create.
pub(in crate::control) fn create(body: &[u8]) -> Result<IndexSpec> {
    let body: Body = json::from_control(body)?;
    let name = IndexName::new(&body.name)?;
    let place = place(body.spec)?;
    let metric = body.metric.as_deref().map(Metric::parse).transpose()?;
    let schema = schema(body.vector_type.as_deref().unwrap_or("dense"), body.dimension, metric, place.metadata.as_ref())?;
    Ok(IndexSpec {
        name: Some(name),
        schema,
        deployment: place.deployment,
        read_capacity: place.read_capacity,
        deletion_protection: parts::deletion_protection(body.deletion_protection.as_deref())?.unwrap_or_default(),
        tags: Tags::new(body.tags.unwrap_or_default())?,
        cmek_id: None,
        source_collection: place.source_collection,
    })
}

fn schema(vector_type: &str, dimension: Option<i64>, metric: Option<Metric>, metadata: Option<&MetadataSchema>) -> Result<IndexSchema> {
    match (vector_type, dimension) {
        ("dense", Some(n)) => {
            // What no dimension can be is refused with the same words, whichever way it is out of range.
            let dimension = u32::try_from(n).map_or_else(|_| Err(Error::invalid(out_of_range(n))), Dimension::new)?;
            IndexSchema::dense_index(dimension, metric.unwrap_or(Metric::Cosine), metadata)
        }
        ("dense", None) => Err(Error::invalid("dimension is required for a dense index; it must be between 1 and 20000")),
        ("sparse", Some(_)) => Err(Error::invalid("dimension is not allowed for a sparse index; leave it out")),
        ("sparse", None) => match metric {
            None | Some(Metric::Dotproduct) => IndexSchema::sparse_index(metadata),
            Some(other) => Err(Error::invalid(format!("A sparse index must use the dotproduct metric, but got {}", other.as_str()))),
        },
        (other, _) => Err(Error::invalid(format!("vector_type is '{}'; dense and sparse are allowed", excerpt(other)))),
    }
}

/// Some clients spell none by an empty text.
fn named(collection: Option<String>) -> Option<String> {
    collection.filter(|name| !name.is_empty())
}

fn out_of_range(n: i64) -> String {
    format!("Dimension is {n}; it must be between 1 and {}", pinyon_model::limits::DIMENSION_MAX)
}

fn place(spec: SpecBody) -> Result<Place> {
    match (spec.serverless, spec.pod, spec.byoc) {
        (Some(serverless), None, None) => serverless.place(),
        (None, Some(pod), None) => pod.place(),
        (None, None, Some(byoc)) => byoc.place(),
        _ => Err(Error::invalid("spec must hold exactly one of 'serverless', 'pod' and 'byoc'")),
    }
}

fn metadata(schema: Option<SchemaBody>) -> Result<Option<MetadataSchema>> {
    let fields = schema.map(|s| s.fields.into_iter().map(|(name, field)| (name, field.filterable)));
    fields.map_or(Ok(None), json::metadata_schema)
}

impl ServerlessBody {
    fn place(self) -> Result<Place> {
        Ok(Place {
            deployment: parts::managed(self.cloud, self.region)?,
            read_capacity: ReadCapacityBody::create(self.read_capacity)?,
            metadata: metadata(self.schema)?,
            source_collection: named(self.source_collection),
        })
    }
}

impl PodBody {
    fn place(self) -> Result<Place> {
        let replicas = parts::replicas(self.replicas.unwrap_or(1))?;
        let shards = self.shards.unwrap_or(1);
        if shards == 0 {
            return Err(Error::invalid("shards is 0; at least 1 is needed"));
        }
        let product = u64::from(replicas) * u64::from(shards);
        if let Some(pods) = self.pods
            && pods != 1
            && u64::from(pods) != product
        {
            return Err(Error::invalid(format!("pods is {pods}, but {replicas} replicas of {shards} shards make {product}; leave it out")));
        }
        let deployment = Deployment::Pod {
            environment: parts::environment(self.environment)?,
            pod_type: parts::pod_type(self.pod_type.unwrap_or_else(|| "p1.x1".to_owned()))?,
            replicas,
            shards,
            indexed: self.metadata_config.and_then(|m| m.indexed),
        };
        let source_collection = named(self.source_collection);
        Ok(Place { deployment, read_capacity: ReadCapacity::OnDemand, metadata: None, source_collection })
    }
}

impl ByocBody {
    fn place(self) -> Result<Place> {
        Ok(Place {
            deployment: Deployment::Byoc { environment: parts::environment(self.environment)? },
            read_capacity: ReadCapacityBody::create(self.read_capacity)?,
            metadata: metadata(self.schema)?,
            source_collection: None,
        })
    }
}
