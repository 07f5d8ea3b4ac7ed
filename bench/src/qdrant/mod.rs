//! Drives a running Qdrant with the same vectors, filters and queries, by REST and by gRPC.

#[cfg(test)]
mod fake;
mod messages;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pinyon_model::Metric;
use prost::Message;
use serde_json::{Value, json};

use self::messages::{
    Condition, DenseVector, FieldCondition, Filter, Match, PointId, PointStruct, Query, QueryPoints, QueryResponse, SearchParams,
    UpsertPoints, Vector, VectorInput, Vectors,
};
use crate::{
    Failure,
    client::{Address, Rest, grpc_body},
    records::Protocol,
    search::place::Asked,
    sets::{Field, Set, classes::Class, truth::Placed},
    wire::{dialect::Dialect, pinyon::json_value},
};

/// The graph that is built: hnswlib's parameters, which are Qdrant's own defaults but for the second.
const M: u64 = 16;
const EF_CONSTRUCT: u64 = 200;

/// Where Qdrant listens, and the collection to use.
#[derive(Clone)]
pub(crate) struct Collection {
    pub(crate) rest: Address,
    pub(crate) grpc: Address,
    pub(crate) name: String,
    pub(crate) api_key: Option<String>,
}

impl Collection {
    fn headers(&self) -> HeaderMap {
        let value = self.api_key.as_deref().and_then(|key| HeaderValue::from_str(key).ok());
        value.into_iter().map(|value| (HeaderName::from_static("api-key"), value)).collect()
    }

    fn path(&self, rest: &str) -> String {
        format!("/collections/{}{rest}", self.name)
    }

    async fn send(&self, method: Method, rest: &str, body: &Value) -> Result<Value, Failure> {
        let mut connection = Rest::connect_to(&self.rest, self.headers()).await?;
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        Ok(serde_json::from_slice(&connection.send(method, &self.path(rest), body).await?)?)
    }

    /// Makes the collection anew, with an index on every field that filters ask for.
    pub(crate) async fn create(&self, dimension: usize, metric: Metric) -> Result<(), Failure> {
        self.send(Method::DELETE, "", &Value::Null).await?;
        let distance = match metric {
            Metric::Cosine => "Cosine",
            Metric::Dotproduct => "Dot",
            Metric::Euclidean => "Euclid",
        };
        let body = json!({
            "vectors": { "size": dimension, "distance": distance },
            "hnsw_config": { "m": M, "ef_construct": EF_CONSTRUCT },
        });
        self.send(Method::PUT, "", &body).await?;
        for field in [Class::Tenth, Class::Hundredth, Class::Thousandth, Class::Correlated].iter().filter_map(|class| class.field()) {
            self.send(Method::PUT, "/index?wait=true", &json!({ "field_name": field, "field_schema": "keyword" })).await?;
        }
        Ok(())
    }

    /// Waits until every point is there and nothing is being optimized.
    pub(crate) async fn settle(&self, points: usize) -> Result<(), Failure> {
        let mut quiet = 0;
        while quiet < 3 {
            let info = self.send(Method::GET, "", &Value::Null).await?;
            let result = &info["result"];
            // Green may also be said in the moment before optimization begins.
            let settled = result["status"] == "green" && result["points_count"].as_u64() == Some(points as u64);
            quiet = if settled { quiet + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(if cfg!(test) { 1 } else { 1_000 })).await;
        }
        Ok(())
    }
}

/// The widths of the beam that are tried.
fn efforts() -> Vec<f32> {
    let mut all = vec![8.0f32];
    while let Some(last) = all.last().filter(|last| **last < 2_048.0) {
        all.push((last * 1.1).ceil());
    }
    all
}

/// By gRPC.
pub(crate) struct QdrantGrpc(pub(crate) Collection);

impl Dialect for QdrantGrpc {
    fn protocol(&self) -> Protocol {
        Protocol::Grpc
    }

    fn address(&self) -> &Address {
        &self.0.grpc
    }

    fn headers(&self) -> HeaderMap {
        self.0.headers()
    }

    fn query_path(&self) -> &str {
        "/qdrant.Points/Query"
    }

    fn upsert_path(&self) -> (Method, &str) {
        (Method::POST, "/qdrant.Points/Upsert")
    }

