//! The purge of what nobody can bring back any more: first what will go is written down, then keys are destroyed, then files removed, then
//! the report is signed, then the row goes. Each step can be done again, so after a crash the purge goes on from what was written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pinyon_engine::Engine;
use pinyon_model::{Deleted, DeletedId, DeletionReport, Error, Principal, Result};

use super::{
    SignedReport,
    report::{self, ReportSigner},
    stored::PurgeRecord,
};
use crate::{
    OpContext, Service,
    authorize::{Action, Authorized, Installation},
    catalog::{Change, NounId, StoredDeleted},
};

/// What one pass purges at most, of rows and of the namespaces of each index, so that it ends.
const BATCH: usize = 100;
/// How often records are purged where nothing is kept, and how long after a start at most.
const RECORDS_EVERY_MS_AT_ONCE: u64 = 10 * 60 * 1_000;

/// Held while something is purged or brought back: never both.
#[derive(Default)]
pub(crate) struct Purging {
    one: tokio::sync::Mutex<()>,
    waits: AtomicBool,
    /// Whether no purge of a namespace can be without its report: not before what a crash cut short was looked for, nor after a failure.
    settled: AtomicBool,
    /// When records are to be purged next; 0 before that is known.
    records_due_ms: AtomicU64,
}

impl Purging {
    pub(crate) async fn hold(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.one.lock().await
    }
}

/// What a purge came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PurgeOutcome {
    /// What is gone now.
    pub purged: Vec<Deleted>,
    /// What waits for the operator's word, because it is much.
    pub waiting: Option<WaitingPurge>,
}

/// A purge that the brake holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingPurge {
    /// Bytes of what is due.
    pub due_bytes: u64,
    /// Bytes of all that is stored.
    pub stored_bytes: u64,
}

/// Something that is due, and what its purge will say.
struct Due {
    stored: StoredDeleted,
    record: PurgeRecord,
    /// Whether it was written down already: then keys may be gone, and there is no way back.
    begun: bool,
}

impl Service {
    /// Purges what is due now. The operator's: `confirmed` lets the brake off.
    pub async fn purge_deleted(&self, ctx: &OpContext, confirmed: bool) -> Result<PurgeOutcome> {
        let mut authorized = self.authorize(ctx, Action::PurgeDeleted, Installation).await?;
        authorized.note("confirmed", confirmed.to_string());
        let mut result = self.purge_due(confirmed).await;
        // The operator's word is for all that is due, not for one pass of it.
        while let (true, Ok(so_far)) = (confirmed, &mut result) {
            match self.purge_due(true).await {
                Ok(more) if more.purged.is_empty() => break,
                Ok(more) => so_far.purged.extend(more.purged),
                Err(error) => result = Err(error),
            }
        }
        authorized.close(result).await
    }

    /// The same as a job: a failure is tried again, and told to the program's own log.
    pub(crate) async fn purge_quietly(&self) {
        if let Err(error) = self.purge_due(false).await {
            tracing::error!(%error, "what was deleted could not be purged; trying again");
        }
    }

    /// Whether a purge waits for the operator.
    pub fn purge_waits(&self) -> bool {
        self.purging().waits.load(Ordering::Relaxed)
    }

    /// The report of a purge, once it is over. The operator's.
    pub async fn deletion_report(&self, ctx: &OpContext, id: DeletedId) -> Result<SignedReport> {
        let authorized = self.authorize(ctx, Action::DescribeDeletionReport, Installation).await?;
        let found = self.read_purge_record(id).await;
        let none = || Error::not_found(format!("There is no report of a purge {id}"));
        authorized.close(found.and_then(|record| record.and_then(|r| r.signed).ok_or_else(none))).await
    }

    /// What was purged, oldest first. The operator's.
    pub async fn list_deletion_reports(&self, ctx: &OpContext) -> Result<Vec<DeletionReport>> {
        let authorized = self.authorize(ctx, Action::DescribeDeletionReport, Installation).await?;
        let found = async {
            let records = self.purge_records_stored().await?.into_iter();
            let mut reports: Vec<DeletionReport> = records.filter(|r| r.signed.is_some()).map(|r| r.report).collect();
            reports.sort_by_key(|r| (r.purged_at_ms, r.deleted.id));
            Ok(reports)
        }
        .await;
        authorized.close(found).await
    }

