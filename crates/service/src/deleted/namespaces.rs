//! Deleted namespaces, which the engine keeps in the list of their index; and the records that were deleted or overwritten.

use pinyon_engine::{DeletedNamespace, Removed};
use pinyon_model::{Deleted, DeletedId, DeletedKind, DeletionReport, Error, ErrorCode, IndexId, NamespaceId, Principal, Result};
use pinyon_storage::random_bytes;

use super::stored::PurgeRecord;
use crate::{
    IndexRef, OpContext, Service,
    authorize::{Action, Authorized},
};

/// A deleted namespace is brought back by its own id.
fn deleted_id(id: NamespaceId) -> DeletedId {
    DeletedId::from_bytes(*id.as_bytes())
}

fn namespace_id(id: DeletedId) -> NamespaceId {
    NamespaceId::from_bytes(*id.as_bytes())
}

impl Service {
    /// The indexes there are, to be worked on by Pinyon itself.
    async fn own_indexes(&self) -> Result<Vec<Authorized<IndexRef>>> {
        let ctx = OpContext::internal(Principal::System, self.clock().now_ms());
        let indexes: Vec<IndexRef> = self.catalog().tables().indexes.values().cloned().collect();
        let mut authorized = Vec::with_capacity(indexes.len());
        for index in indexes {
            authorized.push(self.authorize(&ctx, Action::ListDeleted, index).await?);
        }
        Ok(authorized)
    }

    /// The deleted namespaces of an index. One that cannot be opened, because its key is locked or it was deleted meanwhile, keeps its own.
    async fn deleted_namespaces_of(&self, index: &Authorized<IndexRef>) -> Vec<DeletedNamespace> {
        let listed = async { index.handle(self)?.deleted_namespaces().await };
        listed.await.unwrap_or_else(|error| {
            tracing::debug!(%error, index = %index.resource().id(), "the deleted namespaces of an index cannot be listed");
            Vec::new()
        })
    }

    fn describe_deleted(&self, index: &IndexRef, namespace: &DeletedNamespace) -> Deleted {
        Deleted {
            id: deleted_id(namespace.id),
            kind: DeletedKind::Namespace,
            of: format!("{}/{}", index.id(), namespace.id),
            name: format!("{}/{}", index.name(), namespace.name),
            organization_id: self.catalog().tables().organization_of(index.project_id()),
            project_id: Some(index.project_id()),
            deleted_at_ms: namespace.deleted_at_ms,
            deleted_by: "unknown".to_owned(),
            kept_until_ms: namespace.kept_until_ms,
        }
    }

    /// Those that are kept, and those whose purge has begun and not ended.
    pub(super) async fn list_deleted_namespaces(&self) -> Result<Vec<Deleted>> {
        let mut found = self.kept_namespaces().await?;
        let begun = self.open_namespace_purges().await?.into_iter().map(|record| record.report.deleted);
        let begun: Vec<Deleted> = begun.filter(|d| !found.iter().any(|kept| kept.id == d.id)).collect();
        found.extend(begun);
        Ok(found)
    }

    async fn kept_namespaces(&self) -> Result<Vec<Deleted>> {
        let mut found = Vec::new();
        for index in self.own_indexes().await? {
            let namespaces = self.deleted_namespaces_of(&index).await;
            found.extend(namespaces.iter().map(|namespace| self.describe_deleted(index.resource(), namespace)));
        }
        Ok(found)
    }

    async fn open_namespace_purges(&self) -> Result<Vec<PurgeRecord>> {
        let mut open = self.purge_records_stored().await?;
        open.retain(|record| record.signed.is_none() && record.report.deleted.kind == DeletedKind::Namespace);
        Ok(open)
    }

    /// Brings a namespace back; none when no index keeps one of this id.
    pub(super) async fn restore_namespace(&self, id: DeletedId) -> Result<Option<Deleted>> {
        for index in self.own_indexes().await? {
            let namespaces = self.deleted_namespaces_of(&index).await;
            let Some(namespace) = namespaces.into_iter().find(|n| deleted_id(n.id) == id) else { continue };
            index.handle(self)?.restore_namespace(namespace_id(id)).await?;
            return Ok(Some(self.describe_deleted(index.resource(), &namespace)));
        }
        Ok(None)
    }

    /// What is due of every index, planned: at most so many of each, oldest first.
    pub(super) async fn plan_namespaces(&self, now_ms: u64, most: usize) -> Result<Vec<DueNamespaces>> {
        let mut all = Vec::new();
        for index in self.own_indexes().await? {
            // A backup that is being taken links their files.
            if self.backup_tasks().uses(index.resource().id()) {
                continue;
            }
            let mut due = self.deleted_namespaces_of(&index).await;
            due.retain(|n| n.kept_until_ms <= now_ms);
            due.sort_by_key(|n| n.kept_until_ms);
            let (mut records, mut bytes_later) = (Vec::new(), 0);
            for (n, namespace) in due.iter().enumerate() {
                if n < most {
                    records.push(self.plan_namespace(&index, namespace).await?);
                } else {
                    bytes_later += index.handle(self)?.kept_of(namespace.id).await?.objects.iter().map(|(_, bytes)| bytes).sum::<u64>();
                }
            }
            if !records.is_empty() {
                all.push(DueNamespaces { index, records, bytes_later });
            }
        }
        Ok(all)
    }

