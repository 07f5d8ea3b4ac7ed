//! One index: its namespaces and the operations on them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    FetchAnswer, FetchPage, IndexOptions, IndexStats, ListAnswer, QueryAnswer, UpdateAck, WriteAck,
    error::{no_index, no_namespace},
    namespace::{Namespace, Operation, Outcome},
    namespace_list::{Kept, NamespaceList},
    search::PreparedQuery,
    shared::Shared,
    slot::{Counts, Slot},
    usage, validate,
};
use pinyon_model::{
    DeleteSelector, Error, ErrorCode, Explain, Filter, IndexId, IndexRecall, ListPage, Lsn, MetadataSchema, NamespaceDescription,
    NamespaceName, Prefix, Query, QueryTarget, Record, RecordId, Result, Update, UpdateTarget, Usage,
};
use pinyon_storage::Purpose;

mod purge;

/// How often a write starts anew when its namespace is deleted under it.
const ATTEMPTS: usize = 8;

/// One index, as its operations see it.
pub struct IndexHandle {
    shared: Arc<Shared>,
    id: IndexId,
    options: Arc<IndexOptions>,
    list: RwLock<Option<Arc<NamespaceList>>>,
    /// Held while the list is read or closed.
    changing: tokio::sync::Mutex<()>,
    deleted: AtomicBool,
}

impl std::fmt::Debug for IndexHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IndexHandle({})", self.id)
    }
}

impl IndexHandle {
    pub(crate) fn new(shared: Arc<Shared>, id: IndexId, options: IndexOptions) -> Self {
        Self {
            shared,
            id,
            options: Arc::new(options),
            list: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
            deleted: AtomicBool::new(false),
        }
    }

    /// Puts records, whole, in place of what their ids named before; of equal ids the last wins. Makes the namespace if need be.
    pub async fn upsert(&self, namespace: &NamespaceName, records: Vec<Record>) -> Result<WriteAck> {
        self.upsert_within(u32::MAX, namespace, records).await
    }

    /// As [`Self::upsert`]; `QuotaExceeded` when the namespace would have to be made and the index has so many already.
    pub async fn upsert_within(&self, namespaces_max: u32, namespace: &NamespaceName, records: Vec<Record>) -> Result<WriteAck> {
        validate::upsert(&self.options.shape, &records)?;
        let list = self.namespaces().await?;
        for _ in 0..ATTEMPTS {
            let slot = list.create(namespace.clone(), None, namespaces_max).await?.0;
            let open = match self.ready(&list, &slot, Purpose::Data).await {
                // It was deleted since it was looked up: an upsert makes it anew.
                Err(error) if error.code == ErrorCode::NotFound => continue,
                outcome => outcome?,
            };
            let outcome = open.write(Operation::Upsert(records)).await.map_err(|error| match error.code {
                ErrorCode::NotFound => Error::unavailable("The namespace was deleted while it was written to; try again"),
                _ => error,
            })?;
            return Ok(WriteAck { lsn: outcome.lsn, usage: usage::write(outcome.bytes) });
        }
        Err(Error::unavailable("The namespace is being deleted again and again; try later"))
    }

    /// Changes records that are there.
    pub async fn update(&self, namespace: &NamespaceName, update: Update) -> Result<UpdateAck> {
        validate::vectors(&self.options.shape, update.dense.as_ref(), update.sparse.as_ref())?;
        let matched = matches!(update.target, UpdateTarget::Filter { .. }).then_some(0);
        let nothing = UpdateAck { lsn: None, matched, usage: usage::write(0) };
        let list = self.namespaces().await?;
        let Some(slot) = list.get(namespace) else { return Ok(nothing) };
        let outcome = async {
            let open = slot.open(&list).await?;
            if let UpdateTarget::Filter { filter, dry_run } = &update.target {
                open.check_filter(filter)?;
                if *dry_run {
                    let matched = Some(open.count_matching(filter.clone()).await?);
                    return Ok(UpdateAck { lsn: Some(Lsn(open.counts().lsn)), matched, usage: Usage { read_units: 1, write_units: 0 } });
                }
            }
            drop(open);
            let outcome = self.write_to(&list, &slot, Operation::Update(update)).await?;
            Ok(UpdateAck { lsn: Some(outcome.lsn), matched: outcome.matched, usage: usage::write(outcome.bytes) })
        };
        or_if_gone(outcome.await, nothing)
    }

    /// Deletes records. `NotFound` when the namespace was never made.
    pub async fn delete(&self, namespace: &NamespaceName, selector: DeleteSelector) -> Result<WriteAck> {
        let list = self.namespaces().await?;
        let slot = list.get(namespace).ok_or_else(no_namespace)?;
        if let DeleteSelector::Filter(filter) = &selector {
            slot.open(&list).await?.check_filter(filter)?;
        }
        // Emptying a namespace costs the least there is, however large it was.
        let all = matches!(selector, DeleteSelector::All);
        let outcome = self.write_to(&list, &slot, Operation::Delete(selector)).await?;
        Ok(WriteAck { lsn: outcome.lsn, usage: usage::write(if all { 0 } else { outcome.bytes }) })
    }

