use pinyon_model::{DeleteSelector, Error, Filter, RecordId, Result, limits::IDS_MAX};
use serde::Deserialize;

use crate::{
    NamespaceRef, filter,
    json::{self, Bounded, Node},
    metadata,
    percent::Parameters,
    proto,
};

/// Records to delete.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteRequest {
    /// Where.
    pub namespace: NamespaceRef,
    /// Which.
    pub selector: DeleteSelector,
}

/// The answer to a delete of records or of a namespace, which says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeleteResponse;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default, deserialize_with = "json::null_default")]
    ids: Bounded<String, IDS_MAX>,
    #[serde(default, alias = "delete_all", deserialize_with = "json::null_default")]
    delete_all: bool,
    #[serde(default)]
    filter: Option<Node>,
}

impl DeleteRequest {
    /// Reads the body of `POST /vectors/delete`.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let body: Body = json::from_gateway(body)?;
        let filter = filter::from_optional_node(body.filter)?;
        if body.ids.count > IDS_MAX {
            return Err(Error::invalid(format!("Delete takes 1 to {IDS_MAX} ids, but got {}", body.ids.count)));
        }
        Self::new(NamespaceRef::new(body.namespace.as_deref())?, body.ids.kept, body.delete_all, filter)
    }

    /// Reads the query string of `DELETE /vectors/delete`, which knows no filter.
    pub fn from_query(query: &str) -> Result<Self> {
        let parameters = Parameters::parse(query)?;
        let namespace = NamespaceRef::new(parameters.get("namespace"))?;
        let delete_all = parameters.get_bool("deleteAll")?.unwrap_or_default();
        Self::new(namespace, parameters.all("ids"), delete_all, None)
    }

    /// Reads the message of `Delete`.
    pub fn from_proto(message: proto::DeleteRequest) -> Result<Self> {
        let filter = message.filter.map(|s| filter::from_node(metadata::struct_node(s))).transpose()?;
        Self::new(NamespaceRef::new(Some(&message.namespace))?, message.ids, message.delete_all, filter)
    }

    /// Ids beside a filter are ignored, as Pinecone ignores them.
    fn new(namespace: NamespaceRef, ids: Vec<String>, delete_all: bool, filter: Option<Filter>) -> Result<Self> {
        let selector = match (delete_all, filter) {
            (true, _) if !ids.is_empty() => return Err(Error::invalid("No explicit IDs allowed when delete_all=true")),
            (true, Some(_)) => return Err(Error::invalid("No filter allowed when delete_all=true")),
            (true, None) => DeleteSelector::All,
            (false, Some(filter)) => DeleteSelector::Filter(filter),
            (false, None) if ids.is_empty() => return Err(Error::invalid("A delete needs 'ids', 'deleteAll' or a 'filter'")),
            (false, None) => DeleteSelector::Ids(ids.into_iter().map(RecordId::new).collect::<Result<_>>()?),
        };
        Ok(Self { namespace, selector: selector.checked()? })
    }
}

impl DeleteResponse {
    /// The body of a 200.
    pub fn to_json(&self) -> Vec<u8> {
        b"{}".to_vec()
    }
    /// The message.
    pub fn into_proto(self) -> proto::DeleteResponse {
        proto::DeleteResponse {}
    }
}
