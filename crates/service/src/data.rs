//! The data plane: the operations on the records of one index.

use pinyon_engine::{FetchAnswer, FetchPage, IndexStats, ListAnswer, QueryAnswer, UpdateAck, WriteAck};
use pinyon_model::{
    DeleteSelector, Filter, ListPage, MetadataSchema, NamespaceDescription, NamespaceName, Prefix, Query, Record, RecordId, Result, Update,
};

use crate::{IndexRef, OpContext, Service, service::later};

impl Service {
    /// Puts records in place of what their ids named before. 1 to 1,000 records, 2 MB as Pinecone counts them.
    pub async fn upsert(&self, ctx: &OpContext, index: &IndexRef, namespace: &NamespaceName, records: Vec<Record>) -> Result<WriteAck> {
        let _ = (ctx, index, namespace, records);
        later()
    }
    /// Changes records that are there.
    pub async fn update(&self, ctx: &OpContext, index: &IndexRef, namespace: &NamespaceName, update: Update) -> Result<UpdateAck> {
        let _ = (ctx, index, namespace, update);
        later()
    }
    /// Deletes records. `NotFound` when the namespace was never made.
    pub async fn delete(&self, ctx: &OpContext, index: &IndexRef, namespace: &NamespaceName, which: DeleteSelector) -> Result<WriteAck> {
        let _ = (ctx, index, namespace, which);
        later()
    }
    /// Searches.
    pub async fn query(&self, ctx: &OpContext, index: &IndexRef, namespace: &NamespaceName, query: Query) -> Result<QueryAnswer> {
        let _ = (ctx, index, namespace, query);
        later()
    }
    /// Reads 1 to 1,000 records by their ids.
    pub async fn fetch(&self, ctx: &OpContext, index: &IndexRef, namespace: &NamespaceName, ids: Vec<RecordId>) -> Result<FetchAnswer> {
        let _ = (ctx, index, namespace, ids);
        later()
    }
    /// Reads the records that match a filter, in the order of their ids: at most `limit` (1 to 10,000) of those after `after`.
    pub async fn fetch_by_metadata(
        &self,
        ctx: &OpContext,
        index: &IndexRef,
        namespace: &NamespaceName,
        filter: Filter,
        limit: u32,
        after: Option<RecordId>,
    ) -> Result<FetchPage> {
        let _ = (ctx, index, namespace, filter, limit, after);
        later()
    }
    /// Ids in bytewise order: at most `limit` (1 to 100) of those that begin with `prefix` and come after `after`.
    pub async fn list(
        &self,
        ctx: &OpContext,
        index: &IndexRef,
        namespace: &NamespaceName,
        prefix: &Prefix,
        limit: u32,
        after: Option<RecordId>,
    ) -> Result<ListAnswer> {
        let _ = (ctx, index, namespace, prefix, limit, after);
        later()
    }
    /// Counts records. A filter that is not empty is refused on a serverless index; on a pod index only what matches is counted.
    pub async fn stats(&self, ctx: &OpContext, index: &IndexRef, filter: Option<Filter>) -> Result<IndexStats> {
        let _ = (ctx, index, filter);
        later()
    }
    /// Makes an empty namespace.
    pub async fn create_namespace(
        &self,
        ctx: &OpContext,
        index: &IndexRef,
        name: NamespaceName,
        schema: Option<MetadataSchema>,
    ) -> Result<NamespaceDescription> {
        let _ = (ctx, index, name, schema);
        later()
    }
    /// Namespaces in bytewise order: at most `limit` (1 to 100) of those that begin with `prefix` and come after `after`; and how many
    /// begin with it in all.
    pub async fn list_namespaces(
        &self,
        ctx: &OpContext,
        index: &IndexRef,
        prefix: &Prefix,
        limit: u32,
        after: Option<&str>,
    ) -> Result<(ListPage<NamespaceDescription>, u64)> {
        let _ = (ctx, index, prefix, limit, after);
        later()
    }
    /// Describes one namespace.
    pub async fn describe_namespace(&self, ctx: &OpContext, index: &IndexRef, name: &NamespaceName) -> Result<NamespaceDescription> {
        let _ = (ctx, index, name);
        later()
    }
    /// Deletes a namespace with all its records.
    pub async fn delete_namespace(&self, ctx: &OpContext, index: &IndexRef, name: &NamespaceName) -> Result<()> {
        let _ = (ctx, index, name);
        later()
    }
}
