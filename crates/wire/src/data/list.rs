use pinyon_model::{Prefix, RecordId, Result, Usage, limits::LIST_LIMIT_MAX};
use serde::Serialize;

use super::{PaginationOut, UsageOut, pagination_message, usage_message};
use crate::{
    NamespaceRef, json,
    page::{Page, Scope},
    percent::Parameters,
    proto,
};

/// Ids to list, in bytewise order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// Where.
    pub namespace: NamespaceRef,
    /// What the ids begin with.
    pub prefix: Prefix,
    /// Which page.
    pub page: Page<RecordId>,
}

/// A page of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListResponse {
    /// As the request spelled it.
    pub namespace: NamespaceRef,
    /// In bytewise order.
    pub ids: Vec<RecordId>,
    /// The next page's token.
    pub next: Option<String>,
    /// What the listing cost.
    pub usage: Usage,
}

impl ListRequest {
    /// Reads the query string of `GET /vectors/list`.
    pub fn from_query(query: &str) -> Result<Self> {
        let parameters = Parameters::parse(query)?;
        Self::new(parameters.get("namespace"), parameters.get("prefix"), parameters.get_u32("limit")?, parameters.get("paginationToken"))
    }

    /// Reads the message of `List`.
    pub fn from_proto(message: proto::ListRequest) -> Result<Self> {
        let limit = message.limit.filter(|&l| l > 0);
        Self::new(Some(&message.namespace), message.prefix.as_deref(), limit, message.pagination_token.as_deref())
    }

    fn new(namespace: Option<&str>, prefix: Option<&str>, limit: Option<u32>, token: Option<&str>) -> Result<Self> {
        let namespace = NamespaceRef::new(namespace)?;
        let prefix = Prefix::new(prefix.unwrap_or_default())?;
        let scope = Scope::new("list", &[namespace.name.as_str(), prefix.as_str()]);
        let page = Page::new(limit, LIST_LIMIT_MAX, LIST_LIMIT_MAX, token, scope, |id| RecordId::new(id))?;
        Ok(Self { namespace, prefix, page })
    }
}

#[derive(Serialize)]
struct IdOut<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Out<'a> {
    vectors: Vec<IdOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<PaginationOut<'a>>,
    namespace: &'a str,
    usage: UsageOut,
}

impl ListResponse {
    /// The body of a 200.
    pub fn to_json(&self) -> Vec<u8> {
        json::to_vec(&Out {
            vectors: self.ids.iter().map(|id| IdOut { id: id.as_str() }).collect(),
            pagination: PaginationOut::new(self.next.as_deref()),
            namespace: self.namespace.as_spelled(),
            usage: self.usage.into(),
        })
    }

    /// The message.
    pub fn into_proto(self) -> proto::ListResponse {
        proto::ListResponse {
            vectors: self.ids.iter().map(|id| proto::ListItem { id: id.as_str().to_owned() }).collect(),
            pagination: pagination_message(self.next),
            namespace: self.namespace.as_spelled().to_owned(),
            usage: usage_message(self.usage),
        }
    }
}
