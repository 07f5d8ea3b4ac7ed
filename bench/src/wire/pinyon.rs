//! Pinyon's own two protocols.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Method};
use pinyon_wire::proto::{QueryRequest, QueryResponse, UpsertRequest, Vector};
use prost::Message;
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::{Value, json};

use super::dialect::Dialect;
use crate::{
    Failure,
    client::{Address, grpc_body, pinyon_headers},
    records::Protocol,
    search::place::Asked,
    sets::{Field, Set, truth::Placed},
};

/// The efforts that the API lets a caller ask for: 0.5 to 4.
fn efforts() -> Vec<f32> {
    (-8..=16).map(|step| 2f32.powf(step as f32 / 8.0)).collect()
}

/// By gRPC.
pub(crate) struct PinyonGrpc(pub(crate) Address);

impl Dialect for PinyonGrpc {
    fn protocol(&self) -> Protocol {
        Protocol::Grpc
    }

    fn address(&self) -> &Address {
        &self.0
    }

    fn headers(&self) -> HeaderMap {
        pinyon_headers()
    }

    fn query_path(&self) -> &str {
        "/VectorService/Query"
    }

    fn upsert_path(&self) -> (Method, &str) {
        (Method::POST, "/VectorService/Upsert")
    }

    fn query(&self, set: &Set, query: u32, asked: Asked) -> Result<Bytes, Failure> {
        let filter = set.condition(asked.class, query).map(|(field, keyword)| {
            let equal = Struct { fields: BTreeMap::from([("$eq".to_owned(), text(keyword))]) };
            Struct { fields: BTreeMap::from([(field.to_owned(), ProtoValue { kind: Some(Kind::StructValue(equal)) })]) }
        });
        grpc_body(&QueryRequest {
            top_k: u32::try_from(asked.k)?,
            filter,
            vector: set.queries.row(query as usize).to_vec(),
            scan_factor: asked.effort,
            ..QueryRequest::default()
        })
    }

    fn rows(&self, answer: Bytes) -> Result<Vec<u32>, Failure> {
        QueryResponse::decode(answer)?.matches.iter().map(|found| Ok(found.id.parse()?)).collect()
    }

    fn upsert(&self, set: &Set, records: &[Placed]) -> Result<Bytes, Failure> {
        let vectors = records.iter().map(|record| {
            let fields = set.fields(record.row).into_iter().map(|(name, field)| (name.to_owned(), value(field)));
            Vector {
                id: record.row.to_string(),
                values: set.base.row(record.vector as usize).to_vec(),
                metadata: Some(Struct { fields: fields.collect() }),
                ..Vector::default()
            }
        });
        grpc_body(&UpsertRequest { vectors: vectors.collect(), ..UpsertRequest::default() })
    }

    fn efforts(&self) -> Vec<f32> {
        efforts()
    }
}

fn text(text: String) -> ProtoValue {
    ProtoValue { kind: Some(Kind::StringValue(text)) }
}

fn value(field: Field) -> ProtoValue {
    match field {
        Field::Text(keyword) => text(keyword),
        Field::Number(number) => ProtoValue { kind: Some(Kind::NumberValue(number)) },
    }
}

/// By REST.
pub(crate) struct PinyonRest(pub(crate) Address);

impl Dialect for PinyonRest {
    fn protocol(&self) -> Protocol {
        Protocol::Rest
    }

    fn address(&self) -> &Address {
        &self.0
    }

    fn headers(&self) -> HeaderMap {
        pinyon_headers()
    }

    fn query_path(&self) -> &str {
        "/query"
    }

    fn upsert_path(&self) -> (Method, &str) {
        (Method::POST, "/vectors/upsert")
    }

    fn query(&self, set: &Set, query: u32, asked: Asked) -> Result<Bytes, Failure> {
        let mut body = json!({ "vector": set.queries.row(query as usize), "topK": asked.k });
        if let Some((field, keyword)) = set.condition(asked.class, query) {
            body["filter"] = json!({ field: { "$eq": keyword } });
        }
        if let Some(effort) = asked.effort {
            body["scanFactor"] = json!(effort);
        }
        Ok(body.to_string().into())
    }

    fn rows(&self, answer: Bytes) -> Result<Vec<u32>, Failure> {
        let answer: Value = serde_json::from_slice(&answer)?;
        let matches = answer["matches"].as_array().ok_or("an answer has no matches")?;
        matches.iter().map(|found| Ok(found["id"].as_str().ok_or("a match has no id")?.parse()?)).collect()
    }

    fn upsert(&self, set: &Set, records: &[Placed]) -> Result<Bytes, Failure> {
        let vectors: Vec<Value> = records
            .iter()
            .map(|record| {
                let metadata: serde_json::Map<String, Value> =
                    set.fields(record.row).into_iter().map(|(name, field)| (name.to_owned(), json_value(field))).collect();
                json!({ "id": record.row.to_string(), "values": set.base.row(record.vector as usize), "metadata": metadata })
            })
            .collect();
        Ok(json!({ "vectors": vectors }).to_string().into())
    }

    fn efforts(&self) -> Vec<f32> {
        efforts()
    }
}

/// A metadata value as JSON.
pub(crate) fn json_value(field: Field) -> Value {
    match field {
        Field::Text(text) => text.into(),
        Field::Number(number) => number.into(),
    }
}
