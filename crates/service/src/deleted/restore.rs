//! What was deleted, brought back: its rows as they were, if there is still a place for them.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use pinyon_model::{
    Backup, CmekId, Deleted, DeletedId, Error, ErrorCode, IndexId, IndexState, OrganizationId, PrincipalRef, ProjectId, ResourceRef,
    Result, RoleBinding,
};
use pinyon_storage::Purpose;

use crate::{
    OpContext, Service,
    authorize::{Action, Authorized, Installation},
    catalog::{Change, Noun, NounId, StoredDeleted, Tables},
    descriptor::Descriptor,
};

impl Service {
    /// Brings back what is kept. The operator's. 409 when its name, or something else that only one can have, was taken meanwhile; 412 when
    /// what it belongs to is not there, or its purge has begun. A key or service account keeps its secret, a user its password and no session.
    pub async fn restore_deleted(self: &Arc<Self>, ctx: &OpContext, id: DeletedId) -> Result<Deleted> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::RestoreDeleted, Installation).await?;
            authorized.name(id.to_string(), "");
            let result = this.restore_authorized(&mut authorized, id, ctx.now_ms).await;
            authorized.close(result).await
        })
        .await
    }

    async fn restore_authorized(&self, authorized: &mut Authorized<Installation>, id: DeletedId, now_ms: u64) -> Result<Deleted> {
        let _one = self.purging().hold().await;
        let found = self.catalog().tables().deleted.get(&id).cloned();
        if self.read_purge_record(id).await?.is_some_and(|record| found.is_some() || record.signed.is_none()) {
            return Err(Error::new(ErrorCode::FailedPrecondition, "Its purge has begun: its keys may be gone already"));
        }
        let Some(stored) = found else {
            let restored = self.restore_namespace(id).await?;
            let restored = restored.ok_or_else(|| Error::not_found(format!("Nothing that was deleted has the id {id}")))?;
            authorized.name(restored.of.clone(), restored.name.clone());
            authorized.note("kind", restored.kind.as_str());
            return Ok(restored);
        };
        let mut writer = self.catalog().writer().await;
        authorized.name(stored.info.of.clone(), stored.info.name.clone());
        authorized.note("kind", stored.info.kind.as_str());
        stored.backups().for_each(|id| authorized.note("backup_id", id.to_string()));
        let nouns = self.nouns_to_restore(&stored, now_ms)?;
        // A folder says that its index lives before a row does.
        let since_ms = now_ms.max(stored.info.deleted_at_ms.saturating_add(1));
        for descriptor in self.descriptors_to_restore(&nouns, since_ms) {
            descriptor.write(self.store(), Purpose::Essential).await?;
        }
        let mut changes = vec![Change::Delete(NounId::Deleted(id))];
        changes.extend(self.backups_found_again(&nouns));
        changes.extend(nouns.into_iter().map(Change::Put));
        self.catalog().change(&mut writer, authorized, self.audit(), changes).await?;
        Ok(stored.info)
    }

    /// The nouns as they come back, owners first.
    fn nouns_to_restore(&self, stored: &StoredDeleted, now_ms: u64) -> Result<Vec<Noun>> {
        let nouns = self.catalog().exhume(stored)?;
        let tables = self.catalog().tables();
        let there = There::new(&tables, &nouns);
        let mut ports: BTreeSet<u16> = tables.ports().collect();
        let mut back = Vec::new();
        for noun in nouns {
            there.check(&noun)?;
            match noun {
                // What it was a role in, or whose, may have been deleted meanwhile; or it was given again.
                Noun::RoleBinding(binding) if !there.wants(&binding) => {}
                Noun::User(mut user) => {
                    user.session_number = user.session_number.wrapping_add(1);
                    back.push(Noun::User(user));
                }
                Noun::Index(mut index) => {
                    index.index.port = self.port_among(&ports, index.index.port)?;
                    ports.extend(index.index.port);
                    back.push(Noun::Index(index));
                }
                // Else it would expire at once; from now on a person says when it may go.
                Noun::Backup(mut backup) => {
                    backup.expires_at_ms = backup.expires_at_ms.filter(|at| *at > now_ms);
                    back.push(Noun::Backup(backup));
                }
                noun => back.push(noun),
            }
        }
        Ok(back)
    }

    /// Backups that outlived their index, which comes back now.
    fn backups_found_again(&self, nouns: &[Noun]) -> Vec<Change> {
        let back: HashSet<IndexId> = nouns.iter().filter_map(|n| if let Noun::Index(i) = n { Some(i.index.id) } else { None }).collect();
        let tables = self.catalog().tables();
        let own = tables.backups.values().filter(|b| back.contains(&b.source_index_id));
        own.map(|b| Change::Put(Noun::Backup(Backup { source_index_deleted_at_ms: None, ..b.clone() }))).collect()
    }

    /// The port that it had, if that is free; else the lowest one that is.
    fn port_among(&self, taken: &BTreeSet<u16>, wanted: Option<u16>) -> Result<Option<u16>> {
        let Some(range) = self.ports() else { return Ok(None) };
        let is_free = |p: &u16| range.contains(p) && !taken.contains(p) && self.port_is_free(*p);
        let found = wanted.filter(is_free).or_else(|| range.clone().find(is_free));
        let none = || Error::new(ErrorCode::QuotaExceeded, "Every index has a port, and none of the range is free; widen the range");
        found.map(Some).ok_or_else(none)
    }

    fn descriptors_to_restore(&self, nouns: &[Noun], since_ms: u64) -> Vec<Descriptor> {
        let tables = self.catalog().tables();
        let project = |id: ProjectId| {
            let among = nouns.iter().find_map(|n| if let Noun::Project(p) = n { Some(p).filter(|p| p.id == id) } else { None });
            among.or_else(|| tables.projects.get(&id))
        };
        let describe = |noun: &Noun| {
            let Noun::Index(stored) = noun else { return None };
            // One that could not be restored has no folder and no key.
            if stored.index.state == IndexState::InitializationFailed {
                return None;
            }
            let project = project(stored.index.project_id)?;
            let (organization_id, project_name) = (project.organization_id, project.name.clone());
            Some(Descriptor { stored: stored.clone(), organization_id, project_name, deleted: None, since_ms })
        };
        nouns.iter().filter_map(describe).collect()
    }
}

