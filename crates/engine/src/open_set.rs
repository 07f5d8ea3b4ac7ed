//! Which namespaces are open, so that idle ones are found without looking at all the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pinyon_model::NamespaceId;

use crate::{namespace_list::NamespaceList, slot::Slot};

/// An open namespace and the list that it is in.
type Entry = (Arc<Slot>, Arc<NamespaceList>);

/// The open namespaces of one engine.
#[derive(Default)]
pub(crate) struct OpenSet(Mutex<HashMap<NamespaceId, Entry>>);

impl OpenSet {
    pub(crate) fn add(&self, slot: &Arc<Slot>, list: &Arc<NamespaceList>) {
        self.lock().insert(slot.id, (Arc::clone(slot), Arc::clone(list)));
    }
    pub(crate) fn remove(&self, id: NamespaceId) {
        self.lock().remove(&id);
    }

    /// Those to close: not used since `idle_before_ms`, and as many of the least recently used as are more than `keep`.
    pub(crate) fn to_close(&self, idle_before_ms: u64, keep: usize) -> Vec<Entry> {
        let mut slots: Vec<Entry> = self.lock().values().cloned().collect();
        slots.sort_by_key(|(slot, _)| slot.last_used_ms());
        let surplus = slots.len().saturating_sub(keep);
        let idle = slots.partition_point(|(slot, _)| slot.last_used_ms() < idle_before_ms);
        slots.truncate(surplus.max(idle));
        slots
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Entry> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NamespaceId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
