//! A noun and its row. What is not needed to find a row is sealed; the seal also covers what is not sealed (ids, owner, keyed
//! hashes, port) and the table's name, so that no column can be changed and no row moved.

use std::sync::Arc;

use pinyon_model::{
    ApiKey, ApiKeyId, AuditSink, Backup, BackupId, BackupSchedule, BackupScheduleId, Cmek, CmekId, CustomerKey, Deleted, DeletedId, Email,
    Error, ErrorCode, IndexId, Invite, InviteId, Organization, OrganizationId, PaymentStatus, Plan, PrivateEndpoint, PrivateEndpointId,
    PrivateLink, Project, ProjectAccess, ProjectId, ResourceRef, RestoreJobId, Result, Role, RoleBinding, RoleBindingId, ServiceAccount,
    ServiceAccountId, User, UserId,
};
use pinyon_storage::{DataKey, KeyId};

use super::fields::{
    read_access, read_binding, read_cmek, read_key, read_password, read_sink, write_access, write_cmek, write_key_bounds, write_sink,
};
use crate::{
    backup, backup_schedule,
    codec::{Reader, Writer},
    deleted::{read_deleted, write_deleted},
    index::StoredIndex,
    password::PasswordHash,
    restore_job::StoredRestoreJob,
};

/// The format of what is sealed in a row. Rows of formats 1 to 3 are read too: they had less to say.
pub(crate) const FORMAT: u8 = 4;
const FORMAT_OLDEST: u8 = 1;

/// The file's name in the data directory.
pub(crate) const FILE: &str = "catalog.db";

/// The tables that hold nouns. A table comes after those that its rows refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Organizations,
    Projects,
    ApiKeys,
    Indexes,
    ServiceAccounts,
    Users,
    Invites,
    RoleBindings,
    AuditSinks,
    PrivateEndpoints,
    Cmeks,
    Deleted,
    Backups,
    RestoreJobs,
    BackupSchedules,
}

impl Table {
    pub(super) const ALL: [Table; 15] = [
        Table::Organizations,
        Table::Projects,
        Table::ApiKeys,
        Table::Indexes,
        Table::ServiceAccounts,
        Table::Users,
        Table::Invites,
        Table::RoleBindings,
        Table::AuditSinks,
        Table::PrivateEndpoints,
        Table::Cmeks,
        Table::Deleted,
        Table::Backups,
        Table::RestoreJobs,
        Table::BackupSchedules,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Table::Organizations => "organizations",
            Table::Projects => "projects",
            Table::ApiKeys => "api_keys",
            Table::Indexes => "indexes",
            Table::ServiceAccounts => "service_accounts",
            Table::Users => "users",
            Table::Invites => "invites",
            Table::RoleBindings => "role_bindings",
            Table::AuditSinks => "audit_sinks",
            Table::PrivateEndpoints => "private_endpoints",
            Table::Cmeks => "cmeks",
            Table::Deleted => "deleted",
            Table::Backups => "backups",
            Table::RestoreJobs => "restore_jobs",
            Table::BackupSchedules => "backup_schedules",
        }
    }
}

/// One row as it lies in the file.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) table: Table,
    pub(super) id: [u8; 16],
    /// The project of a key, an index or a customer's key, the organization of what else belongs to one.
    pub(super) owner: Option<[u8; 16]>,
    /// The keyed hash of a secret, of an index's name or of a user's address.
    pub(super) lookup: Option<[u8; 32]>,
    pub(super) port: Option<u16>,
    pub(super) sealed: Vec<u8>,
}

/// What a row stands for.
#[derive(Debug, Clone)]
pub(crate) enum Noun {
    Organization(Organization),
    Project(Project),
    ApiKey(StoredApiKey),
    Index(StoredIndex),
    ServiceAccount(StoredServiceAccount),
    User(StoredUser),
    Invite(StoredInvite),
    RoleBinding(RoleBinding),
    AuditSink(StoredAuditSink),
    PrivateEndpoint(PrivateEndpoint),
    Cmek(StoredCmek),
    Deleted(StoredDeleted),
    Backup(Backup),
    RestoreJob(StoredRestoreJob),
    BackupSchedule(BackupSchedule),
}

