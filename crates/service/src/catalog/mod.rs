//! The catalog: who and what there is. One SQLite file, `catalog.db`, of which nothing is believed that is not sealed or covered by a
//! seal; [`Tables`] holds it in memory, verified.
//!
//! What guards it:
//! - each row's seal covers all of its columns and its table's name: a changed byte is an error, not a role;
//! - the state row holds a digest over all rows: a row that vanished or came back is noticed;
//! - each change raises the generation by one and leaves its audit event, of that generation, in the same transaction. The audit log
//!   holds the newest generation it has seen, so a catalog that was put back from an older copy is noticed at start;
//! - the state row also names where the audit log ended, so that the log cannot be put back either.

mod digest;
mod fields;
mod rows;
mod sql;
mod tables;

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use aws_lc_rs::digest as sha;
use pinyon_model::{AuditEvent, Deleted, Error, ErrorCode, OrganizationId, Project, ProjectId, Result};
use pinyon_storage::DataKey;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::{
    audit::{self, Audit, Head},
    authorize::Authorized,
    codec::{Reader, Writer},
};
use digest::Digest;
pub(crate) use fields::{read_customer_key, write_customer_key};
pub(crate) use rows::{
    FILE, FORMAT as ROW_FORMAT, Noun, NounId, StoredApiKey, StoredAuditSink, StoredCmek, StoredDeleted, StoredInvite, StoredServiceAccount,
    StoredUser,
};
use rows::{Row, RowSealer, Table, damaged};
pub(crate) use tables::{Change, KeyActor, Tables};

/// The name of the system key that the catalog is sealed under.
pub(crate) const KEY: &str = "catalog";

/// The catalog, open and verified.
pub(crate) struct Catalog {
    path: PathBuf,
    sealer: RowSealer,
    tables: RwLock<Tables>,
    writer: Mutex<CatalogWriter>,
    changes: watch::Sender<u64>,
}

/// What a change needs; held while it is decided and made, so that no two overlap.
pub(crate) struct CatalogWriter {
    /// None after a failed write: the file is read afresh before the next.
    conn: Option<SqliteConnection>,
    state: State,
    /// Audit events that are durable beside their changes and not yet in the log.
    outbox: Vec<AuditEvent>,
    closed: bool,
}

/// What the state row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// How many changes there have been.
    pub(crate) generation: u64,
    digest: Digest,
    defaults: Defaults,
    /// Where the audit log ended when this was written.
    audit_seq: u64,
    audit_hash: [u8; 32],
    /// SHA-256 of the schema's text.
    schema_hash: [u8; 32],
}

/// The organization and the project that the first start made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Defaults {
    pub(crate) organization: OrganizationId,
    pub(crate) project: ProjectId,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { organization: OrganizationId::from_bytes([0; 16]), project: ProjectId::from_bytes([0; 16]) }
    }
}

/// The format of the state row and of the audit events beside changes.
const FORMAT: u8 = 1;
const STATE_CONTEXT: &[u8] = b"catalog_state";

impl State {
    fn seal(&self, sealer: &RowSealer) -> Vec<u8> {
        let mut w = Writer::default();
        w.u8(FORMAT)
            .u64(self.generation)
            .raw(&self.digest.0)
            .raw(self.defaults.organization.as_bytes())
            .raw(self.defaults.project.as_bytes());
        w.u64(self.audit_seq).raw(&self.audit_hash).raw(&self.schema_hash);
        sealer.0.seal(STATE_CONTEXT, &w.finish())
    }

    fn open(sealer: &RowSealer, sealed: &[u8]) -> Result<Self> {
        let plain = sealer.0.open(STATE_CONTEXT, sealed).map_err(|_| damaged("its state row was changed"))?;
        let mut r = Reader::new("The state row of catalog.db", &plain);
        if r.u8()? != FORMAT {
            return Err(r.malformed());
        }
        let state = Self {
            generation: r.u64()?,
            digest: Digest(r.array()?),
            defaults: Defaults { organization: OrganizationId::from_bytes(r.array()?), project: ProjectId::from_bytes(r.array()?) },
            audit_seq: r.u64()?,
            audit_hash: r.array()?,
            schema_hash: r.array()?,
        };
        r.end()?;
        Ok(state)
    }
}

fn outbox_context(generation: u64) -> Vec<u8> {
    format!("audit_outbox {generation}").into_bytes()
}

/// A file that was read and verified.
struct Loaded {
    tables: Tables,
    state: State,
    outbox: Vec<AuditEvent>,
}