    /// Searches. A namespace that was never made matches nothing.
    pub async fn query(&self, namespace: &NamespaceName, query: Query) -> Result<QueryAnswer> {
        let nothing = QueryAnswer { matches: Vec::new(), usage: usage::query(0), max_indexed_lsn: Lsn(0) };
        match self.open(namespace).await? {
            Some(open) => or_if_gone(open.query(query).await, nothing),
            None => {
                // What is wrong with a query is wrong whether there is a namespace or not.
                if let QueryTarget::Vector { dense, sparse } = query.target {
                    PreparedQuery::new(self.shared.kernels, &self.options.shape, dense, sparse)?;
                }
                Ok(nothing)
            }
        }
    }

    /// Searches as [`Self::query`] does, and tells how: which plan each segment was searched by, what was looked at, how long it took.
    pub async fn explain(&self, namespace: &NamespaceName, query: Query) -> Result<(QueryAnswer, Explain)> {
        match self.open(namespace).await? {
            Some(open) => {
                let nothing = QueryAnswer { matches: Vec::new(), usage: usage::query(0), max_indexed_lsn: Lsn(0) };
                or_if_gone(open.explain(query).await, (nothing, Explain::default()))
            }
            None => Ok((self.query(namespace, query).await?, Explain::default())),
        }
    }

    /// The recall of its namespaces, as live queries were replayed in idle time since they were first opened.
    pub async fn recall(&self) -> Result<IndexRecall> {
        Ok(self.namespaces().await?.recall())
    }

    /// Reads records by their ids.
    pub async fn fetch(&self, namespace: &NamespaceName, ids: Vec<RecordId>) -> Result<FetchAnswer> {
        let nothing = FetchAnswer { records: Vec::new(), usage: usage::fetch(0), max_indexed_lsn: Lsn(0) };
        match self.open(namespace).await? {
            Some(open) => or_if_gone(open.fetch(ids).await, nothing),
            None => Ok(nothing),
        }
    }

    /// Reads the records that match, in the order of their ids, at most `limit` of those after `after`; a page may be shorter
    /// so that it fits an answer.
    pub async fn fetch_by_metadata(
        &self,
        namespace: &NamespaceName,
        filter: Filter,
        limit: u32,
        after: Option<RecordId>,
    ) -> Result<FetchPage> {
        let nothing = FetchPage { records: Vec::new(), next_after: None, usage: usage::fetch(0), max_indexed_lsn: Lsn(0) };
        match self.open(namespace).await? {
            Some(open) => or_if_gone(open.fetch_by_metadata(filter, limit, after).await, nothing),
            None => Ok(nothing),
        }
    }

    /// The ids that begin with `prefix`, in bytewise order, at most `limit` of those after `after`.
    pub async fn list(&self, namespace: &NamespaceName, prefix: &Prefix, limit: u32, after: Option<RecordId>) -> Result<ListAnswer> {
        match self.open(namespace).await? {
            Some(open) => Ok(open.list(prefix, limit, after.as_ref())),
            None => Ok(ListAnswer { ids: Vec::new(), next_after: None, usage: usage::list(), max_indexed_lsn: Lsn(0) }),
        }
    }

    /// Counts every namespace's records. A damaged namespace is left out.
    pub async fn stats(&self) -> Result<IndexStats> {
        let list = self.namespaces().await?;
        let mut stats = IndexStats::default();
        for slot in list.starting_with("") {
            if let Some(counts) = counts_if_well(&slot, &list).await? {
                stats.total += counts.records;
                stats.namespaces.insert(slot.name.clone(), counts.records);
            }
        }
        Ok(stats)
    }

    /// Makes an empty namespace; `AlreadyExists` when there is one of that name.
    pub async fn create_namespace(&self, name: NamespaceName, schema: Option<MetadataSchema>) -> Result<NamespaceDescription> {
        self.create_namespace_within(u32::MAX, name, schema).await
    }

    /// As [`Self::create_namespace`]; `QuotaExceeded` when the index has so many namespaces already.
    pub async fn create_namespace_within(
        &self,
        namespaces_max: u32,
        name: NamespaceName,
        schema: Option<MetadataSchema>,
    ) -> Result<NamespaceDescription> {
        let list = self.namespaces().await?;
        let (slot, fresh) = list.create(name, schema, namespaces_max).await?;
        if !fresh {
            return Err(Error::already_exists(format!("Namespace '{}' already exists", slot.name.as_str().escape_debug())));
        }
        Ok(self.description(&slot, Counts::default()))
    }