/// Which noun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NounId {
    Organization(OrganizationId),
    Project(ProjectId),
    ApiKey(ApiKeyId),
    Index(IndexId),
    ServiceAccount(ServiceAccountId),
    User(UserId),
    Invite(InviteId),
    RoleBinding(RoleBindingId),
    /// By the organization whose it is.
    AuditSink(OrganizationId),
    PrivateEndpoint(PrivateEndpointId),
    Cmek(CmekId),
    Deleted(DeletedId),
    Backup(BackupId),
    RestoreJob(RestoreJobId),
    BackupSchedule(BackupScheduleId),
}

impl NounId {
    /// Where its row is.
    pub(super) fn place(&self) -> (Table, [u8; 16]) {
        match self {
            NounId::Organization(id) => (Table::Organizations, *id.as_bytes()),
            NounId::Project(id) => (Table::Projects, *id.as_bytes()),
            NounId::ApiKey(id) => (Table::ApiKeys, *id.as_bytes()),
            NounId::Index(id) => (Table::Indexes, *id.as_bytes()),
            NounId::ServiceAccount(id) => (Table::ServiceAccounts, *id.as_bytes()),
            NounId::User(id) => (Table::Users, *id.as_bytes()),
            NounId::Invite(id) => (Table::Invites, *id.as_bytes()),
            NounId::RoleBinding(id) => (Table::RoleBindings, *id.as_bytes()),
            NounId::AuditSink(id) => (Table::AuditSinks, *id.as_bytes()),
            NounId::PrivateEndpoint(id) => (Table::PrivateEndpoints, *id.as_bytes()),
            NounId::Cmek(id) => (Table::Cmeks, *id.as_bytes()),
            NounId::Deleted(id) => (Table::Deleted, *id.as_bytes()),
            NounId::Backup(id) => (Table::Backups, *id.as_bytes()),
            NounId::RestoreJob(id) => (Table::RestoreJobs, *id.as_bytes()),
            NounId::BackupSchedule(id) => (Table::BackupSchedules, *id.as_bytes()),
        }
    }
}

/// An API key with the keyed hashes of its secrets.
#[derive(Debug, Clone)]
pub(crate) struct StoredApiKey {
    /// The key; its roles are those of its bindings.
    pub(crate) info: ApiKey,
    pub(crate) secret_hash: [u8; 32],
    /// Of the secret before the last rotation: there if and only if the key speaks of one.
    pub(crate) previous_hash: Option<[u8; 32]>,
    /// The roles that a row of format 1 holds, until the first start has made bindings of them.
    pub(crate) roles_in_row: Vec<Role>,
}

/// A service account with the keyed hash of its secret.
#[derive(Debug, Clone)]
pub(crate) struct StoredServiceAccount {
    pub(crate) info: ServiceAccount,
    pub(crate) secret_hash: [u8; 32],
    /// How many secrets it had before this one: a token of an earlier one is none any more.
    pub(crate) secret_number: u32,
}

/// A user with what it signs in by.
#[derive(Debug, Clone)]
pub(crate) struct StoredUser {
    pub(crate) info: User,
    /// None for a user who cannot sign in.
    pub(crate) password: Option<PasswordHash>,
    /// How often all its sessions were ended at once: a token of an earlier one is none any more.
    pub(crate) session_number: u32,
}

/// An invite with the keyed hash of the token that accepts it.
#[derive(Debug, Clone)]
pub(crate) struct StoredInvite {
    pub(crate) info: Invite,
    pub(crate) token_hash: [u8; 32],
}

/// An audit sink, and after which entry of the log its deliveries begin.
#[derive(Debug, Clone)]
pub(crate) struct StoredAuditSink {
    pub(crate) info: AuditSink,
    pub(crate) after: u64,
}

/// A customer's key, and which of the key store's project keys it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredCmek {
    pub(crate) info: Cmek,
    pub(crate) project_key: KeyId,
    /// While a replacement is under way: the key before, and its project key.
    pub(crate) replaced: Option<(CustomerKey, KeyId)>,
}

impl StoredCmek {
    /// Its project key, and the one that is being replaced.
    pub(crate) fn project_keys(&self) -> impl Iterator<Item = KeyId> {
        std::iter::once(self.project_key).chain(self.replaced.as_ref().map(|(_, key)| *key))
    }
}

/// What was deleted, with the rows that it was: sealed as they lay in their tables.
#[derive(Debug, Clone)]
pub(crate) struct StoredDeleted {
    pub(crate) info: Deleted,
    pub(super) rows: Vec<Row>,
}

/// Seals rows, opens them and hashes what they are found by.
pub(super) struct RowSealer(pub(super) Arc<DataKey>);