impl Catalog {
    /// Opens the file and verifies all of it; with `create`, a file that is not there is made.
    pub(crate) async fn open(path: PathBuf, key: Arc<DataKey>, create: bool) -> Result<Self> {
        let sealer = RowSealer(key);
        let (conn, loaded) = read_file(&path, &sealer, create).await?;
        Ok(Self {
            path,
            tables: RwLock::new(loaded.tables),
            writer: Mutex::new(CatalogWriter { conn: Some(conn), state: loaded.state, outbox: loaded.outbox, closed: false }),
            sealer,
            changes: watch::Sender::new(loaded.state.generation),
        })
    }

    /// What it holds. A short lock: never held across a wait.
    pub(crate) fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The project that the first start made.
    pub(crate) fn default_project(&self) -> Option<Project> {
        let tables = self.tables();
        tables.projects.get(&tables.defaults.project).cloned()
    }

    /// Told of every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The right to change it, one holder at a time.
    pub(crate) async fn writer(&self) -> MutexGuard<'_, CatalogWriter> {
        self.writer.lock().await
    }

    /// Holds catalog and audit log against each other, and puts into the log what a crash kept from it. `FailedPrecondition` when it is
    /// the catalog that is an older copy, `DataLoss` when it is the log.
    pub(crate) async fn reconcile(&self, audit: &Audit) -> Result<()> {
        let mut writer = self.writer.lock().await;
        let head = audit.head().await?;
        let state = writer.state;
        if state.generation < head.generation {
            return Err(Error::new(
                ErrorCode::FailedPrecondition,
                format!(
                    "{FILE} is an older copy: it holds {} changes, and the audit log has seen {}. Put the newer file back, or make it \
                     anew with 'pinyon catalog rebuild'",
                    state.generation, head.generation
                ),
            ));
        }
        let log_fell_back = head.seq < state.audit_seq || (head.seq == state.audit_seq && head.hash != state.audit_hash);
        writer.outbox.retain(|e| e.catalog_generation > Some(head.generation));
        let expected = head.generation + 1..=state.generation;
        let outbox_whole = writer.outbox.iter().map(|e| e.catalog_generation.unwrap_or(0)).eq(expected);
        if log_fell_back || !outbox_whole {
            return Err(crate::audit::damaged(format!("it ends at entry {}, and {FILE} knows of more", head.seq)));
        }
        writer.drain_outbox(audit).await
    }

    /// Makes changes with their audit event, in one transaction; both are durable when it returns, and the event is in the log.
    pub(crate) async fn change<T>(
        &self,
        writer: &mut CatalogWriter,
        authorized: &mut Authorized<T>,
        audit: &Audit,
        changes: Vec<Change>,
    ) -> Result<()> {
        writer.drain_outbox(audit).await?;
        self.ensure_connected(writer).await?;
        let Some(event) = authorized.success() else {
            return Err(Error::internal("A change of the catalog was authorized as a read"));
        };
        let planned = self.plan(writer, audit.head().await?, event, changes)?;
        let Some(conn) = writer.conn.as_mut() else {
            return Err(Error::unavailable("The catalog is not open"));
        };
        let batch = sql::Batch {
            deletes: &planned.deletes,
            puts: &planned.puts,
            witnessed: writer.state.generation,
            generation: planned.state.generation,
            event: &planned.sealed_event,
            state: &planned.state.seal(&self.sealer),
        };
        if let Err(error) = sql::commit(conn, &batch).await {
            let told = sql::unwritable(&error);
            // Whether the commit took is not known: only the file can tell.
            writer.conn = None;
            self.ensure_connected(writer).await.map_err(|_| told.clone())?;
            if writer.state.generation != planned.state.generation {
                return Err(told);
            }
        } else {
            sql::checkpoint(conn).await;
            writer.state = planned.state;
            writer.outbox.push(planned.event);
            self.apply(&planned.changes, planned.puts, planned.state.defaults);
        }
        authorized.recorded();
        self.changes.send_replace(writer.state.generation);
        writer.drain_outbox(audit).await
    }

    /// The changes that take these nouns out of their tables and keep them aside. What refers to another comes before it.
    pub(crate) fn bury(&self, info: Deleted, nouns: Vec<NounId>) -> Result<Vec<Change>> {
        let tables = self.tables();
        let row = |id: &NounId| tables.row(id.place()).cloned().ok_or_else(|| Error::internal("A row that is to be deleted is not there"));
        let rows = nouns.iter().map(row).collect::<Result<_>>()?;
        let kept = Change::Put(Noun::Deleted(StoredDeleted { info, rows }));
        Ok(nouns.into_iter().map(Change::Delete).chain([kept]).collect())
    }

    /// The same of nouns that are in no table.
    pub(crate) fn aside(&self, info: Deleted, nouns: &[Noun]) -> Noun {
        Noun::Deleted(StoredDeleted { info, rows: nouns.iter().map(|noun| self.sealer.seal(noun)).collect() })
    }

    /// The nouns that are kept aside, owners first.
    pub(crate) fn exhume(&self, stored: &StoredDeleted) -> Result<Vec<Noun>> {
        let mut rows: Vec<&Row> = stored.rows.iter().collect();
        rows.sort_by_key(|row| Table::ALL.iter().position(|table| *table == row.table));
        rows.into_iter().map(|row| self.sealer.open(row)).collect()
    }

    /// Reads the file afresh and holds it against what is in memory.
    pub(crate) async fn verify(&self) -> Result<()> {
        let mut writer = self.writer.lock().await;
        if let Some(conn) = writer.conn.take() {
            // A failure to close shows in the reading that follows.
            let _ = conn.close().await;
        }
        let (conn, loaded) = read_file(&self.path, &self.sealer, false).await?;
        if loaded.state.generation != writer.state.generation || loaded.state.digest != self.tables().digest() {
            return Err(damaged("it is not what this process wrote last"));
        }
        writer.conn = Some(conn);
        Ok(())
    }

    /// Closes the file; at rest it has no journal.
    pub(crate) async fn close(&self) {
        let mut writer = self.writer.lock().await;
        writer.closed = true;
        if let Some(conn) = writer.conn.take()
            && let Err(error) = conn.close().await
        {
            tracing::warn!(%error, "the catalog could not be closed");
        }
    }

    fn plan(&self, writer: &CatalogWriter, audit: Head, mut event: AuditEvent, changes: Vec<Change>) -> Result<Planned> {
        let generation = writer.state.generation + 1;
        event.catalog_generation = Some(generation);
        let mut w = Writer::default();
        w.u8(FORMAT);
        audit::write_event(&event, &mut w);
        let sealed_event = self.sealer.0.seal(&outbox_context(generation), &w.finish());
        let tables = self.tables();
        let mut defaults = writer.state.defaults;
        let (mut puts, mut deletes) = (Vec::new(), Vec::new());
        for change in &changes {
            let gone = match change {
                Change::Put(noun) => {
                    puts.push(self.sealer.seal(noun));
                    continue;
                }
                Change::SetDefaults(to) => {
                    defaults = *to;
                    continue;
                }
                Change::Delete(id) => id.place(),
            };
            let row = tables.row(gone).ok_or_else(|| Error::internal("A row that is to be deleted is not there"))?;
            deletes.push(row.clone());
        }
        let state = State {
            generation,
            digest: tables.digest_after(&self.sealer, &puts, &deletes),
            defaults,
            audit_seq: audit.seq,
            audit_hash: audit.hash,
            schema_hash: writer.state.schema_hash,
        };
        drop(tables);
        Ok(Planned { changes, puts, deletes, state, event, sealed_event })
    }

    fn apply(&self, changes: &[Change], puts: Vec<Row>, defaults: Defaults) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        changes.iter().for_each(|change| {
            if let Change::Delete(id) = change {
                tables.delete(&self.sealer, *id);
            }
        });
        let nouns = changes.iter().filter_map(|change| if let Change::Put(noun) = change { Some(noun.clone()) } else { None });
        for (row, noun) in puts.into_iter().zip(nouns) {
            tables.put(&self.sealer, row, noun);
        }
        tables.defaults = defaults;
    }

    /// After a failed write: opens the file again, verifies it and takes what it holds for true.
    async fn ensure_connected(&self, writer: &mut CatalogWriter) -> Result<()> {
        if writer.closed {
            return Err(Error::unavailable("The server is stopping"));
        }
        if writer.conn.is_some() {
            return Ok(());
        }
        let (conn, loaded) = read_file(&self.path, &self.sealer, false).await?;
        if loaded.state.generation < writer.state.generation {
            return Err(damaged("it lost changes that were durable"));
        }
        if loaded.state.generation > writer.state.generation {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            tables.adopt(loaded.tables);
        }
        writer.outbox.extend(loaded.outbox.into_iter().filter(|e| e.catalog_generation > Some(writer.state.generation)));
        writer.state = loaded.state;
        writer.conn = Some(conn);
        Ok(())
    }
}

