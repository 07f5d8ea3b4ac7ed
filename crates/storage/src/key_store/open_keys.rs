//! The keys that are held open in memory: few, and gone at once when they must be. A cache that frees later would keep a key
//! that was taken away.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::entry::Owner;
use super::locked;
use crate::KeyRing;

/// How many owners' keys are kept open.
const OPEN_OWNERS: usize = 4096;

#[derive(Default)]
pub(super) struct OpenKeys(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    rings: HashMap<Owner, Arc<KeyRing>>,
    /// In the order in which they were opened; owners may stand here that are open no longer.
    order: VecDeque<Owner>,
}

impl OpenKeys {
    pub(super) fn get(&self, owner: &Owner) -> Option<Arc<KeyRing>> {
        locked(&self.0).rings.get(owner).cloned()
    }

    pub(super) fn insert(&self, owner: Owner, ring: Arc<KeyRing>) {
        let mut inner = locked(&self.0);
        if inner.rings.insert(owner.clone(), ring).is_none() {
            inner.order.push_back(owner);
        }
        while inner.order.len() > OPEN_OWNERS {
            let Some(oldest) = inner.order.pop_front() else { break };
            inner.rings.remove(&oldest);
        }
    }

    pub(super) fn forget(&self, owner: &Owner) {
        locked(&self.0).rings.remove(owner);
    }
}