    async fn plan_namespace(&self, index: &Authorized<IndexRef>, namespace: &DeletedNamespace) -> Result<PurgeRecord> {
        if let Some(begun) = self.read_purge_record(deleted_id(namespace.id)).await? {
            return Ok(begun);
        }
        let Removed { objects, keys } = index.handle(self)?.kept_of(namespace.id).await?;
        let (deleted, keys) = (self.describe_deleted(index.resource(), namespace), keys.iter().map(ToString::to_string).collect());
        let report = DeletionReport { deleted, purged_at_ms: 0, objects, keys };
        Ok(PurgeRecord { report, signed: None })
    }

    pub(super) async fn purge_namespaces(&self, due: DueNamespaces) -> Result<Vec<Deleted>> {
        for record in &due.records {
            self.write_purge_record(record).await?;
        }
        let ids: Vec<NamespaceId> = due.records.iter().map(|record| namespace_id(record.report.deleted.id)).collect();
        due.index.handle(self)?.purge_namespaces(&ids).await?;
        let mut purged = Vec::new();
        for record in due.records {
            purged.push(self.finish_namespace(record).await?);
        }
        Ok(purged)
    }

    async fn finish_namespace(&self, record: PurgeRecord) -> Result<Deleted> {
        let record = self.finish_purge_record(record).await?;
        self.record_purge(&record.report).await?;
        Ok(record.report.deleted)
    }

    /// Ends what a crash or a failure left between a namespace's purge and its report. Whether none is left open: the engine removes in the
    /// background what a crash left of one.
    pub(super) async fn finish_interrupted_namespaces(&self) -> Result<bool> {
        let open = self.open_namespace_purges().await?;
        if open.is_empty() {
            return Ok(true);
        }
        let (kept, mut all) = (self.kept_namespaces().await?, true);
        for record in open {
            // One that is still kept is due, and its purge goes on with the others.
            if kept.iter().any(|d| d.id == record.report.deleted.id) {
                continue;
            }
            if self.is_gone(&record.report).await? {
                self.finish_namespace(record).await?;
            } else {
                all = false;
            }
        }
        Ok(all)
    }

    /// Whether nothing is left of the keys and the files that a report names.
    async fn is_gone(&self, report: &DeletionReport) -> Result<bool> {
        let (index, namespace) = report.deleted.of.split_once('/').unwrap_or_default();
        if let (Ok(index), Ok(namespace)) = (IndexId::parse(index), NamespaceId::parse(namespace))
            && !self.store().keys().namespace_key_ids(index, namespace).is_empty()
        {
            return Ok(false);
        }
        let Some((folder, _)) = report.objects.first().and_then(|(name, _)| name.rsplit_once('/')) else { return Ok(true) };
        Ok(self.store().blobs().list(&format!("{folder}/")).await?.is_empty())
    }

    /// Rids every index of what was deleted from its namespaces and overwritten in them, with a report of each that had some.
    pub(super) async fn purge_records(&self) -> Result<()> {
        for index in self.own_indexes().await? {
            let removed = async { index.handle(self)?.purge_records().await };
            match removed.await {
                Ok(removed) if removed.is_empty() => {}
                Ok(removed) => self.report_records(index.resource(), removed).await?,
                // Deleted, or its key is locked: the next pass asks again.
                Err(error) if matches!(error.code, ErrorCode::NotFound | ErrorCode::Forbidden) => {}
                Err(error) => tracing::warn!(%error, index = %index.resource().id(), "deleted records stay for now"),
            }
        }
        Ok(())
    }

    async fn report_records(&self, index: &IndexRef, removed: Vec<Removed>) -> Result<()> {
        let now_ms = self.clock().now_ms();
        let deleted = Deleted {
            id: DeletedId::from_random(random_bytes()),
            kind: DeletedKind::Records,
            of: index.id().to_string(),
            name: index.name().to_string(),
            organization_id: self.catalog().tables().organization_of(index.project_id()),
            project_id: Some(index.project_id()),
            deleted_at_ms: now_ms,
            deleted_by: "unknown".to_owned(),
            kept_until_ms: now_ms,
        };
        let keys = removed.iter().flat_map(|r| &r.keys).map(ToString::to_string).collect();
        let objects = removed.into_iter().flat_map(|r| r.objects).collect();
        let report = DeletionReport { deleted, purged_at_ms: 0, objects, keys };
        let record = self.finish_purge_record(PurgeRecord { report, signed: None }).await?;
        self.record_purge(&record.report).await
    }

    /// The purge's entry in the audit log, where no row goes with it.
    async fn record_purge(&self, report: &DeletionReport) -> Result<()> {
        let authorized = self.authorize_purge(report).await?;
        authorized.close(Ok::<(), Error>(())).await
    }
}

/// Namespaces of one index that are due.
pub(super) struct DueNamespaces {
    index: Authorized<IndexRef>,
    pub(super) records: Vec<PurgeRecord>,
    /// Bytes of those that are due and not of this pass.
    pub(super) bytes_later: u64,
}
