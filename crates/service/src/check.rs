//! The check: every stored byte is read and verified, and what is damaged is named.

use std::{collections::BTreeMap, sync::Arc};

use pinyon_engine::{Clock, Engine};
use pinyon_model::{BackupId, Error, ErrorCode, IndexId, IndexState, Recall, Result};
use pinyon_storage::StorageError;

use crate::{
    IndexRef, OpContext, Service, ServiceOptions, api_key,
    audit::{self, Audit},
    authorize::{Action, Installation},
    backup::{self, BackupDescriptor},
    catalog::{self, Catalog},
    deleted::{self, PurgeRecord},
    descriptor::{self, Descriptor},
    rates::{self, MonthlyUsage},
    rotation::{self, Rotated},
    store::Store,
};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckReport {
    /// Indexes looked at.
    pub indexes: u64,
    /// Namespaces looked at.
    pub namespaces: u64,
    /// Backups looked at.
    pub backups: u64,
    /// Indexes and backups that were not looked at, since the customer's key above theirs is not available.
    pub locked: u64,
    /// Live records.
    pub records: u64,
    /// The engine's files, read to the end.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries of the audit log's chain.
    pub audit_events: u64,
    /// The recall of approximate search, of each index that has any.
    pub recall: Vec<CheckedRecall>,
    /// What is damaged; empty when all is well.
    pub damaged: Vec<DamagedFile>,
}

/// The recall of one index.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedRecall {
    /// Its name; its id where the catalog does not know it.
    pub index: String,
    /// Whether it was measured by live queries, or by probes made of stored vectors.
    pub live: bool,
    /// What was measured.
    pub recall: Recall,
}

/// A file that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its path below the data directory.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

impl CheckReport {
    fn damaged(&mut self, file: impl Into<String>, error: impl ToString) {
        self.damaged.push(DamagedFile { file: file.into(), what: error.to_string() });
    }

    /// Every key must open.
    async fn look_at_keys(&mut self, store: &Store) {
        let keys = Arc::clone(store.keys());
        if let Err(error) = crate::store::blocking(move || keys.check()).await {
            self.damaged("keys", error);
        }
    }

    async fn look_at_engine(&mut self, engine: &Engine, names: &BTreeMap<IndexId, String>) {
        match engine.check().await {
            Ok(report) => {
                self.indexes = report.indexes;
                self.namespaces = report.namespaces;
                self.backups = report.backups;
                self.locked = report.locked;
                self.records = report.records;
                self.files += report.files;
                self.bytes += report.bytes;
                self.recall = report
                    .recall
                    .into_iter()
                    .map(|r| CheckedRecall {
                        index: names.get(&r.index).cloned().unwrap_or_else(|| r.index.to_string()),
                        live: r.live,
                        recall: r.recall,
                    })
                    .collect();
                self.damaged.extend(report.damaged.into_iter().map(|d| DamagedFile { file: d.file, what: d.what }));
            }
            Err(error) => self.damaged("indexes", error),
        }
    }

    /// Of a backup that is whole, the descriptor must be readable and be of that backup.
    async fn look_at_backup_descriptors(&mut self, store: &Store, backups: Vec<BackupId>) {
        for id in backups {
            // A locked one is counted by the engine.
            if let Err(error) = BackupDescriptor::read(store, id).await
                && !matches!(error, StorageError::KeyLocked { .. })
            {
                self.damaged(backup::descriptor_name(id), error);
            }
        }
    }

    async fn look_at_usage(&mut self, store: &Store) {
        if let Err(error) = MonthlyUsage::read(store).await {
            self.damaged(rates::OBJECT, error);
        }
    }

    /// The records of purges, and when the keys of the data were rotated.
    async fn look_at_purges_and_rotation(&mut self, store: &Store) {
        match PurgeRecord::ids(store).await {
            Err(error) => self.damaged(deleted::FOLDER, error),
            Ok(ids) => {
                for id in ids {
                    if let Err(error) = PurgeRecord::read(store, id).await {
                        self.damaged(deleted::record_name(id), error);
                    }
                }
            }
        }
        if let Err(error) = Rotated::read(store).await {
            self.damaged(rotation::OBJECT, error);
        }
    }

    async fn look_at_audit(&mut self, audit: &Audit) {
        let report = audit.check().await;
        self.audit_events = report.entries;
        self.damaged.extend(report.damaged);
    }

    /// When keys were used.
    async fn look_at_key_use(&mut self, store: &Store) {
        if let Err(error) = api_key::used::read(store).await {
            self.damaged(api_key::used::FILE, error);
        }
    }

