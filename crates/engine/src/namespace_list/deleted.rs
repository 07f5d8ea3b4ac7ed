//! Namespaces that were deleted and are kept for a while: no caller sees them, and they can be brought back until they are purged.

use std::sync::{Arc, PoisonError};

use pinyon_model::{NamespaceId, NamespaceName, Result};
use pinyon_storage::Purpose;

use super::{Change, NamespaceList, namespace_folder};
use crate::{
    error::stored,
    namespace::Removed,
    slot::{Counts, Slot},
};

/// What becomes of a namespace that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept until this time, in milliseconds since 1970, and can be brought back.
    Until(u64),
    /// Its key and its files go at once.
    NoLonger,
}

/// A namespace that was deleted and can be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedNamespace {
    /// Its id.
    pub id: NamespaceId,
    /// The name it had.
    pub name: NamespaceName,
    /// When it was deleted, in milliseconds since 1970.
    pub deleted_at_ms: u64,
    /// Until when it is kept.
    pub kept_until_ms: u64,
}

/// A deleted namespace in the list.
#[derive(Clone)]
pub(super) struct KeptSlot {
    /// Closed, as it was before its first use.
    pub(super) slot: Arc<Slot>,
    pub(super) at_ms: u64,
    pub(super) until_ms: u64,
}

impl KeptSlot {
    /// As it is kept: without what was open of it.
    pub(super) fn of(slot: &Slot, counts: Option<Counts>, at_ms: u64, until_ms: u64) -> Self {
        Self { slot: Slot::new(slot.id, slot.name.clone(), slot.schema.clone(), counts), at_ms, until_ms }
    }
}

impl NamespaceList {
    /// Those that were deleted and are kept, in the order of their ids.
    pub(crate) fn deleted(&self) -> Vec<DeletedNamespace> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let described = |(id, kept): (&NamespaceId, &KeptSlot)| DeletedNamespace {
            id: *id,
            name: kept.slot.name.clone(),
            deleted_at_ms: kept.at_ms,
            kept_until_ms: kept.until_ms,
        };
        kept.iter().map(described).collect()
    }

    /// As slots, for whoever reads every stored byte.
    pub(crate) fn kept_slots(&self) -> Vec<Arc<Slot>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).values().map(|kept| Arc::clone(&kept.slot)).collect()
    }

    /// Brings a deleted namespace back. `NotFound` if it is not kept, `AlreadyExists` if its name is taken.
    pub(crate) async fn restore(self: &Arc<Self>, id: NamespaceId) -> Result<()> {
        self.change(Change::Restore(id), Purpose::Essential).await.map(drop)
    }

    /// The files of a namespace that was deleted, and its keys unless they are gone already.
    pub(crate) async fn kept_of(&self, id: NamespaceId) -> Result<Removed> {
        let files = self.shared.store.list(&format!("{}/", namespace_folder(self.index, id))).await.map_err(stored)?;
        let objects = files.into_iter().map(|file| (file.name, file.size)).collect();
        Ok(Removed { objects, keys: self.shared.keys.namespace_key_ids(self.index, id) })
    }

    /// Ends the keeping of these: their keys are destroyed and their files removed.
    pub(crate) async fn purge(self: &Arc<Self>, ids: &[NamespaceId]) -> Result<Vec<Removed>> {
        let mut removed = Vec::new();
        for DeletedNamespace { id, .. } in self.deleted().into_iter().filter(|d| ids.contains(&d.id)) {
            let kept = self.kept_of(id).await?;
            self.change(Change::Purge(id), Purpose::Essential).await?;
            self.remove_remains(id).await?;
            removed.push(kept);
        }
        if !removed.is_empty() {
            // The wrapped bytes of the keys go from the key store's file too.
            self.shared.keys.compact().await.map_err(stored)?;
        }
        Ok(removed)
    }
}