/// A change, ready to be written.
struct Planned {
    changes: Vec<Change>,
    puts: Vec<Row>,
    deletes: Vec<Row>,
    state: State,
    event: AuditEvent,
    sealed_event: Vec<u8>,
}

impl CatalogWriter {
    /// How many changes there have been.
    pub(crate) fn generation(&self) -> u64 {
        self.state.generation
    }

    /// Begins to count where the audit log's memory ends: for a catalog that is made anew.
    pub(crate) fn start_after(&mut self, generation: u64) {
        self.state.generation = generation;
    }

    /// Puts into the audit log what is durable beside the changes and not there yet.
    async fn drain_outbox(&mut self, audit: &Audit) -> Result<()> {
        while let Some(event) = self.outbox.first() {
            audit.record(event.clone()).await?;
            self.outbox.remove(0);
        }
        Ok(())
    }
}

/// Opens a file, brings its schema up to date, reads and verifies all of it.
async fn read_file(path: &std::path::Path, sealer: &RowSealer, create: bool) -> Result<(SqliteConnection, Loaded)> {
    let mut conn = sql::connect(path, create).await.map_err(sql::unreadable)?;
    let loaded = load(&mut conn, sealer).await;
    match loaded {
        Ok(loaded) => Ok((conn, loaded)),
        Err(error) => {
            // The first error is the one to tell.
            let _ = conn.close().await;
            Err(error)
        }
    }
}

