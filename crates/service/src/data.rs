//! The data plane: the operations on the records of one index.

use std::collections::BTreeSet;

use pinyon_engine::{FetchAnswer, FetchPage, IndexHandle, IndexStats, Kept, ListAnswer, QueryAnswer, UpdateAck, WriteAck};
use pinyon_model::{
    DeleteSelector, Deployment, Error, ErrorCode, Explain, Filter, IndexRecall, ListPage, MetadataSchema, NamespaceDescription,
    NamespaceName, Prefix, Query, Record, RecordId, Restrictions, Result, Update, UpdateTarget,
    limits::{IDS_MAX, LIST_LIMIT_MAX, TOP_K_MAX, UPSERT_BYTES_MAX, UPSERT_RECORDS_MAX},
};

use crate::{
    IndexRef, OpContext, Service,
    authorize::{Action, Records},
    meter,
};

/// Authorizes the action on the index, or on the records of a namespace in it, runs the call on the engine's handle and closes the
/// record with what came of it.
macro_rules! on_index {
    ($self:ident, $ctx:ident, $action:ident, $index:ident, $namespace:ident, |$handle:ident| $call:expr) => {
        on_index!(@ $self, $ctx, $action, Records { index: &*$index, namespace: $namespace }, |$handle| $call)
    };
    ($self:ident, $ctx:ident, $action:ident, $index:ident, |$handle:ident| $call:expr) => {
        on_index!(@ $self, $ctx, $action, $index.clone(), |$handle| $call)
    };
    (@ $self:ident, $ctx:ident, $action:ident, $resource:expr, |$handle:ident| $call:expr) => {{
        let authorized = $self.authorize($ctx, Action::$action, $resource).await?;
        let result = async {
            let $handle = authorized.handle($self)?;
            $call
        }
        .await;
        let result = $self.name_key(crate::index::OfIndex::index(authorized.resource()), result);
        authorized.close(result).await
    }};
}

impl Service {
    /// Puts records in place of what their ids named before. 1 to 1,000 records, 2 MB as Pinecone counts them.
    pub async fn upsert(&self, ctx: &OpContext, index: &IndexRef, namespace: &NamespaceName, records: Vec<Record>) -> Result<WriteAck> {
        on_index!(self, ctx, Upsert, index, namespace, |handle| {
            let size: usize = records.iter().map(Record::size_bytes).sum();
            let metered = self.meter(index, Some(namespace), || meter::upsert(size))?;
            check_count("Upsert takes", "records", records.len(), UPSERT_RECORDS_MAX)?;
            if size > UPSERT_BYTES_MAX {
                return Err(Error::invalid(format!("The upsert counts {size} bytes; at most {UPSERT_BYTES_MAX} are allowed")));
            }
            let ack = handle.upsert_within(self.namespaces_max(index), namespace, records).await?;
            metered.used(ack.usage);
            Ok(ack)
        })
    }

    /// Changes records that are there.
    pub async fn update(&self, ctx: &OpContext, index: &IndexRef, namespace: &NamespaceName, update: Update) -> Result<UpdateAck> {
        on_index!(self, ctx, Update, index, namespace, |handle| {
            let metered = self.meter(index, Some(namespace), || meter::update(&update))?;
            let ack = handle.update(namespace, update.checked()?).await?;
            metered.used(ack.usage);
            Ok(ack)
        })
    }

    /// Deletes records. `NotFound` when the namespace was never made.
    pub async fn delete(&self, ctx: &OpContext, index: &IndexRef, namespace: &NamespaceName, which: DeleteSelector) -> Result<WriteAck> {
        on_index!(self, ctx, Delete, index, namespace, |handle| {
            let metered = self.meter(index, Some(namespace), || meter::delete(&which))?;
            let ack = handle.delete(namespace, which.checked()?).await?;
            metered.used(ack.usage);
            Ok(ack)
        })
    }

