//! The statements. Each also runs on PostgreSQL, but for the types' names in the migrations and the pragmas.

use std::path::Path;

use pinyon_model::{Error, Result};
use sqlx::{
    Connection, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteRow, SqliteSynchronous},
};

use super::rows::{FILE, Row, Table, damaged};

/// By number, the first is 1: what brings a catalog from the number before to this one.
const MIGRATIONS: [&[&str]; 4] = [
    &[
        "CREATE TABLE organizations (id BLOB PRIMARY KEY NOT NULL, sealed BLOB NOT NULL)",
        "CREATE TABLE projects (id BLOB PRIMARY KEY NOT NULL, organization_id BLOB NOT NULL REFERENCES organizations (id), sealed BLOB NOT NULL)",
        "CREATE TABLE api_keys (id BLOB PRIMARY KEY NOT NULL, project_id BLOB NOT NULL REFERENCES projects (id), \
     secret_hash BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL)",
        "CREATE TABLE indexes (id BLOB PRIMARY KEY NOT NULL, project_id BLOB NOT NULL REFERENCES projects (id), \
     name_hash BLOB NOT NULL, port BIGINT UNIQUE, sealed BLOB NOT NULL, UNIQUE (project_id, name_hash))",
        "CREATE TABLE audit_outbox (generation BIGINT PRIMARY KEY NOT NULL, sealed BLOB NOT NULL)",
        "CREATE TABLE catalog_state (id BIGINT PRIMARY KEY NOT NULL, sealed BLOB NOT NULL)",
    ],
    &[
        "CREATE TABLE service_accounts (id BLOB PRIMARY KEY NOT NULL, organization_id BLOB NOT NULL REFERENCES organizations (id), \
     secret_hash BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL)",
        "CREATE TABLE users (id BLOB PRIMARY KEY NOT NULL, organization_id BLOB NOT NULL REFERENCES organizations (id), \
     email_hash BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL)",
        "CREATE TABLE invites (id BLOB PRIMARY KEY NOT NULL, organization_id BLOB NOT NULL REFERENCES organizations (id), \
     token_hash BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL)",
        "CREATE TABLE role_bindings (id BLOB PRIMARY KEY NOT NULL, organization_id BLOB NOT NULL REFERENCES organizations (id), \
     sealed BLOB NOT NULL)",
    ],
    &["CREATE TABLE audit_sinks (id BLOB PRIMARY KEY NOT NULL, organization_id BLOB NOT NULL REFERENCES organizations (id), \
     sealed BLOB NOT NULL)"],
    &[
        "CREATE TABLE private_endpoints (id BLOB PRIMARY KEY NOT NULL, project_id BLOB NOT NULL REFERENCES projects (id), \
     sealed BLOB NOT NULL)",
        "CREATE TABLE cmeks (id BLOB PRIMARY KEY NOT NULL, project_id BLOB NOT NULL REFERENCES projects (id), sealed BLOB NOT NULL)",
        "CREATE TABLE deleted (id BLOB PRIMARY KEY NOT NULL, sealed BLOB NOT NULL)",
        "CREATE TABLE backups (id BLOB PRIMARY KEY NOT NULL, project_id BLOB NOT NULL REFERENCES projects (id), sealed BLOB NOT NULL)",
        "CREATE TABLE restore_jobs (id BLOB PRIMARY KEY NOT NULL, project_id BLOB NOT NULL REFERENCES projects (id), sealed BLOB NOT NULL)",
        "CREATE TABLE backup_schedules (id BLOB PRIMARY KEY NOT NULL, project_id BLOB NOT NULL REFERENCES projects (id), \
     sealed BLOB NOT NULL)",
    ],
];

/// The newest migration's number.
pub(super) const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// Opens the file, or makes it. Nothing of it is believed yet.
pub(super) async fn connect(path: &Path, create: bool) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        // One process owns the directory, and this is its one connection: no shared-memory file is mapped.
        .locking_mode(SqliteLockingMode::Exclusive)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // What a row was leaves the file with it.
        .pragma("secure_delete", "ON")
        .pragma("temp_store", "MEMORY")
        .pragma("trusted_schema", "OFF");
    SqliteConnection::connect_with(&options).await
}