    /// What reports are verified by.
    pub async fn deletion_report_key(&self, ctx: &OpContext) -> Result<[u8; 32]> {
        let authorized = self.authorize(ctx, Action::DescribeDeletionReport, Installation).await?;
        let key = self.report_signer().await.map(|signer| signer.public_key());
        authorized.close(key).await
    }

    async fn report_signer(&self) -> Result<ReportSigner> {
        ReportSigner::new(&*self.store().keys().system_key(report::KEY).await?)
    }

    /// What the job does each time: what is due, and twice in each window what was deleted of records.
    pub(crate) async fn purge_in_turn(&self) {
        self.purge_quietly().await;
        let now_ms = self.clock().now_ms();
        let window_ms = self.deletion().window_ms;
        let due_ms = match self.purging().records_due_ms.load(Ordering::Relaxed) {
            // A server that just started has other things to do first.
            0 if window_ms == 0 => now_ms + RECORDS_EVERY_MS_AT_ONCE,
            0 => now_ms + (window_ms / 4).min(RECORDS_EVERY_MS_AT_ONCE),
            due_ms => due_ms,
        };
        self.purging().records_due_ms.store(due_ms, Ordering::Relaxed);
        if now_ms < due_ms {
            return;
        }
        let every_ms = if window_ms == 0 { RECORDS_EVERY_MS_AT_ONCE } else { window_ms / 2 };
        self.purging().records_due_ms.store(now_ms + every_ms, Ordering::Relaxed);
        if let Err(error) = self.purge_records().await {
            tracing::error!(%error, "deleted records could not be purged; trying again");
        }
    }

    /// Rids the disk, and every copy that today's keys open, of records that were deleted or overwritten. The operator's; a server does it by
    /// itself twice in each window.
    pub async fn purge_deleted_records(&self, ctx: &OpContext) -> Result<()> {
        let authorized = self.authorize(ctx, Action::PurgeDeleted, Installation).await?;
        let result = self.purge_records().await;
        authorized.close(result).await
    }

