use pinyon_model::{
    Error, Filter, Record, RecordId, Result, Usage,
    limits::{FETCH_BY_METADATA_LIMIT_DEFAULT, IDS_MAX, TOP_K_MAX},
};
use serde::{Deserialize, Serialize, Serializer};

use super::{
    PaginationOut, UsageOut, pagination_message, usage_message,
    vector::{self, VectorOut},
};
use crate::{
    NamespaceRef, filter,
    json::{self, Node},
    metadata,
    page::{Page, Scope},
    percent::Parameters,
    proto,
};

/// Records to read by their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// Where.
    pub namespace: NamespaceRef,
    /// 1 to 1,000 of them, as the caller ordered them.
    pub ids: Vec<RecordId>,
}

/// Records to read by what their metadata say.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchByMetadataRequest {
    /// Where.
    pub namespace: NamespaceRef,
    /// Which; never empty.
    pub filter: Filter,
    /// Which page.
    pub page: Page<RecordId>,
}

/// Records, of either fetch.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchResponse {
    /// As the request spelled it.
    pub namespace: NamespaceRef,
    /// Those that are there.
    pub records: Vec<Record>,
    /// The next page's token, of a fetch by metadata.
    pub next: Option<String>,
    /// What the fetch cost.
    pub usage: Usage,
}

impl FetchRequest {
    /// Reads the query string of `GET /vectors/fetch`.
    pub fn from_query(query: &str) -> Result<Self> {
        let parameters = Parameters::parse(query)?;
        let namespace = NamespaceRef::new(parameters.get("namespace"))?;
        Self::new(namespace, parameters.all("ids"))
    }

    /// Reads the message of `Fetch`.
    pub fn from_proto(message: proto::FetchRequest) -> Result<Self> {
        Self::new(NamespaceRef::new(Some(&message.namespace))?, message.ids)
    }

    fn new(namespace: NamespaceRef, ids: Vec<String>) -> Result<Self> {
        if ids.is_empty() || ids.len() > IDS_MAX {
            return Err(Error::invalid(format!("Fetch takes 1 to {IDS_MAX} ids, but got {}", ids.len())));
        }
        Ok(Self { namespace, ids: ids.into_iter().map(RecordId::new).collect::<Result<_>>()? })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ByMetadataBody {
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    filter: Option<Node>,
    #[serde(default, deserialize_with = "json::whole_number")]
    limit: Option<u32>,
    #[serde(default, alias = "pagination_token")]
    pagination_token: Option<String>,
}

impl FetchByMetadataRequest {
    /// Reads the body of `POST /vectors/fetch_by_metadata`.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let body: ByMetadataBody = json::from_gateway(body)?;
        let filter = filter::from_optional_node(body.filter)?;
        Self::new(NamespaceRef::new(body.namespace.as_deref())?, filter, body.limit, body.pagination_token.as_deref())
    }

    /// Reads the message of `FetchByMetadata`, where a limit of 0 is none.
    pub fn from_proto(message: proto::FetchByMetadataRequest) -> Result<Self> {
        let filter = message.filter.map(|s| filter::from_node(metadata::struct_node(s))).transpose()?;
        let limit = Some(message.limit).filter(|&l| l > 0);
        Self::new(NamespaceRef::new(Some(&message.namespace))?, filter, limit, Some(&message.pagination_token))
    }

    fn new(namespace: NamespaceRef, filter: Option<Filter>, limit: Option<u32>, token: Option<&str>) -> Result<Self> {
        let filter = filter
            .filter(|f| !f.is_empty())
            .ok_or_else(|| Error::invalid("Empty filter provided for fetch by metadata request; name at least one condition"))?;
        let scope = Scope::new("fetch by metadata", &[namespace.name.as_str(), &format!("{filter:?}")]);
        let page = Page::new(limit, FETCH_BY_METADATA_LIMIT_DEFAULT, TOP_K_MAX, token, scope, |id| RecordId::new(id))?;
        Ok(Self { namespace, filter, page })
    }
}

/// The records under their ids.
struct VectorsOut<'a>(&'a [Record]);

impl Serialize for VectorsOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|record| (record.id.as_str(), VectorOut::record(record))))
    }
}

#[derive(Serialize)]
struct Out<'a> {
    vectors: VectorsOut<'a>,
    namespace: &'a str,
    usage: UsageOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<PaginationOut<'a>>,
}

impl FetchResponse {
    /// The body of a 200.
    pub fn to_json(&self) -> Vec<u8> {
        json::to_vec(&Out {
            vectors: VectorsOut(&self.records),
            namespace: self.namespace.as_spelled(),
            usage: self.usage.into(),
            pagination: PaginationOut::new(self.next.as_deref()),
        })
    }

    /// The message of `Fetch`.
    pub fn into_proto(self) -> proto::FetchResponse {
        proto::FetchResponse {
            namespace: self.namespace.as_spelled().to_owned(),
            usage: usage_message(self.usage),
            vectors: vectors_message(self.records),
        }
    }

    /// The message of `FetchByMetadata`.
    pub fn into_proto_by_metadata(self) -> proto::FetchByMetadataResponse {
        proto::FetchByMetadataResponse {
            namespace: self.namespace.as_spelled().to_owned(),
            usage: usage_message(self.usage),
            pagination: pagination_message(self.next),
            vectors: vectors_message(self.records),
        }
    }
}

fn vectors_message(records: Vec<Record>) -> std::collections::HashMap<String, proto::Vector> {
    records.into_iter().map(|r| (r.id.as_str().to_owned(), vector::record_message(r))).collect()
}
