//! The catalog in memory: what was read from the file and verified when it was opened, and every change since. All questions are
//! answered from here, so that a page that rots under a running server changes no answer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use pinyon_model::{
    ApiKey, ApiKeyId, Backup, BackupId, BackupSchedule, BackupScheduleId, CmekId, CollectionName, DeletedId, Email, Grants, IndexId,
    IndexName, InviteId, Organization, OrganizationId, Principal, PrincipalRef, PrivateEndpoint, PrivateEndpointId, Project, ProjectId,
    RestoreJobId, RoleBinding, RoleBindingId, ServiceAccountId, User, UserId,
};

use super::{
    Defaults,
    digest::Digest,
    rows::{
        Noun, NounId, Row, RowSealer, StoredApiKey, StoredAuditSink, StoredCmek, StoredDeleted, StoredInvite, StoredServiceAccount,
        StoredUser, Table,
    },
};
use crate::{IndexRef, api_key::KeyUse, restore_job::StoredRestoreJob};

/// A change of the catalog.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a handful live for the time of one transaction")]
pub(crate) enum Change {
    /// A new noun, or a new content of one.
    Put(Noun),
    SetDefaults(Defaults),
    Delete(NounId),
}

/// An API key, with what it may do as it is now and when it was used.
#[derive(Debug, Clone)]
pub(crate) struct KeyActor {
    pub(crate) stored: StoredApiKey,
    pub(crate) principal: Arc<Principal>,
    pub(crate) used: Arc<KeyUse>,
}

/// A noun that acts, with what it may do as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Actor<T> {
    pub(crate) stored: T,
    pub(crate) principal: Arc<Principal>,
}

impl StoredApiKey {
    /// The hashes of its secrets.
    fn hashes(&self) -> impl Iterator<Item = &[u8; 32]> {
        std::iter::once(&self.secret_hash).chain(&self.previous_hash)
    }

    fn principal(&self, grants: Grants) -> Principal {
        let ApiKey { id, ref name, project_id, ref restrictions, .. } = self.info;
        Principal::ApiKey { id, name: name.clone(), project_id, grants, restrictions: restrictions.clone() }
    }
}

impl StoredServiceAccount {
    fn principal(&self, grants: Grants) -> Principal {
        Principal::ServiceAccount { id: self.info.id, name: self.info.name.clone(), grants }
    }
}

impl StoredUser {
    fn principal(&self, grants: Grants) -> Principal {
        let User { id, email, name, .. } = &self.info;
        Principal::User { id: *id, email: email.as_str().to_owned(), name: name.clone().unwrap_or_default(), grants }
    }
}

/// No right at all: of a principal whose bindings were not read yet.
fn nothing(organization: OrganizationId) -> Grants {
    Grants::new(organization, [])
}

/// Everything that the catalog holds.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) organizations: BTreeMap<OrganizationId, Organization>,
    pub(crate) projects: BTreeMap<ProjectId, Project>,
    pub(crate) keys: HashMap<ApiKeyId, KeyActor>,
    pub(crate) service_accounts: HashMap<ServiceAccountId, Actor<StoredServiceAccount>>,
    pub(crate) users: HashMap<UserId, Actor<StoredUser>>,
    pub(crate) invites: HashMap<InviteId, StoredInvite>,
    pub(crate) bindings: BTreeMap<RoleBindingId, RoleBinding>,
    pub(crate) indexes: HashMap<IndexId, IndexRef>,
    pub(crate) audit_sinks: BTreeMap<OrganizationId, StoredAuditSink>,
    pub(crate) deleted: BTreeMap<DeletedId, StoredDeleted>,
    endpoints_of: HashMap<ProjectId, Vec<PrivateEndpoint>>,
    project_of_endpoint: HashMap<PrivateEndpointId, ProjectId>,
    pub(crate) cmeks: BTreeMap<CmekId, StoredCmek>,
    pub(crate) backups: BTreeMap<BackupId, Backup>,
    pub(crate) restore_jobs: BTreeMap<RestoreJobId, StoredRestoreJob>,
    pub(crate) backup_schedules: BTreeMap<BackupScheduleId, BackupSchedule>,
    bindings_of: HashMap<PrincipalRef, BTreeSet<RoleBindingId>>,
    key_by_hash: HashMap<[u8; 32], ApiKeyId>,
    keys_of: HashMap<ProjectId, BTreeSet<ApiKeyId>>,
    user_by_email: HashMap<(OrganizationId, Email), UserId>,
    by_project: HashMap<ProjectId, BTreeMap<IndexName, IndexId>>,
    by_port: BTreeMap<u16, IndexId>,
    by_short_id: HashMap<String, ProjectId>,
    rows: HashMap<(Table, [u8; 16]), Row>,
    digest: Digest,
    pub(super) defaults: Defaults,
}