    /// The namespaces whose names begin with `prefix`, in bytewise order, at most `limit` of those after `after`, and how many such
    /// namespaces there are in all. A damaged namespace is among them, without its counts.
    pub async fn list_namespaces(&self, prefix: &Prefix, limit: u32, after: Option<&str>) -> Result<(ListPage<NamespaceDescription>, u64)> {
        let list = self.namespaces().await?;
        let slots = list.starting_with(prefix.as_str());
        let total = slots.len() as u64;
        let first = after.map_or(0, |after| slots.partition_point(|slot| slot.name.as_str() <= after));
        let end = slots.len().min(first.saturating_add(limit.max(1) as usize));
        let mut items = Vec::with_capacity(end - first);
        for slot in &slots[first..end] {
            let counts = counts_if_well(slot, &list).await?.unwrap_or_default();
            items.push(self.description(slot, counts));
        }
        let next_after = (end < slots.len()).then(|| slots[end - 1].name.as_str().to_owned());
        Ok((ListPage { items, next_after }, total))
    }

    /// Describes one namespace, or `NotFound`.
    pub async fn describe_namespace(&self, name: &NamespaceName) -> Result<NamespaceDescription> {
        let list = self.namespaces().await?;
        let slot = list.get(name).ok_or_else(no_namespace)?;
        let counts = counts(&slot, &list).await?;
        Ok(self.description(&slot, counts))
    }

    /// Deletes a namespace with its records, or `NotFound`: for every caller at once, and for good when it is no longer kept.
    pub async fn delete_namespace(&self, name: &NamespaceName, kept: Kept) -> Result<()> {
        self.namespaces().await?.delete(name.clone(), kept).await
    }

    /// Refuses all further use, and waits until the last user of each namespace has let go.
    pub(crate) async fn delete_all(&self) {
        self.deleted.store(true, Ordering::Release);
        let _changing = self.changing.lock().await;
        if let Some(list) = self.opened() {
            list.end().await;
        }
    }

    /// Its namespace list, if it was ever used.
    pub(crate) fn opened(&self) -> Option<Arc<NamespaceList>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes everything of it that is open; it is opened again by its next use.
    pub(crate) async fn evict(&self) {
        let _changing = self.changing.lock().await;
        let list = self.list.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(list) = list {
            list.close().await;
        }
    }

    pub(crate) async fn namespaces(&self) -> Result<Arc<NamespaceList>> {
        if self.deleted.load(Ordering::Acquire) {
            return Err(no_index());
        }
        self.shared.check_running()?;
        if let Some(list) = self.opened() {
            return Ok(list);
        }
        let _changing = self.changing.lock().await;
        if let Some(list) = self.opened() {
            return Ok(list);
        }
        if self.deleted.load(Ordering::Acquire) {
            return Err(no_index());
        }
        let list = NamespaceList::open(&self.shared, self.id, &self.options).await?;
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&list));
        Ok(list)
    }

    async fn open(&self, name: &NamespaceName) -> Result<Option<Arc<Namespace>>> {
        let list = self.namespaces().await?;
        match list.get(name) {
            Some(slot) => or_if_gone(slot.open(&list).await.map(Some), None),
            None => Ok(None),
        }
    }

    /// The namespace, open and ready to be written to.
    async fn ready(&self, list: &Arc<NamespaceList>, slot: &Arc<Slot>, purpose: Purpose) -> Result<Arc<Namespace>> {
        let open = slot.open(list).await?;
        list.written(slot, purpose).await?;
        Ok(open)
    }

    async fn write_to(&self, list: &Arc<NamespaceList>, slot: &Arc<Slot>, operation: Operation) -> Result<Outcome> {
        self.ready(list, slot, operation.purpose()).await?.write(operation).await
    }

    fn description(&self, slot: &Slot, counts: Counts) -> NamespaceDescription {
        let filterable = slot.schema.as_ref().or(self.options.metadata_schema.as_ref());
        NamespaceDescription {
            name: slot.name.clone(),
            record_count: counts.records,
            size_bytes: counts.bytes,
            schema: slot.schema.clone(),
            indexed_fields: filterable.map_or_else(BTreeSet::new, |schema| schema.fields().clone()),
        }
    }
}

/// `nothing` where the namespace was deleted while it was asked: it is as if it had never been made.
fn or_if_gone<T>(outcome: Result<T>, nothing: T) -> Result<T> {
    match outcome {
        Err(error) if error.code == ErrorCode::NotFound => Ok(nothing),
        outcome => outcome,
    }
}

/// The counts of a namespace, which is opened if they are not known.
async fn counts(slot: &Arc<Slot>, list: &Arc<NamespaceList>) -> Result<Counts> {
    match slot.counts() {
        Some(counts) => Ok(counts),
        None => Ok(slot.open(list).await?.counts()),
    }
}

/// The counts, or none of a namespace that is damaged or gone: it must not take the others with it.
async fn counts_if_well(slot: &Arc<Slot>, list: &Arc<NamespaceList>) -> Result<Option<Counts>> {
    match counts(slot, list).await {
        Ok(counts) => Ok(Some(counts)),
        Err(error) if matches!(error.code, ErrorCode::DataLoss | ErrorCode::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