impl RowSealer {
    pub(super) fn name_hash(&self, project: ProjectId, name: &str) -> [u8; 32] {
        let mut w = Writer::default();
        w.raw(project.as_bytes()).text(name);
        self.0.mac("catalog index name", &w.finish())
    }

    fn email_hash(&self, organization: OrganizationId, email: &Email) -> [u8; 32] {
        let mut w = Writer::default();
        w.raw(organization.as_bytes()).text(email.as_str());
        self.0.mac("catalog user email", &w.finish())
    }

    /// The row's part of the digest.
    pub(super) fn mac(&self, row: &Row) -> [u8; 32] {
        let mut bytes = row.context();
        bytes.extend_from_slice(&row.sealed);
        self.0.mac("catalog row", &bytes)
    }

    pub(super) fn seal(&self, noun: &Noun) -> Row {
        let mut w = Writer::default();
        w.u8(FORMAT);
        let row = |table, id: &[u8; 16], owner: Option<&[u8; 16]>, lookup, port| Row {
            table,
            id: *id,
            owner: owner.copied(),
            lookup,
            port,
            sealed: Vec::new(),
        };
        let mut row = match noun {
            Noun::Organization(o) => {
                w.text(&o.name).u64(o.created_at_ms).text(o.plan.as_str()).text(o.payment_status.as_str());
                row(Table::Organizations, o.id.as_bytes(), None, None, None)
            }
            Noun::Project(p) => {
                w.text(&p.name).u64(p.created_at_ms).u32(p.max_pods).u8(u8::from(p.force_encryption_with_cmek));
                write_access(&p.access, &mut w);
                row(Table::Projects, p.id.as_bytes(), Some(p.organization_id.as_bytes()), None, None)
            }
            Noun::ApiKey(StoredApiKey { info, secret_hash, previous_hash, .. }) => {
                w.text(&info.name).text(&info.hint).u64(info.created_at_ms);
                write_key_bounds(info, *previous_hash, &mut w);
                row(Table::ApiKeys, info.id.as_bytes(), Some(info.project_id.as_bytes()), Some(*secret_hash), None)
            }
            Noun::Index(i) => {
                i.write(&mut w);
                let hash = self.name_hash(i.index.project_id, i.index.name.as_str());
                row(Table::Indexes, i.index.id.as_bytes(), Some(i.index.project_id.as_bytes()), Some(hash), i.index.port)
            }
            Noun::ServiceAccount(StoredServiceAccount { info, secret_hash, secret_number }) => {
                w.text(&info.name).u64(info.created_at_ms).u64(info.updated_at_ms).u32(*secret_number);
                row(Table::ServiceAccounts, info.id.as_bytes(), Some(info.organization_id.as_bytes()), Some(*secret_hash), None)
            }
            Noun::User(StoredUser { info: u, password, session_number }) => {
                w.text(u.email.as_str()).option(u.name.as_deref(), |w, n| {
                    w.text(n);
                });
                w.u64(u.created_at_ms).option(password.as_ref(), |w, p| {
                    w.text(p.as_str());
                });
                w.u32(*session_number);
                let hash = self.email_hash(u.organization_id, &u.email);
                row(Table::Users, u.id.as_bytes(), Some(u.organization_id.as_bytes()), Some(hash), None)
            }
            Noun::Invite(StoredInvite { info, token_hash }) => {
                w.text(info.email.as_str()).u64(info.created_at_ms).u64(info.expires_at_ms).option(info.processed_at_ms, |w, t| {
                    w.u64(t);
                });
                row(Table::Invites, info.id.as_bytes(), Some(info.organization_id.as_bytes()), Some(*token_hash), None)
            }
            Noun::RoleBinding(b) => {
                w.text(b.principal.principal_type().as_str()).raw(b.principal.as_bytes());
                match &b.resource {
                    ResourceRef::Organization(id) => w.u8(0).raw(id.as_bytes()),
                    ResourceRef::Project(id) => w.u8(1).raw(id.as_bytes()),
                };
                w.text(b.role.as_str()).u64(b.created_at_ms);
                row(Table::RoleBindings, b.id.as_bytes(), Some(b.organization_id.as_bytes()), None, None)
            }
            Noun::AuditSink(s) => {
                write_sink(s, &mut w);
                let id = s.info.organization_id;
                row(Table::AuditSinks, id.as_bytes(), Some(id.as_bytes()), None, None)
            }
            Noun::PrivateEndpoint(e) => {
                w.text(e.link.provider()).text(&e.link.to_string()).text(&e.region).u64(e.created_at_ms);
                row(Table::PrivateEndpoints, e.id.as_bytes(), Some(e.project_id.as_bytes()), None, None)
            }
            Noun::Cmek(s) => {
                write_cmek(s, &mut w);
                row(Table::Cmeks, s.info.id.as_bytes(), Some(s.info.project_id.as_bytes()), None, None)
            }
            Noun::Deleted(StoredDeleted { info, rows }) => {
                write_deleted(info, &mut w);
                w.u32(u32::try_from(rows.len()).unwrap_or(u32::MAX));
                rows.iter().for_each(|kept| kept.write(&mut w));
                row(Table::Deleted, info.id.as_bytes(), None, None, None)
            }
            Noun::Backup(b) => {
                backup::write(b, &mut w);
                row(Table::Backups, b.id.as_bytes(), Some(b.project_id.as_bytes()), None, None)
            }
            Noun::RestoreJob(j) => {
                j.write(&mut w);
                row(Table::RestoreJobs, j.info.id.as_bytes(), Some(j.info.project_id.as_bytes()), None, None)
            }
            Noun::BackupSchedule(s) => {
                backup_schedule::write(s, &mut w);
                row(Table::BackupSchedules, s.id.as_bytes(), Some(s.project_id.as_bytes()), None, None)
            }
        };
        row.sealed = self.0.seal(&row.context(), &w.finish());
        row
    }

