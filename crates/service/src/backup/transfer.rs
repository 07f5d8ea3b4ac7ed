//! Backups on their way to another installation: one file, whose parts are sealed as they lie here, and an export key that opens them
//! there.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use pinyon_engine::Engine;
use pinyon_model::{Backup, BackupId, BackupKind, BackupStatus, CmekId, Error, ErrorCode, ObjectId, Result};
use pinyon_storage::{ARCHIVE_PIECE, ArchiveReader, ArchiveWriter, ExportKey, Purpose, PutMode};

use super::{BackupDescriptor, descriptor_name, find, settle::counts};
use crate::{
    OpContext, Service,
    authorize::{Action, Authorized, Place, ProjectScope},
    catalog::{Change, Noun},
    store::blocking,
};

/// The first part: the backup's key, sealed under the export key.
const KEY: &str = "key";
/// The part that makes the rest a backup, which is put last.
pub(super) const MANIFEST: &str = "manifest";
const DESCRIPTOR: &str = "descriptor";
/// Bytes of a part that is kept in memory before it is put: a backup of a million namespaces has a tenth of that.
const SMALL_PART_MAX: u64 = 1 << 30;

/// A backup that was exported.
#[derive(Debug)]
pub struct ExportedBackup {
    /// What opens the file, shown now or never.
    pub key: ExportKey,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Service {
    /// Writes a backup of the caller's project into a file that must not exist. What is in the file opens by the export key alone.
    pub async fn export_backup(self: &Arc<Self>, ctx: &OpContext, id: &str, file: PathBuf) -> Result<ExportedBackup> {
        let (this, ctx, id) = (Arc::clone(self), ctx.clone(), id.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::ExportBackup, this.backups_scope(&ctx, &id)?).await?;
            authorized.note("backup_id", id.clone());
            authorized.note("file", file.display().to_string());
            let place = authorized.resource().place;
            let result = this.export_authorized(place, &id, file).await;
            authorized.close(result).await
        })
        .await
    }

    async fn export_authorized(&self, place: Place, id: &str, file: PathBuf) -> Result<ExportedBackup> {
        let found = find(&self.catalog().tables(), place, id)?;
        self.check_backup_key(&found)?;
        let backup = find_ready(&found)?;
        let _reading = self.backup_tasks().begin_reading(backup);
        let key = ExportKey::generate();
        let sealed = key.seal_key(backup, &*self.store().keys().backup_key(backup)?);
        let folder = format!("{}/", Engine::backup_folder(backup));
        let mut blobs = self.store().blobs().list(&folder).await?;
        blobs.sort_by_key(|b| (b.name.ends_with(MANIFEST), b.name.clone()));
        let mut writer = blocking(move || {
            let mut writer = ArchiveWriter::create(&file, backup)?;
            writer.part(KEY, sealed.len() as u64)?;
            writer.fill(&sealed)?;
            Ok(writer)
        })
        .await?;
        for blob in blobs {
            let Some(name) = blob.name.strip_prefix(&folder).map(str::to_owned) else { continue };
            let size = blob.size;
            writer = blocking(move || writer.part(&name, size).map(|()| writer)).await?;
            let mut at = 0;
            while at < blob.size {
                let end = (at + ARCHIVE_PIECE as u64).min(blob.size);
                let piece = self.store().blobs().get_range(&blob.name, at..end).await?;
                writer = blocking(move || writer.fill(&piece).map(|()| writer)).await?;
                at = end;
            }
        }
        let bytes = blocking(move || writer.finish()).await?;
        Ok(ExportedBackup { key, bytes })
    }

    /// Makes a backup in the caller's project of a file that was exported, under the id that it had. Every byte is verified first.
    /// `AlreadyExists` when that backup is here, `InvalidArgument` when the key is another, `DataLoss` when the file is damaged.
    pub async fn import_backup(self: &Arc<Self>, ctx: &OpContext, file: PathBuf, key: ExportKey) -> Result<Backup> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let scope = this.project_scope(&ctx, None)?;
            let mut authorized = this.authorize(&ctx, Action::ImportBackup, scope).await?;
            authorized.note("file", file.display().to_string());
            let result = this.import_authorized(&mut authorized, file, key, ctx.now_ms).await;
            authorized.close(result).await
        })
        .await
    }

    async fn import_authorized(
        &self,
        authorized: &mut Authorized<ProjectScope>,
        file: PathBuf,
        key: ExportKey,
        now_ms: u64,
    ) -> Result<Backup> {
        let (reader, data_key) = blocking(move || {
            let mut reader = ArchiveReader::open(&file)?;
            let sealed = match reader.next_part()? {
                Some((name, _)) if name == KEY => reader.piece()?,
                _ => Vec::new(),
            };
            let data_key = key.open_key(reader.backup(), &sealed)?;
            Ok((reader, data_key))
        })
        .await?;
        let id = reader.backup();
        authorized.note("backup_id", id.to_string());
        // Held until the end, so that of two imports at once there is one, and nobody deletes what is not settled.
        let Some(_importing) = self.backup_tasks().begin_import(id) else {
            return Err(Error::already_exists(format!("Backup {id} is being imported already")));
        };
        if self.knows_backup(id) || self.engine().backups().await?.contains(&id) {
            return Err(Error::already_exists(format!("Backup {id} is here already")));
        }
        // Where every index must be under a customer's key, so must a backup.
        let (cmek_id, above) = self.key_for_new(&self.catalog().tables(), authorized.resource().id, None)?;
        // A failure of this leaves nothing that is ours; from here on what is there is.
        self.store().keys().import_backup_key(id, Arc::new(data_key), above).await?;
        let made = async {
            let descriptor = self.put_parts(id, reader).await?;
            self.engine().check_backup(id).await?;
            self.record_import(authorized, (id, cmek_id), descriptor, now_ms).await
        }
        .await;
        if made.is_err() && !self.knows_backup(id) {
            self.remove_backup(id).await;
        }
        made
    }

    /// Puts what the file holds into the backup's folder, its manifest at the end, and answers its descriptor. That comes when every byte was
    /// verified: a folder without one is nobody's backup, so of an import that a crash cuts short the next start leaves nothing.
    async fn put_parts(&self, id: BackupId, mut reader: ArchiveReader) -> Result<Vec<u8>> {
        let folder = Engine::backup_folder(id);
        let (mut manifest, mut descriptor) = (None, None);
        loop {
            let (back, next) = blocking(move || reader.next_part().map(|next| (reader, next))).await?;
            reader = back;
            let Some((name, size)) = next else { break };
            let small = name == MANIFEST || name == DESCRIPTOR;
            if !small && ObjectId::parse(&name).map(|object| object.hex()).as_deref() != Ok(name.as_str()) {
                return Err(Error::invalid(format!("The file has a part '{}', which no backup has", name.escape_debug())));
            }
            if small && size > SMALL_PART_MAX {
                return Err(Error::invalid(format!("The file's part {name} has {size} bytes; at most {SMALL_PART_MAX} are allowed")));
            }
            self.store().space().take(size, Purpose::Data)?;
            let mut whole = Vec::new();
            let mut blob = if small { None } else { Some(self.store().blobs().create(&format!("{folder}/{name}"), Purpose::Data).await?) };
            loop {
                let (back, piece) = blocking(move || reader.piece().map(|piece| (reader, piece))).await?;
                reader = back;
                if piece.is_empty() {
                    break;
                }
                match &mut blob {
                    Some(blob) => blob.write(Bytes::from(piece)).await?,
                    None => whole.extend_from_slice(&piece),
                }
            }
            match blob {
                Some(blob) => drop(blob.finish().await?),
                None if name == MANIFEST => manifest = Some(whole),
                None => descriptor = Some(whole),
            }
        }
        let manifest = manifest.ok_or_else(|| Error::invalid("The file has no manifest"))?;
        let descriptor = descriptor.ok_or_else(|| Error::invalid("The file has no descriptor"))?;
        self.put_small(&format!("{folder}/{MANIFEST}"), manifest).await?;
        Ok(descriptor)
    }

    async fn put_small(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.store().blobs().put(name, Bytes::from(bytes), PutMode::CreateOnly, Purpose::Data).await?;
        Ok(())
    }

    async fn record_import(
        &self,
        authorized: &mut Authorized<ProjectScope>,
        (id, cmek_id): (BackupId, Option<CmekId>),
        descriptor: Vec<u8>,
        now_ms: u64,
    ) -> Result<Backup> {
        let project_id = authorized.resource().id;
        let mut writer = self.catalog().writer().await;
        self.put_small(&descriptor_name(id), descriptor).await?;
        let read = BackupDescriptor::read(self.store(), id).await?;
        let mut descriptor = {
            let tables = self.catalog().tables();
            self.check_backup_quota(&tables, project_id, &read.backup.kind)?;
            let project = tables.projects.get(&project_id).ok_or_else(|| Error::not_found("The project is not there"))?;
            let here = tables.indexes.get(&read.backup.source_index_id).is_some_and(|i| i.project_id() == project_id);
            let source_index_deleted_at_ms = if here { None } else { Some(now_ms) };
            let backup = Backup { project_id, source_index_deleted_at_ms, cmek_id, schedule_id: None, expires_at_ms: None, ..read.backup };
            BackupDescriptor { backup, organization_id: project.organization_id, project_name: project.name.clone() }
        };
        descriptor.write(self.store()).await?;
        // Counted as it lies here: the descriptor is not the one that was exported.
        descriptor.backup.status = BackupStatus::Ready(counts(&self.engine().describe_backup(id).await?));
        let backup = descriptor.backup;
        authorized.name(backup.name().map_or_else(|| id.to_string(), str::to_owned), backup.name().unwrap_or_default());
        self.catalog().change(&mut writer, authorized, self.audit(), vec![Change::Put(Noun::Backup(backup.clone()))]).await?;
        Ok(backup)
    }

    /// Waits until a backup of the caller's project is stored, or has failed.
    pub async fn wait_for_backup(&self, ctx: &OpContext, id: BackupId) -> Result<Backup> {
        loop {
            let backup = self.describe_backup(ctx, &id.to_string()).await?;
            if backup.status != BackupStatus::Initializing {
                return Ok(backup);
            }
            self.clock().wait_ms(WAIT_MS).await;
        }
    }
}

/// How often whoever waits looks.
pub(crate) const WAIT_MS: u64 = 20;

fn find_ready(backup: &Backup) -> Result<BackupId> {
    match (&backup.status, &backup.kind) {
        (BackupStatus::Ready(_), BackupKind::Backup { .. }) => Ok(backup.id),
        _ => Err(Error::new(ErrorCode::FailedPrecondition, "The backup is not ready")),
    }
}
