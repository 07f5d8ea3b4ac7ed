//! Batches of made-up records as the bodies of upserts, and the connections that send them.

use std::fmt::Write;

use bytes::Bytes;
use http::Method;
use pinyon_wire::proto::{UpsertRequest, UpsertResponse, Vector};
use serde_json::Value;

use crate::{
    Failure,
    client::{Grpc, Rest, grpc_body},
    vectors::Values,
};

/// How many different vectors there are; ids never repeat.
const VECTORS: usize = 1_000;

/// How a client speaks to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    Grpc,
    Rest,
}

/// A supply of records.
pub(crate) struct Records {
    vectors: Vec<Vec<f32>>,
    /// Each vector as a JSON array: printing numbers is not what is measured.
    json: Vec<String>,
}

/// One upsert: so many records with the ids from `first` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl Records {
    pub(crate) fn new(dimension: usize) -> Self {
        let mut values = Values::new(1);
        let vectors: Vec<Vec<f32>> = (0..VECTORS).map(|_| values.take(dimension)).collect();
        let json = vectors.iter().map(|vector| format!("[{}]", vector.iter().map(f32::to_string).collect::<Vec<_>>().join(","))).collect();
        Self { vectors, json }
    }

    /// The upsert as a JSON body.
    pub(crate) fn json(&self, namespace: &str, batch: Batch) -> Bytes {
        let mut body = String::with_capacity(batch.count * (self.json[0].len() + 64));
        body.push_str("{\"vectors\":[");
        for at in batch.first..batch.first + batch.count {
            let separator = if at == batch.first { "" } else { "," };
            let values = &self.json[at % VECTORS];
            // Writing to a string cannot fail.
            let _ = write!(body, "{separator}{{\"id\":\"record-{at:08}\",\"values\":{values}}}");
        }
        let _ = write!(body, "],\"namespace\":\"{namespace}\"}}");
        body.into()
    }

    /// The upsert as a gRPC body.
    pub(crate) fn proto(&self, namespace: &str, batch: Batch) -> Result<Bytes, Failure> {
        let vectors = (batch.first..batch.first + batch.count)
            .map(|at| Vector { id: format!("record-{at:08}"), values: self.vectors[at % VECTORS].clone(), ..Vector::default() })
            .collect();
        grpc_body(&UpsertRequest { vectors, namespace: namespace.to_owned() })
    }

    /// A query for the ten records nearest to one of the vectors, as a JSON body.
    pub(crate) fn query_json(&self, namespace: &str, vector: usize) -> Bytes {
        format!("{{\"vector\":{},\"topK\":10,\"namespace\":\"{namespace}\"}}", self.json[vector % VECTORS]).into()
    }
}

/// A connection that upserts.
pub(crate) enum Writer {
    Grpc(Grpc),
    Rest(Rest),
}

impl Writer {
    pub(crate) async fn connect(protocol: Protocol, port: u16) -> Result<Self, Failure> {
        Ok(match protocol {
            Protocol::Grpc => Self::Grpc(Grpc::connect(port).await?),
            Protocol::Rest => Self::Rest(Rest::connect(port).await?),
        })
    }

    /// Upserts one batch, and returns when it is acknowledged: every record must have been counted.
    pub(crate) async fn upsert(&mut self, records: &Records, namespace: &str, batch: Batch) -> Result<(), Failure> {
        let count = match self {
            Self::Grpc(grpc) => {
                let answer: UpsertResponse = grpc.call("Upsert", records.proto(namespace, batch)?).await?;
                u64::from(answer.upserted_count)
            }
            Self::Rest(rest) => {
                let answer = rest.send(Method::POST, "/vectors/upsert", records.json(namespace, batch)).await?;
                serde_json::from_slice::<Value>(&answer)?["upsertedCount"].as_u64().unwrap_or(0)
            }
        };
        if count == batch.count as u64 { Ok(()) } else { Err(format!("{count} of {} records were counted", batch.count).into()) }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_batch_is_the_same_records_either_way() {
        let records = Records::new(3);
        let batch = Batch { first: 999, count: 2 };
        let json: Value = serde_json::from_slice(&records.json("n", batch)).expect("it is JSON");
        let proto = UpsertRequest::decode(&records.proto("n", batch).expect("it is small")[5..]).expect("it is a message");
        assert_eq!((json["namespace"].as_str(), &*proto.namespace), (Some("n"), "n"));
        assert_eq!(proto.vectors.iter().map(|vector| &*vector.id).collect::<Vec<_>>(), ["record-00000999", "record-00001000"]);
        for (at, vector) in proto.vectors.iter().enumerate() {
            assert_eq!(json["vectors"][at]["id"], vector.id);
            let values: Vec<f32> = serde_json::from_value(json["vectors"][at]["values"].clone()).expect("they are numbers");
            assert_eq!(values, vector.values);
        }
    }
}
