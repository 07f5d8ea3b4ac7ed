use pinyon_model::{
    Error, ErrorCode, Record, Result,
    limits::{UPSERT_BYTES_MAX, UPSERT_RECORDS_MAX},
};
use serde::{Deserialize, Serialize};

use super::{
    scan,
    vector::{self, VectorBody},
};
use crate::{
    NamespaceRef,
    json::{self, Bounded, Object},
    proto,
};

/// Records to write, each whole.
#[derive(Debug, Clone, PartialEq)]
pub struct UpsertRequest {
    /// Where to.
    pub namespace: NamespaceRef,
    /// In the caller's order; of equal ids the last is meant.
    pub records: Vec<Record>,
}

/// How many records were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpsertResponse {
    /// As many as the request held.
    pub upserted_count: u32,
}

#[derive(Deserialize)]
pub(super) struct Body {
    #[serde(default, deserialize_with = "json::null_default")]
    pub(super) vectors: Bounded<Object<VectorBody>, UPSERT_RECORDS_MAX>,
    #[serde(default)]
    pub(super) namespace: Option<String>,
}

impl UpsertRequest {
    /// Reads the body of `POST /vectors/upsert`.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let body: Body = scan::upsert(body).map_or_else(|| json::from_gateway(body), Ok)?;
        check_count(body.vectors.count)?;
        Self::new(body.namespace.as_deref(), body.vectors.kept, |Object(vector)| vector.into_record())
    }

    /// Reads the message of `Upsert`.
    pub fn from_proto(message: proto::UpsertRequest) -> Result<Self> {
        check_count(message.vectors.len())?;
        Self::new(Some(&message.namespace), message.vectors, vector::record_from_message)
    }

    fn new<V>(namespace: Option<&str>, vectors: Vec<V>, into_record: impl Fn(V) -> Result<Record>) -> Result<Self> {
        let place = |i: usize, e: Error| Error::new(e.code, format!("vectors[{i}]: {}", e.message));
        let records = vectors.into_iter().enumerate().map(|(i, v)| into_record(v).map_err(|e| place(i, e)));
        let records = records.collect::<Result<Vec<_>>>()?;
        let bytes: usize = records.iter().map(Record::size_bytes).sum();
        if bytes > UPSERT_BYTES_MAX {
            return Err(Error::new(
                ErrorCode::PayloadTooLarge,
                format!(
                    "The vectors of this upsert are {bytes} bytes, counting 4 for a value, 8 for a sparse pair, ids and metadata; \
                     at most {UPSERT_BYTES_MAX} bytes are allowed"
                ),
            ));
        }
        Ok(Self { namespace: NamespaceRef::new(namespace)?, records })
    }
}

fn check_count(n: usize) -> Result<()> {
    if n == 0 || n > UPSERT_RECORDS_MAX {
        return Err(Error::invalid(format!("An upsert takes 1 to {UPSERT_RECORDS_MAX} vectors, but got {n}")));
    }
    Ok(())
}

impl UpsertResponse {
    /// The body of a 200.
    pub fn to_json(&self) -> Vec<u8> {
        json::to_vec(self)
    }
    /// The message.
    pub fn into_proto(self) -> proto::UpsertResponse {
        proto::UpsertResponse { upserted_count: self.upserted_count }
    }
}