    pub(super) fn open(&self, row: &Row) -> Result<Noun> {
        let changed = || damaged(format!("a row of its table {} was changed", row.table.name()));
        let plain = self.0.open(&row.context(), &row.sealed).map_err(|_| changed())?;
        let mut r = Reader::new("A row of catalog.db", &plain);
        let format = r.u8()?;
        if !(FORMAT_OLDEST..=FORMAT).contains(&format) {
            return Err(r.malformed());
        }
        let noun = self.read(row, format, &mut r)?.ok_or_else(changed)?;
        r.end()?;
        Ok(noun)
    }

    /// What a row's plain text says; none when it contradicts the row's columns.
    fn read(&self, row: &Row, format: u8, r: &mut Reader<'_>) -> Result<Option<Noun>> {
        let is_new = format >= 2;
        let owner = row.owner.unwrap_or_default();
        let organization_id = OrganizationId::from_bytes(owner);
        let lookup = row.lookup.unwrap_or_default();
        let noun = match row.table {
            Table::Organizations => Noun::Organization(Organization {
                id: OrganizationId::from_bytes(row.id),
                name: r.text()?,
                created_at_ms: r.u64()?,
                plan: if is_new { Plan::parse(&r.text()?)? } else { Plan::Enterprise },
                payment_status: if is_new { PaymentStatus::parse(&r.text()?)? } else { PaymentStatus::Active },
            }),
            Table::Projects => Noun::Project(Project {
                id: ProjectId::from_bytes(row.id),
                organization_id,
                name: r.text()?,
                created_at_ms: r.u64()?,
                max_pods: if is_new { r.u32()? } else { 0 },
                force_encryption_with_cmek: is_new && r.u8()? == 1,
                access: if format >= 4 { read_access(r)? } else { ProjectAccess::default() },
            }),
            Table::ApiKeys => Noun::ApiKey(read_key(ApiKeyId::from_bytes(row.id), ProjectId::from_bytes(owner), lookup, format, r)?),
            Table::Indexes => {
                let stored = StoredIndex::read(r, format)?;
                let same = stored.index.id.as_bytes() == &row.id
                    && *stored.index.project_id.as_bytes() == owner
                    && stored.index.port == row.port
                    && self.name_hash(stored.index.project_id, stored.index.name.as_str()) == lookup;
                if !same {
                    return Ok(None);
                }
                Noun::Index(stored)
            }
            Table::ServiceAccounts => Noun::ServiceAccount(StoredServiceAccount {
                info: ServiceAccount {
                    id: ServiceAccountId::from_bytes(row.id),
                    organization_id,
                    name: r.text()?,
                    created_at_ms: r.u64()?,
                    updated_at_ms: r.u64()?,
                },
                secret_hash: lookup,
                secret_number: r.u32()?,
            }),
            Table::Users => {
                let (email, name) = (Email::new(&r.text()?)?, r.option(Reader::text)?);
                if self.email_hash(organization_id, &email) != lookup {
                    return Ok(None);
                }
                let info = User { id: UserId::from_bytes(row.id), organization_id, email, name, created_at_ms: r.u64()? };
                let (password, session_number) = if format >= 3 { (r.option(read_password)?, r.u32()?) } else { (None, 0) };
                Noun::User(StoredUser { info, password, session_number })
            }
            Table::Invites => Noun::Invite(StoredInvite {
                info: Invite {
                    id: InviteId::from_bytes(row.id),
                    organization_id,
                    email: Email::new(&r.text()?)?,
                    created_at_ms: r.u64()?,
                    expires_at_ms: r.u64()?,
                    processed_at_ms: r.option(Reader::u64)?,
                },
                token_hash: lookup,
            }),
            Table::RoleBindings => Noun::RoleBinding(read_binding(RoleBindingId::from_bytes(row.id), organization_id, r)?),
            Table::AuditSinks if row.id != owner => return Ok(None),
            Table::AuditSinks => Noun::AuditSink(read_sink(organization_id, r)?),
            Table::PrivateEndpoints => Noun::PrivateEndpoint(PrivateEndpoint {
                id: PrivateEndpointId::from_bytes(row.id),
                project_id: ProjectId::from_bytes(owner),
                link: PrivateLink::parse(&r.text()?, &r.text()?)?,
                region: PrivateEndpoint::parse_region(&r.text()?)?,
                created_at_ms: r.u64()?,
            }),
            Table::Cmeks => Noun::Cmek(read_cmek(CmekId::from_bytes(row.id), ProjectId::from_bytes(owner), r)?),
            Table::Deleted => {
                let info = read_deleted(r)?;
                if info.id.as_bytes() != &row.id {
                    return Ok(None);
                }
                Noun::Deleted(StoredDeleted { info, rows: r.list(Row::read)? })
            }
            Table::Backups => Noun::Backup(backup::read(BackupId::from_bytes(row.id), ProjectId::from_bytes(owner), r)?),
            Table::RestoreJobs => {
                Noun::RestoreJob(StoredRestoreJob::read(RestoreJobId::from_bytes(row.id), ProjectId::from_bytes(owner), r)?)
            }
            Table::BackupSchedules => {
                Noun::BackupSchedule(backup_schedule::read(BackupScheduleId::from_bytes(row.id), ProjectId::from_bytes(owner), r)?)
            }
        };
        Ok(Some(noun))
    }
}

