use std::collections::{BTreeMap, BTreeSet};

use pinyon_model::{Error, MetadataSchema, NamespaceDescription, NamespaceName, Prefix, Result, limits::LIST_LIMIT_MAX};
use serde::{Deserialize, Serialize};

use super::{PaginationOut, pagination_message};
use crate::{
    ApiVersion,
    json::{self, FilterableBody},
    page::{Page, Scope},
    percent::Parameters,
    proto,
};

/// A namespace to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateNamespaceRequest {
    /// Its name; never the default one, which is there from the start.
    pub name: NamespaceName,
    /// Which metadata fields can be filtered on; without a schema, all.
    pub schema: Option<MetadataSchema>,
}

/// Namespaces to list, in bytewise order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListNamespacesRequest {
    /// What the names begin with.
    pub prefix: Prefix,
    /// Which page.
    pub page: Page<NamespaceName>,
}

/// A page of namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListNamespacesResponse {
    /// In bytewise order.
    pub namespaces: Vec<NamespaceDescription>,
    /// The next page's token.
    pub next: Option<String>,
    /// How many there are in all, under the prefix.
    pub total: u64,
}

/// One namespace: the answer to a create and a describe. To describe or delete, read the name with
/// [`NamespaceRef::new`](crate::NamespaceRef::new) from the path or the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceResponse(pub NamespaceDescription);

#[derive(Deserialize)]
struct CreateBody {
    #[serde(default, deserialize_with = "json::null_default")]
    name: String,
    #[serde(default, deserialize_with = "json::optional_object")]
    schema: Option<SchemaBody>,
}

#[derive(Deserialize)]
struct SchemaBody {
    #[serde(default, deserialize_with = "json::null_default")]
    fields: BTreeMap<String, FilterableBody>,
}

impl CreateNamespaceRequest {
    /// Reads the body of `POST /namespaces`.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let body: CreateBody = json::from_gateway(body)?;
        let schema = body.schema.map(|s| s.fields.into_iter().map(|(name, field)| (name, field.filterable)));
        Self::new(&body.name, schema)
    }

    /// Reads the message of `CreateNamespace`.
    pub fn from_proto(message: proto::CreateNamespaceRequest) -> Result<Self> {
        let schema = message.schema.map(|s| s.fields.into_iter().map(|(name, field)| (name, field.filterable)));
        Self::new(&message.name, schema)
    }

    fn new(name: &str, schema: Option<impl Iterator<Item = (String, bool)>>) -> Result<Self> {
        let name = NamespaceName::new(name)?;
        if name.is_default() {
            return Err(Error::invalid(format!(
                "A namespace to create needs a name of its own; '{}' and '' mean the default namespace, which is there from the start",
                NamespaceName::DEFAULT
            )));
        }
        Ok(Self { name, schema: schema.map(|fields| json::metadata_schema(fields)).transpose()?.flatten() })
    }
}

impl ListNamespacesRequest {
    /// Reads the query string of `GET /namespaces`.
    pub fn from_query(query: &str) -> Result<Self> {
        let parameters = Parameters::parse(query)?;
        Self::new(parameters.get("prefix"), parameters.get_u32("limit")?, parameters.get("paginationToken"))
    }

    /// Reads the message of `ListNamespaces`.
    pub fn from_proto(message: proto::ListNamespacesRequest) -> Result<Self> {
        Self::new(message.prefix.as_deref(), message.limit.filter(|&l| l > 0), message.pagination_token.as_deref())
    }

    fn new(prefix: Option<&str>, limit: Option<u32>, token: Option<&str>) -> Result<Self> {
        let prefix = Prefix::new(prefix.unwrap_or_default())?;
        let scope = Scope::new("list namespaces", &[prefix.as_str()]);
        let page = Page::new(limit, LIST_LIMIT_MAX, LIST_LIMIT_MAX, token, scope, NamespaceName::new)?;
        Ok(Self { prefix, page })
    }
}

#[derive(Serialize)]
struct FilterableOut {
    filterable: bool,
}

#[derive(Serialize)]
struct SchemaOut<'a> {
    fields: BTreeMap<&'a str, FilterableOut>,
}

#[derive(Serialize)]
struct IndexedFieldsOut<'a> {
    fields: &'a BTreeSet<String>,
}

/// 64-bit counts travel as decimal texts.
#[derive(Serialize)]
struct DescriptionOut<'a> {
    name: &'a str,
    record_count: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<SchemaOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    indexed_fields: Option<IndexedFieldsOut<'a>>,
}

impl<'a> DescriptionOut<'a> {
    fn new(d: &'a NamespaceDescription, version: ApiVersion) -> Self {
        let schema = |s: &'a MetadataSchema| SchemaOut {
            fields: s.fields().iter().map(|f| (f.as_str(), FilterableOut { filterable: true })).collect(),
        };
        Self {
            name: d.name.as_str(),
            record_count: d.record_count.to_string(),
            size_bytes: (version >= ApiVersion::V2026_07).then(|| d.size_bytes.to_string()),
            schema: d.schema.as_ref().map(schema),
            indexed_fields: (!d.indexed_fields.is_empty()).then_some(IndexedFieldsOut { fields: &d.indexed_fields }),
        }
    }
}

impl NamespaceResponse {
    /// The body of a 200 for a caller of this date.
    pub fn to_json(&self, version: ApiVersion) -> Vec<u8> {
        json::to_vec(&DescriptionOut::new(&self.0, version))
    }
    /// The message.
    pub fn into_proto(self) -> proto::NamespaceDescription {
        let filterable = proto::MetadataFieldProperties { filterable: true };
        let schema = |s: MetadataSchema| proto::MetadataSchema { fields: s.fields().iter().map(|f| (f.clone(), filterable)).collect() };
        let fields: Vec<String> = self.0.indexed_fields.into_iter().collect();
        proto::NamespaceDescription {
            name: self.0.name.as_str().to_owned(),
            record_count: self.0.record_count,
            schema: self.0.schema.map(schema),
            indexed_fields: (!fields.is_empty()).then_some(proto::IndexedFields { fields }),
            size_bytes: self.0.size_bytes,
        }
    }
}

#[derive(Serialize)]
struct ListOut<'a> {
    namespaces: Vec<DescriptionOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<PaginationOut<'a>>,
    total_count: u64,
}

impl ListNamespacesResponse {
    /// The body of a 200 for a caller of this date.
    pub fn to_json(&self, version: ApiVersion) -> Vec<u8> {
        json::to_vec(&ListOut {
            namespaces: self.namespaces.iter().map(|d| DescriptionOut::new(d, version)).collect(),
            pagination: PaginationOut::new(self.next.as_deref()),
            total_count: self.total,
        })
    }
    /// The message.
    pub fn into_proto(self) -> proto::ListNamespacesResponse {
        proto::ListNamespacesResponse {
            namespaces: self.namespaces.into_iter().map(|d| NamespaceResponse(d).into_proto()).collect(),
            pagination: pagination_message(self.next),
            total_count: i32::try_from(self.total).unwrap_or(i32::MAX),
        }
    }
}
