//! Which namespaces are open, so that idle ones are found without looking at all the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pinyon_model::NamespaceId;
use tokio::sync::Notify;

use crate::{namespace_list::NamespaceList, slot::Slot};

/// An open namespace and the list that it is in.
type Entry = (Arc<Slot>, Arc<NamespaceList>);

/// The open namespaces of one engine.
pub(crate) struct OpenSet {
    entries: Mutex<HashMap<NamespaceId, Entry>>,
    /// How many should be open at most.
    keep: usize,
    crowded: Notify,
}

impl OpenSet {
    pub(crate) fn new(keep: usize) -> Self {
        Self { entries: Mutex::default(), keep, crowded: Notify::new() }
    }

    pub(crate) fn add(&self, slot: &Arc<Slot>, list: &Arc<NamespaceList>) {
        let open = {
            let mut entries = self.lock();
            entries.insert(slot.id, (Arc::clone(slot), Arc::clone(list)));
            entries.len()
        };
        // Not at the first one too many: looking for those to close takes a pass over all of them.
        if open > self.keep + self.keep / 8 {
            self.crowded.notify_one();
        }
    }
    pub(crate) fn remove(&self, id: NamespaceId) {
        self.lock().remove(&id);
    }

    /// Returns when clearly more are open than should be.
    pub(crate) async fn crowded(&self) {
        self.crowded.notified().await;
    }

    /// Those to close: not used since `idle_before_ms`, and as many of the least recently used as are too many.
    pub(crate) fn to_close(&self, idle_before_ms: u64) -> Vec<Entry> {
        let mut slots: Vec<Entry> = self.lock().values().cloned().collect();
        slots.sort_by_key(|(slot, _)| slot.last_used_ms());
        let surplus = slots.len().saturating_sub(self.keep);
        let idle = slots.partition_point(|(slot, _)| slot.last_used_ms() < idle_before_ms);
        slots.truncate(surplus.max(idle));
        slots
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Entry> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NamespaceId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
