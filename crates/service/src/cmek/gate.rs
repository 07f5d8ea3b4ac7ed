//! Whether what lies under a customer's key may be used now: asked in one place, for all that needs data.

use pinyon_model::{CmekId, Error, ErrorCode, ProjectId, Result};
use pinyon_storage::{KeyAbove, KeyId};

use super::Watch;
use crate::{
    IndexRef, Service,
    catalog::{StoredCmek, Tables},
};

impl Service {
    /// `Forbidden`, naming the customer's key, when the index is under one that is not to be used now.
    pub(crate) fn check_data_key(&self, index: &IndexRef) -> Result<()> {
        if index.stored().index.cmek_id.is_none() {
            return Ok(());
        }
        // During a replacement some indexes are under the new project key and some under the old one. Without a key, what comes next says so.
        self.store().keys().above_index(index.id()).map_or(Ok(()), |above| self.check_key_above(above))
    }

    /// The same, of what has a key that is wrapped by this one.
    pub(crate) fn check_key_above(&self, above: KeyAbove) -> Result<()> {
        let KeyAbove::Project(key) = above else { return Ok(()) };
        let (now_ms, keys) = (self.clock().now_ms(), self.customer_keys());
        if let Some(watch) = keys.watches().get(&key) {
            return if watch.is_served(now_ms, &keys.options) { Ok(()) } else { Err(refused(watch)) };
        }
        let tables = self.catalog().tables();
        let of = |c: &&StoredCmek| c.project_key == key || c.replaced.as_ref().is_some_and(|(_, old)| *old == key);
        let named = tables.cmeks.values().find(of).map(|c| Watch::new(c.info.id, c.info.name.clone()));
        Err(named.map_or_else(|| Error::forbidden("The customer-managed key above this data is gone"), |watch| refused(&watch)))
    }

    /// What a failure under a locked key is told as: by the key's name, where the key is why.
    pub(crate) fn name_key<T>(&self, index: &IndexRef, result: Result<T>) -> Result<T> {
        match result {
            Err(error) if error.code == ErrorCode::Forbidden => Err(match self.check_data_key(index) {
                Err(named) => named,
                Ok(()) if index.stored().index.cmek_id.is_some() => {
                    Error::unavailable("The customer-managed key above this data was not to be had for a moment, and is again; try again")
                }
                Ok(()) => error,
            }),
            result => result,
        }
    }

    /// The customer's key that something new in this project is to be under, and what wraps the new thing's key: the one that was asked
    /// for, or the only one of a project that must have one. `FailedPrecondition` when it must and has none; `Forbidden` when the key is not to be used now.
    pub(crate) fn key_for_new(&self, tables: &Tables, project: ProjectId, asked: Option<CmekId>) -> Result<(Option<CmekId>, KeyAbove)> {
        let is_forced = tables.projects.get(&project).is_some_and(|p| p.force_encryption_with_cmek);
        let mut there = tables.cmeks_of(project);
        let found = match asked {
            Some(id) => {
                let found = there.find(|c| c.info.id == id);
                found.ok_or_else(|| Error::not_found(format!("There is no customer-managed key {id} in this project")))?
            }
            None if !is_forced => return Ok((None, KeyAbove::Root)),
            None => match (there.next(), there.next()) {
                (Some(only), None) => only,
                (None, _) => {
                    let told = "The project must be encrypted with a customer-managed key and has none yet: add one first, by \
                                POST /pinyon/v1/cmeks or 'pinyon cmek add'";
                    return Err(Error::new(ErrorCode::FailedPrecondition, told));
                }
                _ => {
                    let all: Vec<String> = tables.cmeks_of(project).map(|c| format!("{} ('{}')", c.info.id, c.info.name)).collect();
                    let told = format!("The project has more than one customer-managed key; say by cmek_id which: {}", all.join(", "));
                    return Err(Error::invalid(told));
                }
            },
        };
        let above = KeyAbove::Project(found.project_key);
        self.check_project_key(found)?;
        Ok((Some(found.info.id), above))
    }

    fn check_project_key(&self, cmek: &StoredCmek) -> Result<()> {
        let (now_ms, keys) = (self.clock().now_ms(), self.customer_keys());
        let watches = keys.watches();
        match watches.get(&cmek.project_key) {
            Some(watch) if watch.is_served(now_ms, &keys.options) => Ok(()),
            Some(watch) => Err(refused(watch)),
            None => Err(refused(&Watch::new(cmek.info.id, cmek.info.name.clone()))),
        }
    }

    /// Whether the key store holds a project key now.
    pub(super) fn holds(&self, key: KeyId) -> bool {
        self.customer_keys().watches().get(&key).is_some_and(|watch| watch.held)
    }
}

/// The why is for those who may see the key; it names roles and accounts.
fn refused(watch: &Watch) -> Error {
    Error::forbidden(format!(
        "The customer-managed key '{}' ({}) above this data is {}; it is served again when the key is",
        watch.name.escape_debug(),
        watch.cmek,
        watch.status.as_str()
    ))
}
