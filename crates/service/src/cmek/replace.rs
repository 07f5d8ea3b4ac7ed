//! Carrying a replacement out: what is wrapped by the old project key is wrapped by the new one, entry by entry of the key store. How far
//! it is shows in the entries themselves, so whatever cuts it short, it goes on from there.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use pinyon_model::{CmekId, Error, Principal, Result};
use pinyon_storage::{KeyAbove, KeyId, KeysUnder, StorageError};
use tokio::task::JoinHandle;

use crate::{
    OpContext, Service,
    authorize::{Action, Named, Place},
    catalog::{Change, Noun, StoredCmek},
};

/// Owners whose keys are wrapped at once: they share the key store's syncs.
const AT_ONCE: usize = 256;
/// After a failure it is tried again in this time.
const RETRY_MS: u64 = 5_000;

impl Service {
    /// Goes on with every replacement whose keys are both at hand.
    pub(super) fn begin_replacements(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let open: Vec<StoredCmek> = self.catalog().tables().cmeks.values().filter(|c| c.replaced.is_some()).cloned().collect();
        let now_ms = self.clock().now_ms();
        let ready = open.into_iter().filter_map(|cmek| {
            let (_, old) = cmek.replaced.as_ref()?;
            let id = cmek.info.id;
            // Nothing under the old one any more: it need not be at hand to be done with.
            let is_at_hand = self.holds(cmek.project_key) && (self.holds(*old) || is_empty(&self.store().keys().under_project_key(*old)));
            let mut state = self.customer_keys().replacements();
            let begins = is_at_hand && state.later_ms.get(&id).is_none_or(|at| *at <= now_ms) && state.running.insert(id);
            begins.then_some((id, cmek.project_key, *old))
        });
        let ready: Vec<(CmekId, KeyId, KeyId)> = ready.collect();
        ready
            .into_iter()
            .map(|(id, new, old)| {
                let this = Arc::clone(self);
                tokio::spawn(async move { this.carry_out(id, new, old).await })
            })
            .collect()
    }

    async fn carry_out(self: Arc<Self>, id: CmekId, new: KeyId, old: KeyId) {
        let outcome = async {
            self.rewrap(new, old).await?;
            self.finish_replacement(id, old).await
        }
        .await;
        let mut state = self.customer_keys().replacements();
        state.running.remove(&id);
        match outcome {
            Ok(()) => {
                state.later_ms.remove(&id);
                tracing::info!(cmek = %id, "a customer-managed key is replaced");
            }
            Err(error) => {
                state.later_ms.insert(id, self.clock().now_ms() + RETRY_MS);
                tracing::warn!(%error, cmek = %id, "the replacement of a customer-managed key goes on later");
            }
        }
    }

    /// Wraps the keys of indexes and backups anew until none is under the old project key.
    async fn rewrap(&self, new: KeyId, old: KeyId) -> Result<()> {
        let (keys, above) = (self.store().keys(), KeyAbove::Project(new));
        loop {
            let under = keys.under_project_key(old);
            if is_empty(&under) {
                return Ok(());
            }
            let indexes = stream::iter(under.indexes).map(|index| async move { gone_is_done(keys.rewrap_index_key(index, above).await) });
            let failed = indexes.buffer_unordered(AT_ONCE).filter_map(|done| async { done.err() });
            if let Some(error) = std::pin::pin!(failed).next().await {
                return Err(error.into());
            }
            for backup in under.backups {
                gone_is_done(keys.rewrap_backup_key(backup, above).await)?;
            }
        }
    }

    /// Destroys the old project key, then says so in the catalog: a crash between the two leaves nothing to do but the second.
    async fn finish_replacement(&self, id: CmekId, old: KeyId) -> Result<()> {
        let keys = self.store().keys();
        if keys.sealed_project_key(old).is_some() {
            keys.destroy_project_key(old).await?;
        }
        let mut writer = self.catalog().writer().await;
        let found = self.catalog().tables().cmeks.get(&id).cloned();
        let mut stored = found.ok_or_else(|| Error::not_found(format!("There is no customer-managed key {id}")))?;
        let ctx = OpContext::internal(Principal::System, self.clock().now_ms());
        let named = Named { place: Place::Project(stored.info.project_id), id: id.to_string(), kind: "customer-managed key" };
        let mut authorized = self.authorize(&ctx, Action::WatchCmek, named).await?;
        // Another replacement may have begun since.
        if let Some((before, _)) = stored.replaced.take_if(|(_, id)| *id == old) {
            authorized.note("replaced", before.shown());
        }
        authorized.name(id.to_string(), stored.info.name.clone());
        let change = Change::Put(Noun::Cmek(stored));
        let result = self.catalog().change(&mut writer, &mut authorized, self.audit(), vec![change]).await;
        authorized.close(result).await
    }
}

fn is_empty(under: &KeysUnder) -> bool {
    under.indexes.is_empty() && under.backups.is_empty()
}

/// Deleted while its key was to be wrapped.
fn gone_is_done(done: Result<(), StorageError>) -> Result<(), StorageError> {
    match done {
        Err(StorageError::KeyMissing { .. }) => Ok(()),
        done => done,
    }
}