/// The number of the last migration that was run; 0 in a new file.
pub(super) async fn migration(conn: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query("CREATE TABLE IF NOT EXISTS catalog_migrations (number BIGINT PRIMARY KEY NOT NULL)").execute(&mut *conn).await?;
    let row = sqlx::query("SELECT COALESCE(MAX(number), 0) FROM catalog_migrations").fetch_one(conn).await?;
    row.try_get(0)
}

/// Runs the migrations after this one. The state row is sealed anew by `reseal`, which is given the text of the new schema, in the
/// same transaction.
pub(super) async fn migrate(
    conn: &mut SqliteConnection,
    after: i64,
    reseal: impl FnOnce(&str) -> Option<Vec<u8>>,
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    for (number, statements) in (1..).zip(MIGRATIONS).filter(|(n, _)| *n > after) {
        for statement in statements {
            sqlx::query(*statement).execute(&mut *tx).await?;
        }
        sqlx::query("INSERT INTO catalog_migrations (number) VALUES ($1)").bind(number).execute(&mut *tx).await?;
    }
    if let Some(state) = reseal(&schema(&mut tx).await?) {
        put_state(&mut tx, &state).await?;
    }
    tx.commit().await
}

async fn put_state(conn: &mut SqliteConnection, state: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO catalog_state (id, sealed) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed")
        .bind(state)
        .execute(conn)
        .await?;
    Ok(())
}

/// SQLite's own look at its pages.
pub(super) async fn check_file(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    for pragma in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
        let rows = sqlx::query(pragma).fetch_all(&mut *conn).await?;
        if let Some(row) = rows.first() {
            let said: String = row.try_get(0)?;
            if said != "ok" {
                return Err(sqlx::Error::Protocol(said));
            }
        }
    }
    Ok(())
}

/// The text of the schema, which a flipped bit could change without touching a row.
pub(super) async fn schema(conn: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let rows =
        sqlx::query("SELECT type || ' ' || name || ' ' || tbl_name || ' ' || COALESCE(sql, '') FROM sqlite_schema ORDER BY type, name")
            .fetch_all(&mut *conn)
            .await?;
    let lines: Vec<String> = rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?;
    Ok(lines.join("\n"))
}

/// Every row of a table.
pub(super) async fn select_all(conn: &mut SqliteConnection, table: Table) -> Result<Vec<Row>> {
    let sql = match table {
        Table::Organizations => "SELECT id, sealed FROM organizations",
        Table::Projects => "SELECT id, sealed, organization_id FROM projects",
        Table::ApiKeys => "SELECT id, sealed, project_id, secret_hash FROM api_keys",
        Table::Indexes => "SELECT id, sealed, project_id, name_hash, port FROM indexes",
        Table::ServiceAccounts => "SELECT id, sealed, organization_id, secret_hash FROM service_accounts",
        Table::Users => "SELECT id, sealed, organization_id, email_hash FROM users",
        Table::Invites => "SELECT id, sealed, organization_id, token_hash FROM invites",
        Table::RoleBindings => "SELECT id, sealed, organization_id FROM role_bindings",
        Table::AuditSinks => "SELECT id, sealed, organization_id FROM audit_sinks",
        Table::PrivateEndpoints => "SELECT id, sealed, project_id FROM private_endpoints",
        Table::Cmeks => "SELECT id, sealed, project_id FROM cmeks",
        Table::Deleted => "SELECT id, sealed FROM deleted",
        Table::Backups => "SELECT id, sealed, project_id FROM backups",
        Table::RestoreJobs => "SELECT id, sealed, project_id FROM restore_jobs",
        Table::BackupSchedules => "SELECT id, sealed, project_id FROM backup_schedules",
    };
    let rows = sqlx::query(sql).fetch_all(conn).await.map_err(unreadable)?;
    rows.iter().map(|row| read_row(table, row)).collect()
}

fn read_row(table: Table, row: &SqliteRow) -> Result<Row> {
    let has = |n: usize| row.len() > n;
    let port: Option<i64> = if has(4) { row.try_get(4).map_err(unreadable)? } else { None };
    Ok(Row {
        table,
        id: bytes(row, 0)?,
        sealed: row.try_get(1).map_err(unreadable)?,
        owner: has(2).then(|| bytes(row, 2)).transpose()?,
        lookup: has(3).then(|| bytes(row, 3)).transpose()?,
        port: port.map(u16::try_from).transpose().map_err(|_| damaged("an index's port is none"))?,
    })
}