impl Tables {
    /// The organization and the project that the first start made.
    pub(crate) fn defaults(&self) -> Defaults {
        self.defaults
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn row(&self, (table, id): (Table, [u8; 16])) -> Option<&Row> {
        self.rows.get(&(table, id))
    }

    /// The indexes of a project by their names.
    pub(crate) fn indexes_of(&self, project: ProjectId) -> impl Iterator<Item = &IndexRef> {
        self.by_project.get(&project).into_iter().flat_map(|names| names.values()).filter_map(|id| self.indexes.get(id))
    }

    pub(crate) fn index_by_name(&self, project: ProjectId, name: &IndexName) -> Option<&IndexRef> {
        self.indexes.get(self.by_project.get(&project)?.get(name)?)
    }

    pub(crate) fn index_by_port(&self, port: u16) -> Option<&IndexRef> {
        self.indexes.get(self.by_port.get(&port)?)
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.by_port.keys().copied()
    }

    pub(crate) fn project_by_short_id(&self, short_id: &str) -> Option<ProjectId> {
        self.by_short_id.get(short_id).copied()
    }

    /// Whose project it is.
    pub(crate) fn organization_of(&self, project: ProjectId) -> Option<OrganizationId> {
        self.projects.get(&project).map(|p| p.organization_id)
    }

    pub(crate) fn projects_of(&self, organization: OrganizationId) -> impl Iterator<Item = &Project> {
        self.projects.values().filter(move |p| p.organization_id == organization)
    }

    pub(crate) fn key_by_hash(&self, hash: &[u8; 32]) -> Option<&KeyActor> {
        self.keys.get(self.key_by_hash.get(hash)?)
    }

    /// The API keys of a project, by id.
    pub(crate) fn keys_of(&self, project: ProjectId) -> impl ExactSizeIterator<Item = ApiKeyId> {
        let keys: Vec<ApiKeyId> = self.keys_of.get(&project).map(|keys| keys.iter().copied().collect()).unwrap_or_default();
        keys.into_iter()
    }

    /// The private endpoints of a project, oldest first: ten at most.
    pub(crate) fn endpoints_of(&self, project: ProjectId) -> &[PrivateEndpoint] {
        self.endpoints_of.get(&project).map_or(&[], Vec::as_slice)
    }

    /// The customer's keys of a project, by id.
    pub(crate) fn cmeks_of(&self, project: ProjectId) -> impl Iterator<Item = &StoredCmek> {
        self.cmeks.values().filter(move |c| c.info.project_id == project)
    }

    /// How many indexes are under a customer's key.
    pub(crate) fn indexes_under(&self, cmek: &StoredCmek) -> usize {
        self.indexes_of(cmek.info.project_id).filter(|i| i.stored().index.cmek_id == Some(cmek.info.id)).count()
    }

    pub(crate) fn user_by_email(&self, organization: OrganizationId, email: &Email) -> Option<&StoredUser> {
        Some(&self.users.get(self.user_by_email.get(&(organization, email.clone()))?)?.stored)
    }

    /// The backups of a project, collections among them.
    pub(crate) fn backups_of(&self, project: ProjectId) -> impl Iterator<Item = &Backup> {
        self.backups.values().filter(move |b| b.project_id == project)
    }

    /// The backup that goes by this name of a collection.
    pub(crate) fn collection_by_name(&self, project: ProjectId, name: &CollectionName) -> Option<&Backup> {
        self.backups_of(project).find(|b| b.is_collection() && b.name() == Some(name.as_str()))
    }

    /// The restores of a backup, or into an index, that are not over.
    pub(crate) fn pending_restores(&self) -> impl Iterator<Item = &StoredRestoreJob> {
        self.restore_jobs.values().filter(|j| j.is_pending())
    }

    /// What a principal was given, in the order of ids.
    pub(crate) fn bindings_of(&self, principal: PrincipalRef) -> impl Iterator<Item = &RoleBinding> {
        self.bindings_of.get(&principal).into_iter().flatten().filter_map(|id| self.bindings.get(id))
    }

    /// The organization of a principal that is there.
    pub(crate) fn organization_of_principal(&self, principal: PrincipalRef) -> Option<OrganizationId> {
        match principal {
            PrincipalRef::ApiKey(id) => self.organization_of(self.keys.get(&id)?.stored.info.project_id),
            PrincipalRef::ServiceAccount(id) => Some(self.service_accounts.get(&id)?.stored.info.organization_id),
            PrincipalRef::User(id) => Some(self.users.get(&id)?.stored.info.organization_id),
            PrincipalRef::Invite(id) => Some(self.invites.get(&id)?.info.organization_id),
        }
    }

    /// Takes a row that was read from the file or is durable in it now, in place of the one with its id.
    pub(super) fn put(&mut self, sealer: &RowSealer, row: Row, noun: Noun) {
        self.unlink_row(sealer, (row.table, row.id));
        self.digest.add(&sealer.mac(&row));
        self.rows.insert((row.table, row.id), row);
        match noun {
            Noun::Organization(o) => {
                self.organizations.insert(o.id, o);
            }
            Noun::Project(p) => {
                self.by_short_id.insert(p.short_id(), p.id);
                self.projects.insert(p.id, p);
            }
            Noun::ApiKey(key) => self.put_key(key),
            Noun::Index(stored) => self.put_index(stored),
            Noun::ServiceAccount(account) => {
                let id = account.info.id;
                let principal = Arc::new(account.principal(nothing(account.info.organization_id)));
                self.service_accounts.insert(id, Actor { stored: account, principal });
                self.renew(PrincipalRef::ServiceAccount(id));
            }
            Noun::User(user) => {
                let id = user.info.id;
                self.user_by_email.insert((user.info.organization_id, user.info.email.clone()), id);
                let principal = Arc::new(user.principal(nothing(user.info.organization_id)));
                self.users.insert(id, Actor { stored: user, principal });
                self.renew(PrincipalRef::User(id));
            }
            Noun::Invite(invite) => {
                self.invites.insert(invite.info.id, invite);
            }
            Noun::RoleBinding(binding) => {
                let principal = binding.principal;
                // An accepted invite's bindings change their principal.
                let before = self.bindings.insert(binding.id, binding.clone()).map(|b| b.principal);
                if let Some(before) = before.filter(|b| *b != principal) {
                    self.unbind(before, binding.id);
                }
                self.bindings_of.entry(principal).or_default().insert(binding.id);
                self.renew(principal);
            }
            Noun::AuditSink(sink) => {
                self.audit_sinks.insert(sink.info.organization_id, sink);
            }
            Noun::PrivateEndpoint(endpoint) => {
                self.project_of_endpoint.insert(endpoint.id, endpoint.project_id);
                let endpoints = self.endpoints_of.entry(endpoint.project_id).or_default();
                endpoints.retain(|e| e.id != endpoint.id);
                endpoints.push(endpoint);
                endpoints.sort_by_key(|e| (e.created_at_ms, e.id));
            }
            Noun::Cmek(cmek) => {
                self.cmeks.insert(cmek.info.id, cmek);
            }
            Noun::Deleted(deleted) => {
                self.deleted.insert(deleted.info.id, deleted);
            }
            Noun::Backup(backup) => {
                self.backups.insert(backup.id, backup);
            }
            Noun::RestoreJob(job) => {
                self.restore_jobs.insert(job.info.id, job);
            }
            Noun::BackupSchedule(schedule) => {
                self.backup_schedules.insert(schedule.id, schedule);
            }
        }
    }

    fn put_key(&mut self, key: StoredApiKey) {
        let id = key.info.id;
        let used = match self.keys.get(&id) {
            Some(old) => {
                old.stored.hashes().for_each(|hash| {
                    self.key_by_hash.remove(hash);
                });
                Arc::clone(&old.used)
            }
            None => Arc::default(),
        };
        self.key_by_hash.extend(key.hashes().map(|hash| (*hash, id)));
        self.keys_of.entry(key.info.project_id).or_default().insert(id);
        let principal = Arc::new(key.principal(nothing(OrganizationId::from_bytes([0; 16]))));
        self.keys.insert(id, KeyActor { stored: key, principal, used });
        self.renew(PrincipalRef::ApiKey(id));
    }

    fn put_index(&mut self, stored: crate::index::StoredIndex) {
        let id = stored.index.id;
        if self.indexes.contains_key(&id) {
            // A port that the index had and has no more must not lead to it.
            self.by_port.retain(|_, i| *i != id);
        }
        if let Some(port) = stored.index.port {
            self.by_port.insert(port, id);
        }
        self.by_project.entry(stored.index.project_id).or_default().insert(stored.index.name.clone(), id);
        match self.indexes.get(&id) {
            Some(index) => index.replace(stored),
            None => {
                self.indexes.insert(id, IndexRef::new(stored));
            }
        }
    }

    fn unbind(&mut self, principal: PrincipalRef, id: RoleBindingId) {
        if let Some(ids) = self.bindings_of.get_mut(&principal) {
            ids.remove(&id);
            if ids.is_empty() {
                self.bindings_of.remove(&principal);
            }
        }
        self.renew(principal);
    }

    /// Computes anew what a principal may do.
    fn renew(&mut self, principal: PrincipalRef) {
        let Some(organization) = self.organization_of_principal(principal) else { return };
        let grants = Grants::new(organization, self.bindings_of(principal));
        match principal {
            PrincipalRef::ApiKey(id) => {
                let mut roles: Vec<_> = self.bindings_of(principal).map(|b| b.role).collect();
                roles.sort_unstable();
                roles.dedup();
                if let Some(key) = self.keys.get_mut(&id) {
                    key.stored.info.roles = roles;
                    key.principal = Arc::new(key.stored.principal(grants));
                }
            }
            PrincipalRef::ServiceAccount(id) => {
                if let Some(account) = self.service_accounts.get_mut(&id) {
                    account.principal = Arc::new(account.stored.principal(grants));
                }
            }
            PrincipalRef::User(id) => {
                if let Some(user) = self.users.get_mut(&id) {
                    user.principal = Arc::new(user.stored.principal(grants));
                }
            }
            PrincipalRef::Invite(_) => {}
        }
    }

    pub(super) fn delete(&mut self, sealer: &RowSealer, id: NounId) {
        self.unlink_row(sealer, id.place());
        match id {
            NounId::Organization(id) => {
                self.organizations.remove(&id);
            }
            NounId::Project(id) => {
                self.by_short_id.retain(|_, p| *p != id);
                self.projects.remove(&id);
            }
            NounId::ApiKey(id) => {
                if let Some(key) = self.keys.remove(&id) {
                    key.stored.hashes().for_each(|hash| {
                        self.key_by_hash.remove(hash);
                    });
                    if let Some(keys) = self.keys_of.get_mut(&key.stored.info.project_id) {
                        keys.remove(&id);
                    }
                }
            }
            NounId::Index(id) => {
                self.by_port.retain(|_, i| *i != id);
                if let Some(index) = self.indexes.remove(&id) {
                    index.mark_deleted();
                    if let Some(names) = self.by_project.get_mut(&index.project_id()) {
                        names.remove(index.name());
                    }
                }
            }
            NounId::ServiceAccount(id) => {
                self.service_accounts.remove(&id);
            }
            NounId::User(id) => {
                if let Some(user) = self.users.remove(&id) {
                    self.user_by_email.remove(&(user.stored.info.organization_id, user.stored.info.email));
                }
            }
            NounId::Invite(id) => {
                self.invites.remove(&id);
            }
            NounId::RoleBinding(id) => {
                if let Some(binding) = self.bindings.remove(&id) {
                    self.unbind(binding.principal, id);
                }
            }
            NounId::AuditSink(id) => {
                self.audit_sinks.remove(&id);
            }
            NounId::PrivateEndpoint(id) => {
                let endpoints = self.project_of_endpoint.remove(&id).and_then(|project| self.endpoints_of.get_mut(&project));
                if let Some(endpoints) = endpoints {
                    endpoints.retain(|e| e.id != id);
                }
            }
            NounId::Cmek(id) => {
                self.cmeks.remove(&id);
            }
            NounId::Deleted(id) => {
                self.deleted.remove(&id);
            }
            NounId::Backup(id) => {
                self.backups.remove(&id);
            }
            NounId::RestoreJob(id) => {
                self.restore_jobs.remove(&id);
            }
            NounId::BackupSchedule(id) => {
                self.backup_schedules.remove(&id);
            }
        }
    }

    /// Takes what was read from the file afresh, and keeps the index references that callers hold alive, and when keys were used.
    pub(super) fn adopt(&mut self, mut fresh: Tables) {
        for (id, old) in &self.keys {
            if let Some(new) = fresh.keys.get_mut(id) {
                new.used = Arc::clone(&old.used);
            }
        }
        for (id, old) in self.indexes.drain() {
            match fresh.indexes.get_mut(&id) {
                Some(new) => {
                    old.replace((*new.stored()).clone());
                    *new = old;
                }
                None => old.mark_deleted(),
            }
        }
        *self = fresh;
    }

    fn unlink_row(&mut self, sealer: &RowSealer, place: (Table, [u8; 16])) {
        if let Some(old) = self.rows.remove(&place) {
            self.digest.subtract(&sealer.mac(&old));
        }
    }

    /// The digest once these rows are put and those deleted.
    pub(super) fn digest_after(&self, sealer: &RowSealer, puts: &[Row], deletes: &[Row]) -> Digest {
        let mut digest = self.digest;
        for row in puts {
            if let Some(old) = self.row((row.table, row.id)) {
                digest.subtract(&sealer.mac(old));
            }
            digest.add(&sealer.mac(row));
        }
        for row in deletes {
            digest.subtract(&sealer.mac(row));
        }
        digest
    }
}
