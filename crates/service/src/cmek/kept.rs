//! The customers' keys as the key store knows them: what the catalog's rebuild makes rows of.

use std::collections::BTreeMap;

use pinyon_model::CmekId;
use pinyon_storage::KeyId;

use super::KeptProjectKey;
use crate::{Service, catalog::StoredCmek};

impl Service {
    /// Every customer's key that a project key is kept of. Of two project keys of one, the newer that something lies under is its own, and
    /// the other one is being replaced; one that nothing lies under was never answered for, or is done with.
    pub(crate) fn kept_cmeks(&self) -> Vec<StoredCmek> {
        let keys = self.store().keys();
        let mut by_cmek: BTreeMap<CmekId, Vec<(bool, KeyId, KeptProjectKey)>> = BTreeMap::new();
        for key in keys.project_keys() {
            let kept = keys.sealed_project_key(key).and_then(|bytes| KeptProjectKey::decode(&bytes).ok());
            let Some(kept) = kept else { continue };
            let under = keys.under_project_key(key);
            let is_used = !under.indexes.is_empty() || !under.backups.is_empty();
            by_cmek.entry(kept.cmek.id).or_default().push((is_used, key, kept));
        }
        by_cmek.into_values().filter_map(newest).collect()
    }
}

fn newest(mut keys: Vec<(bool, KeyId, KeptProjectKey)>) -> Option<StoredCmek> {
    keys.sort_by_key(|(is_used, key, kept)| (*is_used, kept.cmek.updated_at_ms, *key));
    let (_, project_key, KeptProjectKey { cmek: info, .. }) = keys.pop()?;
    let replaced = keys.pop().filter(|(is_used, ..)| *is_used).map(|(_, key, kept)| (kept.cmek.key, key));
    Some(StoredCmek { info, project_key, replaced })
}