    /// Of an index that the catalog knows, the descriptor must be readable and be of that index.
    async fn look_at_descriptors(&mut self, store: &Store, indexes: Vec<IndexId>) {
        for id in indexes {
            // A locked one is counted by the engine.
            if let Err(error) = Descriptor::read(store, id).await
                && !matches!(error, StorageError::KeyLocked { .. })
            {
                self.damaged(descriptor::name(id), error);
            }
        }
    }
}

impl Service {
    /// Reads and verifies every stored byte of a running service.
    pub async fn check(&self, ctx: &OpContext) -> Result<CheckReport> {
        let authorized = self.authorize(ctx, Action::Check, Installation).await?;
        let mut report = CheckReport::default();
        report.look_at_keys(self.store()).await;
        if let Err(error) = self.catalog().verify().await {
            report.damaged(catalog::FILE, error);
        }
        report.look_at_usage(self.store()).await;
        report.look_at_purges_and_rotation(self.store()).await;
        report.look_at_audit(self.audit()).await;
        report.look_at_key_use(self.store()).await;
        let indexes = names(self.catalog());
        report.look_at_descriptors(self.store(), stored_indexes(self.catalog())).await;
        report.look_at_backup_descriptors(self.store(), whole_backups(self.catalog())).await;
        report.look_at_engine(self.engine(), &indexes).await;
        authorized.close(Ok(report)).await
    }

    /// Reads and verifies every stored byte of a data directory that no server has open, however damaged. Fails only when the
    /// directory is in use, cannot be read, or the root key is another.
    pub async fn check_offline(options: ServiceOptions, clock: Arc<dyn Clock>) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let opened = Store::open(options.data_dir, options.key_dir, options.reserve_bytes, options.root_key).await;
        let store = match opened {
            Err(error) if error.code == ErrorCode::DataLoss => {
                report.damaged("keys", error);
                return Ok(report);
            }
            opened => opened?,
        };
        report.look_at_keys(&store).await;
        report.look_at_usage(&store).await;
        report.look_at_purges_and_rotation(&store).await;
        let audit = Audit::open(store.clone(), Arc::clone(&clock)).await?;
        report.look_at_audit(&audit).await;
        report.look_at_key_use(&store).await;
        let mut indexes = BTreeMap::new();
        match open_catalog(&store, &audit).await {
            Err(error) => report.damaged(catalog::FILE, error),
            Ok(None) => {}
            Ok(Some(catalog)) => {
                if !audit.is_damaged().await
                    && let Err(error) = catalog.reconcile(&audit).await
                {
                    let file = if error.code == ErrorCode::DataLoss { audit::FOLDER } else { catalog::FILE };
                    report.damaged(file, error);
                }
                indexes = names(&catalog);
                let (stored, backups) = (stored_indexes(&catalog), whole_backups(&catalog));
                catalog.close().await;
                report.look_at_descriptors(&store, stored).await;
                report.look_at_backup_descriptors(&store, backups).await;
            }
        }
        let keys = Arc::clone(store.keys());
        let engine = Engine::open(Arc::clone(store.blobs()), store.path().to_owned(), keys, clock, options.engine).await?;
        report.look_at_engine(&engine, &indexes).await;
        engine.close().await;
        Ok(report)
    }
}

/// What the indexes are called.
fn names(catalog: &Catalog) -> BTreeMap<IndexId, String> {
    catalog.tables().indexes.iter().map(|(id, index)| (*id, index.name().to_string())).collect()
}

/// The indexes that have a folder: one that could not be restored has none.
fn stored_indexes(catalog: &Catalog) -> Vec<IndexId> {
    let has_folder = |i: &&IndexRef| i.stored().index.state != IndexState::InitializationFailed;
    catalog.tables().indexes.values().filter(has_folder).map(IndexRef::id).collect()
}

/// The backups that are ready.
fn whole_backups(catalog: &Catalog) -> Vec<BackupId> {
    catalog.tables().backups.values().filter(|b| b.status.counts().is_some()).map(|b| b.id).collect()
}

/// The catalog, verified; none in a directory that was never used.
async fn open_catalog(store: &Store, audit: &Audit) -> Result<Option<Catalog>> {
    match store.blobs().head(catalog::FILE).await {
        Err(StorageError::NotFound { .. }) if audit.head().await.is_ok_and(|h| h.generation == 0) => return Ok(None),
        Err(StorageError::NotFound { .. }) => return Err(Error::new(ErrorCode::DataLoss, "it is gone")),
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    let key = store.keys().system_key(catalog::KEY).await?;
    Ok(Some(Catalog::open(store.path().join(catalog::FILE), key, false).await?))
}