/// Runs the migrations that are missing, on a file whose schema is the one that was written.
async fn bring_up_to_date(conn: &mut SqliteConnection, sealer: &RowSealer) -> Result<()> {
    let at = sql::migration(conn).await.map_err(sql::unreadable)?;
    if at > sql::SCHEMA {
        return Err(damaged(format!("its schema is number {at}, and this version of Pinyon knows {} at most", sql::SCHEMA)));
    }
    if at == sql::SCHEMA {
        return Ok(());
    }
    let state = match at {
        0 => None,
        _ => sql::select_state(conn).await?.map(|sealed| State::open(sealer, &sealed)).transpose()?,
    };
    if let Some(state) = &state
        && state.schema_hash != hash(&sql::schema(conn).await.map_err(sql::unreadable)?)
    {
        return Err(damaged("its schema was changed"));
    }
    let reseal = |schema: &str| state.map(|state| State { schema_hash: hash(schema), ..state }.seal(sealer));
    sql::migrate(conn, at, reseal).await.map_err(sql::unreadable)
}

fn hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(sha::digest(&sha::SHA256, text.as_bytes()).as_ref());
    hash
}

async fn load(conn: &mut SqliteConnection, sealer: &RowSealer) -> Result<Loaded> {
    bring_up_to_date(conn, sealer).await?;
    sql::check_file(conn).await.map_err(sql::unreadable)?;
    let schema_hash = hash(&sql::schema(conn).await.map_err(sql::unreadable)?);

    let mut tables = Tables::default();
    for table in Table::ALL {
        for row in sql::select_all(conn, table).await? {
            let noun = sealer.open(&row)?;
            tables.put(sealer, row, noun);
        }
    }
    let outbox = sql::select_outbox(conn).await?;
    let Some(sealed) = sql::select_state(conn).await? else {
        // A file without any change: the process ended before the first one.
        return if tables.digest() == Digest::default() && outbox.is_empty() {
            Ok(Loaded { tables, state: State { schema_hash, ..State::default() }, outbox: Vec::new() })
        } else {
            Err(damaged("its state row is gone"))
        };
    };
    let state = State::open(sealer, &sealed)?;
    if state.digest != tables.digest() {
        return Err(damaged("a row is missing, or one came back"));
    }
    if state.schema_hash != schema_hash {
        return Err(damaged("its schema was changed"));
    }
    tables.defaults = state.defaults;
    let outbox = outbox
        .into_iter()
        .map(|(generation, sealed)| {
            let plain = sealer.0.open(&outbox_context(generation), &sealed).map_err(|_| damaged("an audit event in it was changed"))?;
            let mut r = Reader::new("An audit event in catalog.db", &plain);
            if r.u8()? != FORMAT {
                return Err(r.malformed());
            }
            let event = audit::read_event(&mut r)?;
            r.end()?;
            Ok(event)
        })
        .collect::<Result<_>>()?;
    Ok(Loaded { tables, state, outbox })
}