fn bytes<const N: usize>(row: &SqliteRow, column: usize) -> Result<[u8; N]> {
    let bytes: &[u8] = row.try_get(column).map_err(unreadable)?;
    bytes.try_into().map_err(|_| damaged("a column has another length than was written"))
}

/// The sealed state, and the sealed audit events whose generations are given.
pub(super) async fn select_state(conn: &mut SqliteConnection) -> Result<Option<Vec<u8>>> {
    let rows = sqlx::query("SELECT id, sealed FROM catalog_state").fetch_all(conn).await.map_err(unreadable)?;
    match rows.as_slice() {
        [] => Ok(None),
        [row] if row.try_get::<i64, _>(0).ok() == Some(1) => Ok(Some(row.try_get(1).map_err(unreadable)?)),
        _ => Err(damaged("its state is not one row")),
    }
}

/// The sealed audit events that may not be in the log yet, by generation.
pub(super) async fn select_outbox(conn: &mut SqliteConnection) -> Result<Vec<(u64, Vec<u8>)>> {
    let rows = sqlx::query("SELECT generation, sealed FROM audit_outbox ORDER BY generation").fetch_all(conn).await.map_err(unreadable)?;
    rows.iter()
        .map(|row| {
            let generation: i64 = row.try_get(0).map_err(unreadable)?;
            let sealed = row.try_get(1).map_err(unreadable)?;
            Ok((u64::try_from(generation).map_err(|_| damaged("an audit event has no generation"))?, sealed))
        })
        .collect()
}

/// One transaction's work.
pub(super) struct Batch<'a> {
    pub(super) deletes: &'a [Row],
    pub(super) puts: &'a [Row],
    /// Audit events up to this generation are in the log.
    pub(super) witnessed: u64,
    pub(super) generation: u64,
    pub(super) event: &'a [u8],
    pub(super) state: &'a [u8],
}

/// Applies a batch; durable when it returns.
pub(super) async fn commit(conn: &mut SqliteConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    let number = |n: u64| i64::try_from(n).map_err(|e| sqlx::Error::Encode(Box::new(e)));
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("DELETE FROM audit_outbox WHERE generation <= $1").bind(number(batch.witnessed)?).execute(&mut *tx).await?;
    for row in batch.deletes {
        let sql = match row.table {
            Table::Organizations => "DELETE FROM organizations WHERE id = $1",
            Table::Projects => "DELETE FROM projects WHERE id = $1",
            Table::ApiKeys => "DELETE FROM api_keys WHERE id = $1",
            Table::Indexes => "DELETE FROM indexes WHERE id = $1",
            Table::ServiceAccounts => "DELETE FROM service_accounts WHERE id = $1",
            Table::Users => "DELETE FROM users WHERE id = $1",
            Table::Invites => "DELETE FROM invites WHERE id = $1",
            Table::RoleBindings => "DELETE FROM role_bindings WHERE id = $1",
            Table::AuditSinks => "DELETE FROM audit_sinks WHERE id = $1",
            Table::PrivateEndpoints => "DELETE FROM private_endpoints WHERE id = $1",
            Table::Cmeks => "DELETE FROM cmeks WHERE id = $1",
            Table::Deleted => "DELETE FROM deleted WHERE id = $1",
            Table::Backups => "DELETE FROM backups WHERE id = $1",
            Table::RestoreJobs => "DELETE FROM restore_jobs WHERE id = $1",
            Table::BackupSchedules => "DELETE FROM backup_schedules WHERE id = $1",
        };
        let done = sqlx::query(sql).bind(&row.id[..]).execute(&mut *tx).await?;
        if done.rows_affected() != 1 {
            return Err(sqlx::Error::RowNotFound);
        }
    }
    for row in batch.puts {
        put(&mut tx, row).await?;
    }
    sqlx::query("INSERT INTO audit_outbox (generation, sealed) VALUES ($1, $2)")
        .bind(number(batch.generation)?)
        .bind(batch.event)
        .execute(&mut *tx)
        .await?;
    put_state(&mut tx, batch.state).await?;
    tx.commit().await
}

