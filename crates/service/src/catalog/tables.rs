//! The catalog in memory: what was read from the file and verified when it was opened, and every change since. All questions are
//! answered from here, so that a page that rots under a running server changes no answer.

use std::collections::{BTreeMap, HashMap};

use pinyon_model::{ApiKeyId, IndexId, IndexName, OrganizationId, ProjectId};

use super::{
    Defaults,
    digest::Digest,
    rows::{Noun, Row, RowSealer, StoredApiKey, Table},
};
use crate::{IndexRef, Organization, Project, api_key::KeyEntry, project::short_id};

/// A change of the catalog.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A new noun, or a new content of one.
    Put(Noun),
    SetDefaults(Defaults),
    DeleteApiKey(ApiKeyId),
    DeleteIndex(IndexId),
}

/// Everything that the catalog holds.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) organizations: BTreeMap<OrganizationId, Organization>,
    pub(crate) projects: BTreeMap<ProjectId, Project>,
    pub(crate) keys: HashMap<ApiKeyId, KeyEntry>,
    key_by_hash: HashMap<[u8; 32], ApiKeyId>,
    pub(crate) indexes: HashMap<IndexId, IndexRef>,
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

    pub(super) fn row(&self, table: Table, id: [u8; 16]) -> Option<&Row> {
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

    pub(crate) fn key_by_hash(&self, hash: &[u8; 32]) -> Option<&KeyEntry> {
        self.keys.get(self.key_by_hash.get(hash)?)
    }

    /// Takes a row that was read from the file or is durable in it now, in place of the one with its id.
    pub(super) fn put(&mut self, sealer: &RowSealer, row: Row, noun: Noun) {
        self.unlink_row(sealer, row.table, row.id);
        self.digest.add(&sealer.mac(&row));
        self.rows.insert((row.table, row.id), row);
        match noun {
            Noun::Organization(o) => {
                self.organizations.insert(o.id, o);
            }
            Noun::Project(p) => {
                self.by_short_id.insert(short_id(p.id), p.id);
                self.projects.insert(p.id, p);
            }
            Noun::ApiKey(StoredApiKey { info, secret_hash }) => {
                self.key_by_hash.insert(secret_hash, info.id);
                self.keys.insert(info.id, KeyEntry::new(info, secret_hash));
            }
            Noun::Index(stored) => {
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
        }
    }

    pub(super) fn delete(&mut self, sealer: &RowSealer, change: &Change) {
        match change {
            Change::Put(_) | Change::SetDefaults(_) => {}
            Change::DeleteApiKey(id) => {
                self.unlink_row(sealer, Table::ApiKeys, *id.as_bytes());
                self.keys.remove(id);
                self.key_by_hash.retain(|_, k| k != id);
            }
            Change::DeleteIndex(id) => {
                self.unlink_row(sealer, Table::Indexes, *id.as_bytes());
                self.by_port.retain(|_, i| i != id);
                if let Some(index) = self.indexes.remove(id) {
                    index.mark_deleted();
                    if let Some(names) = self.by_project.get_mut(&index.project_id()) {
                        names.remove(index.name());
                    }
                }
            }
        }
    }

    /// Takes what was read from the file afresh, and keeps the index references that callers hold alive.
    pub(super) fn adopt(&mut self, mut fresh: Tables) {
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

    fn unlink_row(&mut self, sealer: &RowSealer, table: Table, id: [u8; 16]) {
        if let Some(old) = self.rows.remove(&(table, id)) {
            self.digest.subtract(&sealer.mac(&old));
        }
    }

    /// The digest once these rows are put and those deleted.
    pub(super) fn digest_after(&self, sealer: &RowSealer, puts: &[Row], deletes: &[Row]) -> Digest {
        let mut digest = self.digest;
        for row in puts {
            if let Some(old) = self.row(row.table, row.id) {
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