    /// Searches.
    pub async fn query(&self, ctx: &OpContext, index: &IndexRef, namespace: &NamespaceName, query: Query) -> Result<QueryAnswer> {
        on_index!(self, ctx, Query, index, namespace, |handle| {
            let metered = self.meter(index, Some(namespace), meter::query)?;
            let answer = handle.query(namespace, query.checked()?).await?;
            metered.used(answer.usage);
            Ok(answer)
        })
    }

    /// Searches an index of the caller's project, and tells how it was done. `NotFound` for a name that is not there.
    pub async fn explain(&self, ctx: &OpContext, index: &str, namespace: &NamespaceName, query: Query) -> Result<(QueryAnswer, Explain)> {
        let index = &self.find_index_for(ctx, Action::Explain, index, Some(namespace)).await?;
        on_index!(self, ctx, Explain, index, namespace, |handle| {
            let metered = self.meter(index, Some(namespace), meter::query)?;
            let (answer, explain) = handle.explain(namespace, query.checked()?).await?;
            metered.used(answer.usage);
            Ok((answer, explain))
        })
    }

    /// The recall of approximate search in an index of the caller's project, as live queries were replayed exactly in idle time.
    pub async fn recall(&self, ctx: &OpContext, index: &str) -> Result<IndexRecall> {
        let index = self.find_index_for(ctx, Action::DescribeRecall, index, None).await?;
        on_index!(self, ctx, DescribeRecall, index, |handle| handle.recall().await)
    }

    /// Reads 1 to 1,000 records by their ids.
    pub async fn fetch(&self, ctx: &OpContext, index: &IndexRef, namespace: &NamespaceName, ids: Vec<RecordId>) -> Result<FetchAnswer> {
        on_index!(self, ctx, Fetch, index, namespace, |handle| {
            let metered = self.meter(index, Some(namespace), meter::fetch)?;
            check_count("Fetch takes", "ids", ids.len(), IDS_MAX)?;
            let answer = handle.fetch(namespace, ids).await?;
            metered.used(answer.usage);
            Ok(answer)
        })
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
        on_index!(self, ctx, FetchByMetadata, index, namespace, |handle| {
            let metered = self.meter(index, Some(namespace), meter::fetch_by_metadata)?;
            if filter.is_empty() {
                return Err(Error::invalid("Empty filter provided for fetch by metadata request"));
            }
            check_limit(limit, TOP_K_MAX)?;
            let page = handle.fetch_by_metadata(namespace, filter, limit, after).await?;
            metered.used(page.usage);
            Ok(page)
        })
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
        on_index!(self, ctx, ListRecords, index, namespace, |handle| {
            let metered = self.meter(index, Some(namespace), meter::list)?;
            check_limit(limit, LIST_LIMIT_MAX)?;
            let answer = handle.list(namespace, prefix, limit, after).await?;
            metered.used(answer.usage);
            Ok(answer)
        })
    }

    /// Counts records. A filter that is not empty is refused on a serverless index; on a pod index only what matches is counted, and
    /// namespaces without a match are left out.
    pub async fn stats(&self, ctx: &OpContext, index: &IndexRef, filter: Option<Filter>) -> Result<IndexStats> {
        let allowed = |name: &NamespaceName| ctx.principal.restrictions().is_none_or(|r| r.allow_namespace(name));
        on_index!(self, ctx, DescribeIndexStats, index, |handle| {
            self.meter(index, None, meter::stats)?;
            let mut all = handle.stats().await?;
            all.namespaces.retain(|name, _| allowed(name));
            all.total = all.namespaces.values().sum();
            let Some(filter) = filter.filter(|f| !f.is_empty()) else { return Ok(all) };
            if !matches!(index.stored().index.deployment, Deployment::Pod { .. }) {
                return Err(Error::invalid("Serverless and BYOC indexes do not support describing index stats with a metadata filter"));
            }
            let mut counted = IndexStats::default();
            for namespace in all.namespaces.into_keys() {
                let target = UpdateTarget::Filter { filter: filter.clone(), dry_run: true };
                let count_only = Update { target, dense: None, sparse: None, set_metadata: None };
                let matched = handle.update(&namespace, count_only).await?.matched.unwrap_or(0);
                if matched > 0 {
                    counted.total += matched;
                    counted.namespaces.insert(namespace, matched);
                }
            }
            Ok(counted)
        })
    }