    pub(crate) async fn purge_due(&self, confirmed: bool) -> Result<PurgeOutcome> {
        let _one = self.purging().hold().await;
        let settled = self.purging().settled.swap(false, Ordering::Relaxed) || self.finish_interrupted_namespaces().await?;
        let mut outcome = PurgeOutcome::default();
        let now_ms = self.clock().now_ms();
        let (rows, rows_later) = self.plan_rows(now_ms).await?;
        let namespaces = self.plan_namespaces(now_ms, BATCH).await?;
        if !confirmed {
            let new = rows.iter().filter(|d| !d.begun).map(|d| &d.record).chain(namespaces.iter().flat_map(|n| &n.records));
            let due_bytes: u64 = new.flat_map(|record| &record.report.objects).map(|(_, bytes)| bytes).sum();
            let later: u64 = namespaces.iter().map(|n| n.bytes_later).sum::<u64>() + rows_later;
            outcome.waiting = self.brake(due_bytes + later).await?;
            self.purging().waits.store(outcome.waiting.is_some(), Ordering::Relaxed);
        }
        // What cannot go now keeps nothing else here.
        let mut failed = None;
        for one in rows.into_iter().filter(|d| d.begun || outcome.waiting.is_none()) {
            match self.purge_one(one).await {
                Ok(purged) => outcome.purged.push(purged),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        for due in namespaces.into_iter().filter(|_| outcome.waiting.is_none()) {
            match self.purge_namespaces(due).await {
                Ok(purged) => outcome.purged.extend(purged),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.purging().settled.store(settled, Ordering::Relaxed);
        Ok(outcome)
    }

    /// What is due of the rows, at most a batch, oldest first; and the bytes of what is due and not of this pass.
    async fn plan_rows(&self, now_ms: u64) -> Result<(Vec<Due>, u64)> {
        let mut stored: Vec<StoredDeleted> =
            self.catalog().tables().deleted.values().filter(|d| d.info.kept_until_ms <= now_ms).cloned().collect();
        stored.sort_by_key(|d| (d.info.kept_until_ms, d.info.id));
        let later = stored.split_off(stored.len().min(BATCH));
        let mut due = Vec::new();
        for stored in stored {
            let (id, kind) = (stored.info.id, stored.info.kind);
            match self.plan_purge(stored).await {
                Ok(planned) => due.push(planned),
                Err(error) => tracing::error!(%error, %id, kind = kind.as_str(), "what was deleted cannot be purged; trying again"),
            }
        }
        let mut bytes_later = 0;
        for stored in later {
            bytes_later += self.objects_of(&stored).await?.iter().map(|(_, bytes)| bytes).sum::<u64>();
        }
        Ok((due, bytes_later))
    }

    async fn plan_purge(&self, stored: StoredDeleted) -> Result<Due> {
        if let Some(record) = self.read_purge_record(stored.info.id).await? {
            return Ok(Due { stored, record, begun: true });
        }
        let (objects, mut keys) = (self.objects_of(&stored).await?, Vec::new());
        for index in stored.indexes() {
            keys.extend(self.store().keys().index_key_ids(index));
        }
        keys.extend(stored.backups().filter_map(|backup| self.store().keys().backup_key_id(backup)));
        keys.extend(self.kept_project_keys(&stored)?);
        let keys = keys.iter().map(ToString::to_string).collect();
        let report = DeletionReport { deleted: stored.info.clone(), purged_at_ms: 0, objects, keys };
        Ok(Due { stored, record: PurgeRecord { report, signed: None }, begun: false })
    }

    /// The files of what was deleted, with their bytes.
    async fn objects_of(&self, stored: &StoredDeleted) -> Result<Vec<(String, u64)>> {
        let folders = stored.indexes().map(Engine::index_folder).chain(stored.backups().map(Engine::backup_folder));
        let mut objects = Vec::new();
        for folder in folders {
            let blobs = self.store().blobs().list(&format!("{folder}/")).await?;
            objects.extend(blobs.into_iter().map(|b| (b.name, b.size)));
        }
        Ok(objects)
    }

    /// What is due beyond a share of what is stored waits: a mistake of seven days ago should not become final unseen.
    async fn brake(&self, due_bytes: u64) -> Result<Option<WaitingPurge>> {
        let options = self.deletion();
        if due_bytes <= options.brake_bytes {
            return Ok(None);
        }
        let mut stored_bytes = 0u64;
        for folder in ["indexes/", "backups/"] {
            stored_bytes += self.store().blobs().list(folder).await?.iter().map(|b| b.size).sum::<u64>();
        }
        if u128::from(due_bytes) * 100 <= u128::from(stored_bytes) * u128::from(options.brake_percent) {
            return Ok(None);
        }
        let percent = options.brake_percent;
        tracing::warn!(due_bytes, stored_bytes, percent, "much is to be purged; it waits for 'pinyon deleted purge --confirm'");
        Ok(Some(WaitingPurge { due_bytes, stored_bytes }))
    }

    async fn purge_one(&self, due: Due) -> Result<Deleted> {
        let Due { stored, mut record, begun } = due;
        if !begun {
            self.write_purge_record(&record).await?;
        }
        if record.signed.is_none() {
            for index in stored.indexes() {
                // A backup that is being taken links its files.
                self.backup_tasks().unused(index).await;
                self.engine().delete_index(index).await?;
            }
            for backup in stored.backups() {
                self.engine().delete_backup(backup).await?;
            }
            for key in self.kept_project_keys(&stored)? {
                self.remove_project_key(key).await?;
            }
            record = self.finish_purge_record(record).await?;
        }
        let mut authorized = self.authorize_purge(&record.report).await?;
        let result = async {
            let mut writer = self.catalog().writer().await;
            let change = Change::Delete(NounId::Deleted(stored.info.id));
            self.catalog().change(&mut writer, &mut authorized, self.audit(), vec![change]).await
        }
        .await;
        authorized.close(result).await?;
        Ok(stored.info)
    }

    /// Signs the report of what is gone, and stores it.
    pub(super) async fn finish_purge_record(&self, mut record: PurgeRecord) -> Result<PurgeRecord> {
        record.report.purged_at_ms = self.clock().now_ms();
        record.signed = Some(self.report_signer().await?.sign(report::text(&record.report)));
        self.write_purge_record(&record).await?;
        Ok(record)
    }

    /// The open record of a purge in the audit log.
    pub(super) async fn authorize_purge(&self, report: &DeletionReport) -> Result<Authorized<Installation>> {
        let ctx = OpContext::internal(Principal::System, self.clock().now_ms());
        let mut authorized = self.authorize(&ctx, Action::PurgeDeleted, Installation).await?;
        let deleted = &report.deleted;
        authorized.name(deleted.of.clone(), deleted.name.clone());
        authorized.note("kind", deleted.kind.as_str());
        authorized.note("deleted_id", deleted.id.to_string());
        authorized.note("objects", report.objects.len().to_string());
        Ok(authorized)
    }
}
