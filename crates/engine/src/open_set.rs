//! Which namespaces are open, so that idle ones are found without looking at all the others, and so that not too many are.

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
    open: Mutex<HashMap<NamespaceId, Entry>>,
    keep: usize,
    crowded: Notify,
    looked: Notify,
}

impl OpenSet {
    /// An empty set that is to hold at most about `keep`.
    pub(crate) fn new(keep: usize) -> Self {
        Self { open: Mutex::default(), keep, crowded: Notify::new(), looked: Notify::new() }
    }

    /// Adds a namespace that was opened. If far too many are open, returns only after the next look for some to close, so that
    /// opening is no faster than closing.
    pub(crate) async fn add(&self, slot: &Arc<Slot>, list: &Arc<NamespaceList>) {
        let looked = self.looked.notified();
        let open = {
            let mut open = self.lock();
            open.insert(slot.id, (Arc::clone(slot), Arc::clone(list)));
            open.len()
        };
        // Not at the first one too many: looking for those to close takes a pass over all of them.
        if open > self.keep + self.keep / 8 {
            self.crowded.notify_one();
        }
        if open > self.keep.saturating_mul(2) {
            looked.await;
        }
    }

    pub(crate) fn remove(&self, id: NamespaceId) {
        self.lock().remove(&id);
    }

    /// Returns when clearly more are open than should be.
    pub(crate) async fn crowded(&self) {
        self.crowded.notified().await;
    }

    /// Whoever closes namespaces has just done so.
    pub(crate) fn looked(&self) {
        self.looked.notify_waiters();
    }

    /// Those to close: not used since `idle_before_ms`, and as many of the least recently used as are too many.
    pub(crate) fn to_close(&self, idle_before_ms: u64) -> Vec<Entry> {
        let mut slots = self.all();
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
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