impl StoredDeleted {
    /// The indexes whose storage it keeps.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = IndexId> {
        self.rows.iter().filter(|row| row.table == Table::Indexes).map(|row| IndexId::from_bytes(row.id))
    }

    /// The backups whose storage it keeps.
    pub(crate) fn backups(&self) -> impl Iterator<Item = BackupId> {
        self.rows.iter().filter(|row| row.table == Table::Backups).map(|row| BackupId::from_bytes(row.id))
    }

    /// Whether customers' keys are among it.
    pub(crate) fn has_cmeks(&self) -> bool {
        self.rows.iter().any(|row| row.table == Table::Cmeks)
    }
}

impl Row {
    /// Appends the whole row, as it lay in its table.
    fn write(&self, w: &mut Writer) {
        w.text(self.table.name()).raw(&self.id);
        w.option(self.owner, |w, o| {
            w.raw(&o);
        });
        w.option(self.lookup, |w, l| {
            w.raw(&l);
        });
        w.option(self.port, |w, p| {
            w.u32(u32::from(p));
        });
        w.u32(u32::try_from(self.sealed.len()).unwrap_or(u32::MAX)).raw(&self.sealed);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self> {
        let name = r.text()?;
        let table = Table::ALL.into_iter().find(|t| t.name() == name).ok_or_else(|| r.malformed())?;
        let (id, owner, lookup) = (r.array()?, r.option(Reader::array)?, r.option(Reader::array)?);
        let port = r.option(|r| u16::try_from(r.u32()?).map_err(|_| r.malformed()))?;
        let n = r.u32()? as usize;
        Ok(Self { table, id, owner, lookup, port, sealed: r.raw(n)?.to_vec() })
    }

    /// What its seal is bound to: the table and every column that is not sealed.
    fn context(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.text(self.table.name()).raw(&self.id);
        w.option(self.owner, |w, o| {
            w.raw(&o);
        });
        w.option(self.lookup, |w, l| {
            w.raw(&l);
        });
        w.option(self.port, |w, p| {
            w.u32(u32::from(p));
        });
        w.finish()
    }
}

/// Damage of the catalog, with what helps.
pub(super) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataLoss, format!("{FILE} is damaged: {what}. 'pinyon catalog rebuild' makes it anew from the indexes"))
}