/// What there is, and what there will be with what comes back.
struct There<'a> {
    tables: &'a Tables,
    organizations: HashSet<OrganizationId>,
    projects: HashSet<ProjectId>,
    principals: HashSet<PrincipalRef>,
    cmeks: HashSet<CmekId>,
}

impl<'a> There<'a> {
    fn new(tables: &'a Tables, nouns: &[Noun]) -> Self {
        let mut there = Self {
            tables,
            organizations: tables.organizations.keys().copied().collect(),
            projects: tables.projects.keys().copied().collect(),
            principals: HashSet::new(),
            cmeks: tables.cmeks.keys().copied().collect(),
        };
        for noun in nouns {
            match noun {
                Noun::Organization(o) => _ = there.organizations.insert(o.id),
                Noun::Project(p) => _ = there.projects.insert(p.id),
                Noun::Cmek(c) => _ = there.cmeks.insert(c.info.id),
                Noun::ApiKey(k) => _ = there.principals.insert(PrincipalRef::ApiKey(k.info.id)),
                Noun::ServiceAccount(a) => _ = there.principals.insert(PrincipalRef::ServiceAccount(a.info.id)),
                Noun::User(u) => _ = there.principals.insert(PrincipalRef::User(u.info.id)),
                Noun::Invite(i) => _ = there.principals.insert(PrincipalRef::Invite(i.info.id)),
                _ => {}
            }
        }
        there
    }

    /// Whether there is a place for it.
    fn check(&self, noun: &Noun) -> Result<()> {
        let tables = self.tables;
        match noun {
            Noun::Project(p) => {
                self.needs_organization(p.organization_id)?;
                taken(tables.projects_of(p.organization_id).any(|o| o.name == p.name), "project", &p.name)?;
                taken(tables.project_by_short_id(&p.short_id()).is_some(), "short project id", &p.short_id())
            }
            Noun::ApiKey(k) => {
                self.needs_project(k.info.project_id)?;
                let hashes = std::iter::once(&k.secret_hash).chain(&k.previous_hash);
                taken(hashes.into_iter().any(|h| tables.key_by_hash(h).is_some()), "key with the secret of", &k.info.name)
            }
            Noun::Index(i) => {
                self.needs_project(i.index.project_id)?;
                if let Some(id) = i.index.cmek_id.filter(|id| !self.cmeks.contains(id)) {
                    return Err(missing("customer-managed key", &id.to_string()));
                }
                taken(tables.index_by_name(i.index.project_id, &i.index.name).is_some(), "index", i.index.name.as_str())
            }
            Noun::Backup(b) => {
                self.needs_project(b.project_id)?;
                let name = b.name().filter(|_| b.is_collection());
                let is_taken = |name: &str| tables.backups_of(b.project_id).any(|o| o.is_collection() && o.name() == Some(name));
                taken(name.is_some_and(is_taken), "collection", name.unwrap_or_default())
            }
            Noun::ServiceAccount(a) => self.needs_organization(a.info.organization_id),
            Noun::User(u) => {
                self.needs_organization(u.info.organization_id)?;
                taken(tables.user_by_email(u.info.organization_id, &u.info.email).is_some(), "user", u.info.email.as_str())
            }
            _ => Ok(()),
        }
    }

    /// Whether both of its ends are there, and no other binding says the same.
    fn wants(&self, binding: &RoleBinding) -> bool {
        let on = match binding.resource {
            ResourceRef::Organization(id) => self.organizations.contains(&id),
            ResourceRef::Project(id) => self.projects.contains(&id),
        };
        let of = self.principals.contains(&binding.principal) || self.tables.organization_of_principal(binding.principal).is_some();
        let again = self.tables.bindings_of(binding.principal).any(|b| (b.resource, b.role) == (binding.resource, binding.role));
        on && of && !again && self.organizations.contains(&binding.organization_id)
    }

    fn needs_organization(&self, id: OrganizationId) -> Result<()> {
        if self.organizations.contains(&id) { Ok(()) } else { Err(missing("organization", &id.to_string())) }
    }

    fn needs_project(&self, id: ProjectId) -> Result<()> {
        if self.projects.contains(&id) { Ok(()) } else { Err(missing("project", &id.to_string())) }
    }
}

fn taken(is: bool, what: &str, name: &str) -> Result<()> {
    if is { Err(Error::already_exists(format!("There is a {what} '{}' already", name.escape_debug()))) } else { Ok(()) }
}

fn missing(what: &str, id: &str) -> Error {
    Error::new(ErrorCode::FailedPrecondition, format!("It belongs to the {what} {id}, which is not there; bring that back first"))
}