    /// Makes an empty namespace.
    pub async fn create_namespace(
        &self,
        ctx: &OpContext,
        index: &IndexRef,
        name: NamespaceName,
        schema: Option<MetadataSchema>,
    ) -> Result<NamespaceDescription> {
        let namespace = &name;
        on_index!(self, ctx, CreateNamespace, index, namespace, |handle| {
            self.meter(index, None, Vec::new)?;
            if name.is_default() {
                return Err(Error::invalid(format!("'{}' names the default namespace, which cannot be created", NamespaceName::DEFAULT)));
            }
            handle.create_namespace_within(self.namespaces_max(index), name.clone(), schema).await
        })
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
        on_index!(self, ctx, ListNamespaces, index, |handle| {
            self.meter(index, None, Vec::new)?;
            check_limit(limit, LIST_LIMIT_MAX)?;
            match ctx.principal.restrictions().map(Restrictions::namespaces).filter(|n| !n.is_empty()) {
                None => handle.list_namespaces(prefix, limit, after).await,
                Some(names) => list_of(handle, names, prefix, limit, after).await,
            }
        })
    }

    /// Describes one namespace.
    pub async fn describe_namespace(&self, ctx: &OpContext, index: &IndexRef, name: &NamespaceName) -> Result<NamespaceDescription> {
        on_index!(self, ctx, DescribeNamespace, index, name, |handle| {
            self.meter(index, None, Vec::new)?;
            handle.describe_namespace(name).await
        })
    }

    /// Deletes a namespace with all its records: nobody finds it any more, and the operator can bring it back until the window is over.
    pub async fn delete_namespace(&self, ctx: &OpContext, index: &IndexRef, name: &NamespaceName) -> Result<()> {
        on_index!(self, ctx, DeleteNamespace, index, name, |handle| {
            self.meter(index, None, Vec::new)?;
            let until_ms = self.clock().now_ms().saturating_add(self.deletion().window_ms);
            handle.delete_namespace(name, Kept::Until(until_ms)).await
        })?;
        self.deleted(Ok(())).await
    }

    /// How many namespaces the index may have.
    fn namespaces_max(&self, index: &IndexRef) -> u32 {
        self.quotas_of_project(&self.catalog().tables(), index.project_id()).namespaces_per_index
    }
}

/// The same listing, of those namespaces alone that a key is restricted to: few enough to ask for each.
async fn list_of(
    handle: &IndexHandle,
    names: &BTreeSet<NamespaceName>,
    prefix: &Prefix,
    limit: u32,
    after: Option<&str>,
) -> Result<(ListPage<NamespaceDescription>, u64)> {
    let mut there = Vec::new();
    for name in names.iter().filter(|n| n.as_str().starts_with(prefix.as_str())) {
        match handle.describe_namespace(name).await {
            Ok(description) => there.push(description),
            Err(error) if error.code == ErrorCode::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let total = there.len() as u64;
    let mut items: Vec<_> = there.into_iter().filter(|d| after.is_none_or(|a| d.name.as_str() > a)).collect();
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_after = items.last().filter(|_| more).map(|d| d.name.to_string());
    Ok((ListPage { items, next_after }, total))
}

fn check_count(takes: &str, what: &str, n: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&n) { Ok(()) } else { Err(Error::invalid(format!("{takes} 1 to {max} {what}, but got {n}"))) }
}

fn check_limit(limit: u32, max: u32) -> Result<()> {
    if (1..=max).contains(&limit) { Ok(()) } else { Err(Error::invalid(format!("limit is {limit}; it must be between 1 and {max}"))) }
}