async fn put(conn: &mut SqliteConnection, row: &Row) -> Result<(), sqlx::Error> {
    let sql = match row.table {
        Table::Organizations => {
            "INSERT INTO organizations (id, sealed) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed"
        }
        Table::Projects => {
            "INSERT INTO projects (id, sealed, organization_id) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, organization_id = excluded.organization_id"
        }
        Table::ApiKeys => {
            "INSERT INTO api_keys (id, sealed, project_id, secret_hash) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, project_id = excluded.project_id, secret_hash = excluded.secret_hash"
        }
        Table::Indexes => {
            "INSERT INTO indexes (id, sealed, project_id, name_hash, port) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, project_id = excluded.project_id, \
             name_hash = excluded.name_hash, port = excluded.port"
        }
        Table::ServiceAccounts => {
            "INSERT INTO service_accounts (id, sealed, organization_id, secret_hash) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, organization_id = excluded.organization_id, secret_hash = excluded.secret_hash"
        }
        Table::Users => {
            "INSERT INTO users (id, sealed, organization_id, email_hash) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, organization_id = excluded.organization_id, email_hash = excluded.email_hash"
        }
        Table::Invites => {
            "INSERT INTO invites (id, sealed, organization_id, token_hash) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, organization_id = excluded.organization_id, token_hash = excluded.token_hash"
        }
        Table::RoleBindings => {
            "INSERT INTO role_bindings (id, sealed, organization_id) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, organization_id = excluded.organization_id"
        }
        Table::AuditSinks => {
            "INSERT INTO audit_sinks (id, sealed, organization_id) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, organization_id = excluded.organization_id"
        }
        Table::PrivateEndpoints => {
            "INSERT INTO private_endpoints (id, sealed, project_id) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, project_id = excluded.project_id"
        }
        Table::Cmeks => {
            "INSERT INTO cmeks (id, sealed, project_id) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, project_id = excluded.project_id"
        }
        Table::Deleted => "INSERT INTO deleted (id, sealed) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed",
        Table::Backups => {
            "INSERT INTO backups (id, sealed, project_id) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, project_id = excluded.project_id"
        }
        Table::RestoreJobs => {
            "INSERT INTO restore_jobs (id, sealed, project_id) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, project_id = excluded.project_id"
        }
        Table::BackupSchedules => {
            "INSERT INTO backup_schedules (id, sealed, project_id) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, project_id = excluded.project_id"
        }
    };
    let mut query = sqlx::query(sql).bind(&row.id[..]).bind(&row.sealed[..]);
    if let Some(owner) = &row.owner {
        query = query.bind(&owner[..]);
    }
    if let Some(lookup) = &row.lookup {
        query = query.bind(&lookup[..]);
    }
    if row.table == Table::Indexes {
        query = query.bind(row.port.map(i64::from));
    }
    query.execute(conn).await.map(|_| ())
}

/// Empties the journal, so that at rest there is one file. The commit counts without it.
pub(super) async fn checkpoint(conn: &mut SqliteConnection) {
    if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(conn).await {
        tracing::warn!(%error, "the catalog's journal could not be emptied");
    }
}

/// A file that cannot be made sense of. What SQLite says of it names no user's text: every text in it is sealed.
pub(super) fn unreadable(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Io(io) => Error::unavailable(format!("{FILE} cannot be read: {io}")),
        sqlx::Error::Database(e) if busy_or_no_room(e.code().as_deref()) => Error::unavailable(format!("{FILE} cannot be opened: {e}")),
        _ => damaged(error),
    }
}

/// A change that could not be made.
pub(super) fn unwritable(error: &sqlx::Error) -> Error {
    let damage = match error {
        sqlx::Error::Database(e) => matches!(primary(e.code().as_deref()), Some(11 | 26)),
        sqlx::Error::RowNotFound => true,
        _ => false,
    };
    if damage { damaged(error) } else { Error::unavailable(format!("The catalog cannot be written, and nothing was changed: {error}")) }
}

/// SQLite's primary result code, from its extended one.
fn primary(code: Option<&str>) -> Option<u32> {
    code?.parse::<u32>().ok().map(|n| n & 0xff)
}

/// Locked by another, no permission, no room, cannot be opened: the file may be whole.
fn busy_or_no_room(code: Option<&str>) -> bool {
    matches!(primary(code), Some(3 | 5 | 6 | 8 | 13 | 14 | 23))
}
