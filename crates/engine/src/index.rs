//! One index: its namespaces and the operations on them.

use pinyon_model::{
    DeleteSelector, Error, Filter, ListPage, MetadataSchema, NamespaceDescription, NamespaceName, Prefix, Query, Record, RecordId, Result,
    Update,
};

use crate::{FetchAnswer, FetchPage, IndexOptions, IndexStats, ListAnswer, QueryAnswer, UpdateAck, WriteAck};

/// One index, as its operations see it.
pub struct IndexHandle {
    pub(crate) _options: IndexOptions,
}

fn later<T>() -> Result<T> {
    Err(Error::unimplemented("Not there yet"))
}

impl IndexHandle {
    /// Puts records, whole, in place of what their ids named before; of equal ids the last wins. Makes the namespace if need be.
    pub async fn upsert(&self, namespace: &NamespaceName, records: Vec<Record>) -> Result<WriteAck> {
        let _ = (namespace, records);
        later()
    }
    /// Changes records that are there.
    pub async fn update(&self, namespace: &NamespaceName, update: Update) -> Result<UpdateAck> {
        let _ = (namespace, update);
        later()
    }
    /// Deletes records. `NotFound` when the namespace was never made.
    pub async fn delete(&self, namespace: &NamespaceName, selector: DeleteSelector) -> Result<WriteAck> {
        let _ = (namespace, selector);
        later()
    }
    /// Searches. A namespace that was never made matches nothing.
    pub async fn query(&self, namespace: &NamespaceName, query: Query) -> Result<QueryAnswer> {
        let _ = (namespace, query);
        later()
    }
    /// Reads records by their ids.
    pub async fn fetch(&self, namespace: &NamespaceName, ids: Vec<RecordId>) -> Result<FetchAnswer> {
        let _ = (namespace, ids);
        later()
    }
    /// Reads the records that match, in the order of their ids, at most `limit` of those after `after`.
    pub async fn fetch_by_metadata(
        &self,
        namespace: &NamespaceName,
        filter: Filter,
        limit: u32,
        after: Option<RecordId>,
    ) -> Result<FetchPage> {
        let _ = (namespace, filter, limit, after);
        later()
    }
    /// The ids that begin with `prefix`, in bytewise order, at most `limit` of those after `after`.
    pub async fn list(&self, namespace: &NamespaceName, prefix: &Prefix, limit: u32, after: Option<RecordId>) -> Result<ListAnswer> {
        let _ = (namespace, prefix, limit, after);
        later()
    }
    /// Counts every namespace's records.
    pub async fn stats(&self) -> Result<IndexStats> {
        later()
    }
    /// Makes an empty namespace; `AlreadyExists` when there is one of that name.
    pub async fn create_namespace(&self, name: NamespaceName, schema: Option<MetadataSchema>) -> Result<NamespaceDescription> {
        let _ = (name, schema);
        later()
    }
    /// The namespaces whose names begin with `prefix`, in bytewise order, at most `limit` of those after `after`, and how many such
    /// namespaces there are in all.
    pub async fn list_namespaces(&self, prefix: &Prefix, limit: u32, after: Option<&str>) -> Result<(ListPage<NamespaceDescription>, u64)> {
        let _ = (prefix, limit, after);
        later()
    }
    /// Describes one namespace, or `NotFound`.
    pub async fn describe_namespace(&self, name: &NamespaceName) -> Result<NamespaceDescription> {
        let _ = name;
        later()
    }
    /// Deletes a namespace with its records and its key, or `NotFound`.
    pub async fn delete_namespace(&self, name: &NamespaceName) -> Result<()> {
        let _ = name;
        later()
    }
}
