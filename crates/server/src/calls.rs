//! The data plane's calls, from a checked request to a response that is yet to be rendered: the part that REST and gRPC share.

use pinyon_model::{Lsn, NamespaceName, Result};
use pinyon_service::{FetchAnswer, FetchPage, IndexRef, ListAnswer, OpContext, QueryAnswer, Service, UpdateAck, WriteAck};
use pinyon_wire::data::{
    CreateNamespaceRequest, DeleteRequest, DeleteResponse, DescribeIndexStatsRequest, DescribeIndexStatsResponse, FetchByMetadataRequest,
    FetchRequest, FetchResponse, ListNamespacesRequest, ListNamespacesResponse, ListRequest, ListResponse, NamespaceResponse, QueryRequest,
    QueryResponse, UpdateRequest, UpdateResponse, UpsertRequest, UpsertResponse,
};

/// On what, and for whom.
pub(crate) struct Calls<'a> {
    pub(crate) service: &'a Service,
    pub(crate) ctx: &'a OpContext,
    pub(crate) index: &'a IndexRef,
}

impl Calls<'_> {
    pub(crate) async fn upsert(&self, request: UpsertRequest) -> Result<(UpsertResponse, Lsn)> {
        let UpsertRequest { namespace, records } = request;
        let upserted_count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let WriteAck { lsn, usage: _ } = self.service.upsert(self.ctx, self.index, &namespace.name, records).await?;
        Ok((UpsertResponse { upserted_count }, lsn))
    }

    pub(crate) async fn query(&self, request: QueryRequest) -> Result<(QueryResponse, Lsn)> {
        let QueryRequest { namespace, query } = request;
        let QueryAnswer { matches, usage, max_indexed_lsn } = self.service.query(self.ctx, self.index, &namespace.name, query).await?;
        Ok((QueryResponse { namespace, matches, usage }, max_indexed_lsn))
    }

    pub(crate) async fn fetch(&self, request: FetchRequest) -> Result<(FetchResponse, Lsn)> {
        let FetchRequest { namespace, ids } = request;
        let FetchAnswer { records, usage, max_indexed_lsn } = self.service.fetch(self.ctx, self.index, &namespace.name, ids).await?;
        Ok((FetchResponse { namespace, records, next: None, usage }, max_indexed_lsn))
    }

    pub(crate) async fn fetch_by_metadata(&self, request: FetchByMetadataRequest) -> Result<(FetchResponse, Lsn)> {
        let FetchByMetadataRequest { namespace, filter, page } = request;
        let found = self.service.fetch_by_metadata(self.ctx, self.index, &namespace.name, filter, page.limit, page.after.clone()).await?;
        let FetchPage { records, next_after, usage, max_indexed_lsn } = found;
        let next = page.next_token(next_after.as_ref().map(|id| id.as_str()));
        Ok((FetchResponse { namespace, records, next, usage }, max_indexed_lsn))
    }

    pub(crate) async fn list(&self, request: ListRequest) -> Result<(ListResponse, Lsn)> {
        let ListRequest { namespace, prefix, page } = request;
        let listed = self.service.list(self.ctx, self.index, &namespace.name, &prefix, page.limit, page.after.clone()).await?;
        let ListAnswer { ids, next_after, usage, max_indexed_lsn } = listed;
        let next = page.next_token(next_after.as_ref().map(|id| id.as_str()));
        Ok((ListResponse { namespace, ids, next, usage }, max_indexed_lsn))
    }

    pub(crate) async fn update(&self, request: UpdateRequest) -> Result<(UpdateResponse, Option<Lsn>)> {
        let UpdateRequest { namespace, update } = request;
        let UpdateAck { lsn, matched, usage: _ } = self.service.update(self.ctx, self.index, &namespace.name, update).await?;
        Ok((UpdateResponse { matched_records: matched }, lsn))
    }

    pub(crate) async fn delete(&self, request: DeleteRequest) -> Result<(DeleteResponse, Lsn)> {
        let DeleteRequest { namespace, selector } = request;
        let WriteAck { lsn, usage: _ } = self.service.delete(self.ctx, self.index, &namespace.name, selector).await?;
        Ok((DeleteResponse, lsn))
    }

    pub(crate) async fn stats(&self, request: DescribeIndexStatsRequest) -> Result<DescribeIndexStatsResponse> {
        let DescribeIndexStatsRequest = request;
        let stats = self.service.stats(self.ctx, self.index, None).await?;
        let shape = self.index.describe().schema.shape();
        Ok(DescribeIndexStatsResponse { namespaces: stats.namespaces, total: stats.total, shape })
    }

    pub(crate) async fn create_namespace(&self, request: CreateNamespaceRequest) -> Result<NamespaceResponse> {
        let CreateNamespaceRequest { name, schema } = request;
        self.service.create_namespace(self.ctx, self.index, name, schema).await.map(NamespaceResponse)
    }

    pub(crate) async fn list_namespaces(&self, request: ListNamespacesRequest) -> Result<ListNamespacesResponse> {
        let ListNamespacesRequest { prefix, page } = request;
        let after = page.after.as_ref().map(NamespaceName::as_str);
        let (listed, total) = self.service.list_namespaces(self.ctx, self.index, &prefix, page.limit, after).await?;
        Ok(ListNamespacesResponse { next: page.next_token(listed.next_after.as_deref()), namespaces: listed.items, total })
    }

    pub(crate) async fn describe_namespace(&self, name: &str) -> Result<NamespaceResponse> {
        self.service.describe_namespace(self.ctx, self.index, &NamespaceName::new(name)?).await.map(NamespaceResponse)
    }

    pub(crate) async fn delete_namespace(&self, name: &str) -> Result<DeleteResponse> {
        self.service.delete_namespace(self.ctx, self.index, &NamespaceName::new(name)?).await?;
        Ok(DeleteResponse)
    }
}