    fn query(&self, set: &Set, query: u32, asked: Asked) -> Result<Bytes, Failure> {
        let filter = set.condition(asked.class, query).map(|(field, keyword)| {
            let condition = FieldCondition { key: field.to_owned(), r#match: Some(Match { keyword: Some(keyword) }) };
            Filter { must: vec![Condition { field: Some(condition) }] }
        });
        let dense = DenseVector { data: set.queries.row(query as usize).to_vec() };
        grpc_body(&QueryPoints {
            collection_name: self.0.name.clone(),
            query: Some(Query { nearest: Some(VectorInput { dense: Some(dense) }) }),
            filter,
            params: asked.effort.map(|effort| SearchParams { hnsw_ef: Some(effort as u64) }),
            limit: Some(asked.k as u64),
        })
    }

    fn rows(&self, answer: Bytes) -> Result<Vec<u32>, Failure> {
        let points = QueryResponse::decode(answer)?.result;
        points.into_iter().map(|point| Ok(u32::try_from(point.id.and_then(|id| id.num).ok_or("a point has no number")?)?)).collect()
    }

    fn upsert(&self, set: &Set, records: &[Placed]) -> Result<Bytes, Failure> {
        let points = records.iter().map(|record| {
            let payload = set.fields(record.row).into_iter().map(|(name, field)| (name.to_owned(), value(field)));
            let dense = DenseVector { data: set.base.row(record.vector as usize).to_vec() };
            PointStruct {
                id: Some(PointId { num: Some(record.row.into()) }),
                payload: payload.collect(),
                vectors: Some(Vectors { vector: Some(Vector { dense: Some(dense) }) }),
            }
        });
        grpc_body(&UpsertPoints { collection_name: self.0.name.clone(), wait: Some(true), points: points.collect() })
    }

    fn efforts(&self) -> Vec<f32> {
        efforts()
    }
}

fn value(field: Field) -> messages::Value {
    match field {
        Field::Text(text) => messages::Value { string_value: Some(text), ..messages::Value::default() },
        Field::Number(number) => messages::Value { double_value: Some(number), ..messages::Value::default() },
    }
}

/// By REST.
pub(crate) struct QdrantRest {
    collection: Collection,
    query_path: String,
    upsert_path: String,
}

impl QdrantRest {
    pub(crate) fn new(collection: Collection) -> Self {
        let (query_path, upsert_path) = (collection.path("/points/query"), collection.path("/points?wait=true"));
        Self { collection, query_path, upsert_path }
    }
}

impl Dialect for QdrantRest {
    fn protocol(&self) -> Protocol {
        Protocol::Rest
    }

    fn address(&self) -> &Address {
        &self.collection.rest
    }

    fn headers(&self) -> HeaderMap {
        self.collection.headers()
    }

    fn query_path(&self) -> &str {
        &self.query_path
    }

    fn upsert_path(&self) -> (Method, &str) {
        (Method::PUT, &self.upsert_path)
    }

    fn query(&self, set: &Set, query: u32, asked: Asked) -> Result<Bytes, Failure> {
        let mut body = json!({ "query": set.queries.row(query as usize), "limit": asked.k });
        if let Some((field, keyword)) = set.condition(asked.class, query) {
            body["filter"] = json!({ "must": [{ "key": field, "match": { "value": keyword } }] });
        }
        if let Some(effort) = asked.effort {
            body["params"] = json!({ "hnsw_ef": effort as u64 });
        }
        Ok(body.to_string().into())
    }

    fn rows(&self, answer: Bytes) -> Result<Vec<u32>, Failure> {
        let answer: Value = serde_json::from_slice(&answer)?;
        let points = answer["result"]["points"].as_array().ok_or("an answer has no points")?;
        points.iter().map(|point| Ok(u32::try_from(point["id"].as_u64().ok_or("a point has no number")?)?)).collect()
    }

    fn upsert(&self, set: &Set, records: &[Placed]) -> Result<Bytes, Failure> {
        let points: Vec<Value> = records
            .iter()
            .map(|record| {
                let payload: serde_json::Map<String, Value> =
                    set.fields(record.row).into_iter().map(|(name, field)| (name.to_owned(), json_value(field))).collect();
                json!({ "id": record.row, "vector": set.base.row(record.vector as usize), "payload": payload })
            })
            .collect();
        Ok(json!({ "points": points }).to_string().into())
    }

    fn efforts(&self) -> Vec<f32> {
        efforts()
    }
}
