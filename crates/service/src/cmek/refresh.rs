//! Asking for customers' keys again and again, and what follows from what they answer.

use std::sync::Arc;

use futures_util::future::join_all;
use pinyon_model::{Cmek, CmekId, CmekStatus, Principal};
use pinyon_storage::{KeyId, StorageError};

use super::{KeptProjectKey, KeyFault, Watch};
use crate::{
    OpContext, Service,
    authorize::{Action, Named, Place},
};

/// How long one question may take in all.
const ASK_MS: u64 = 20_000;

/// A project key that is to be asked for: of this customer's key, as it is or as it was before a replacement.
struct Question {
    cmek: Cmek,
    key: KeyId,
}

impl Service {
    /// Asks for every customer's key that is due, lets go of those whose time is over, and goes on with replacements; waits for all of it.
    pub async fn refresh_cmeks(self: &Arc<Self>) {
        join_all(self.begin_refresh().into_iter().map(|task| async move { _ = task.await })).await;
        let replacements = self.begin_replacements();
        join_all(replacements.into_iter().map(|task| async move { _ = task.await })).await;
    }

    /// The same without waiting: a key that answers slowly delays no other.
    pub(crate) fn refresh_cmeks_soon(self: &Arc<Self>) {
        drop(self.begin_refresh());
        drop(self.begin_replacements());
    }

    fn begin_refresh(self: &Arc<Self>) -> Vec<tokio::task::JoinHandle<()>> {
        let (due, over) = self.due();
        let ask = due.into_iter().map(|question| {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.ask(question).await })
        });
        let asked: Vec<_> = ask.collect();
        let dropped = over.into_iter().map(|(key, before)| {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.let_go(key, before).await })
        });
        asked.into_iter().chain(dropped.collect::<Vec<_>>()).collect()
    }

    /// What is to be asked for now, and what is to be let go of.
    fn due(&self) -> (Vec<Question>, Vec<(KeyId, CmekStatus)>) {
        let keys = self.customer_keys();
        if keys.provider().is_err() {
            return (Vec::new(), Vec::new());
        }
        let questions: Vec<Question> = {
            let tables = self.catalog().tables();
            let of = |c: &crate::catalog::StoredCmek| {
                let now = Question { cmek: c.info.clone(), key: c.project_key };
                let before = c.replaced.as_ref().map(|(key, id)| Question { cmek: Cmek { key: key.clone(), ..c.info.clone() }, key: *id });
                std::iter::once(now).chain(before)
            };
            tables.cmeks.values().flat_map(of).collect()
        };
        let now_ms = self.clock().now_ms();
        let mut watches = keys.watches();
        watches.retain(|key, _| questions.iter().any(|q| q.key == *key));
        let over = watches.iter_mut().filter(|(_, w)| w.held).filter_map(|(key, watch)| {
            let before = watch.status;
            watch.drop_if_over(now_ms, &keys.options).then_some((*key, before))
        });
        let over = over.collect();
        let mut is_due = |q: &Question| watches.entry(q.key).or_insert_with(|| Watch::new(q.cmek.id, q.cmek.name.clone())).begin(now_ms);
        (questions.into_iter().filter(|q| is_due(q)).collect(), over)
    }

    async fn ask(self: Arc<Self>, question: Question) {
        let Question { cmek, key } = question;
        let asked_at_ms = self.clock().now_ms();
        let answer = tokio::select! {
            answer = self.open_project_key(&cmek, key) => answer,
            () = self.clock().wait_ms(ASK_MS) => Err(KeyFault::Unreachable(format!("nobody answered in {} seconds", ASK_MS / 1_000))),
        };
        let now_ms = self.clock().now_ms();
        let keys = self.customer_keys();
        let (before, after, drops) = {
            let mut watches = keys.watches();
            // Gone meanwhile: it was deleted, and its key with it.
            let Some(watch) = watches.get_mut(&key) else { return self.store().keys().lock_project_key(key) };
            let before = (watch.status, watch.held);
            let drops = match &answer {
                Ok(()) => {
                    watch.good(asked_at_ms, &keys.options);
                    false
                }
                Err(fault) => watch.failed(fault, now_ms, &keys.options),
            };
            (before, (watch.status, watch.held), drops)
        };
        if let Err(fault) = &answer {
            tracing::warn!(cmek = %cmek.id, name = cmek.name, status = after.0.as_str(), served = after.1, why = fault.reason(), "a customer-managed key does not answer well");
        }
        if drops {
            self.forget_project_key(key).await;
        }
        if before != after {
            self.record_status(cmek.id, before.0, after.0, answer.err().as_ref()).await;
        }
    }

    /// Asks for one project key and gives it to the key store, which takes no other than the right one.
    async fn open_project_key(&self, cmek: &Cmek, key: KeyId) -> Result<(), KeyFault> {
        let store = self.store().keys();
        let gone = |what: &str| KeyFault::Denied(format!("{what}: it cannot be asked for"));
        let provider = self.customer_keys().provider().map_err(|e| KeyFault::Unreachable(e.message))?;
        let kept = store.sealed_project_key(key).ok_or_else(|| gone("the key store has not its project key"))?;
        let kept = KeptProjectKey::decode(&kept).map_err(|e| gone(&e.message))?;
        let opened = kept.open(&**provider, cmek).await?;
        // A copy: what the box holds is wiped when it goes.
        store.unlock_project_key(key, (*opened).clone()).map_err(|error| match error {
            StorageError::Invalid { .. } => KeyFault::Denied("another key answered: what it opened is not what was sealed".to_owned()),
            error => KeyFault::Unreachable(error.to_string()),
        })
    }

    async fn let_go(self: Arc<Self>, key: KeyId, before: CmekStatus) {
        self.forget_project_key(key).await;
        let watch = self.customer_keys().watches().get(&key).cloned();
        if let Some(watch) = watch {
            let why = KeyFault::Unreachable(watch.reason.unwrap_or_default());
            tracing::warn!(cmek = %watch.cmek, name = watch.name, "a customer-managed key was unreachable for longer than the grace period");
            self.record_status(watch.cmek, before, watch.status, Some(&why)).await;
        }
    }

    /// As [`Self::forget_project_key`], of a customer's key that is kept aside and that nobody asks for any more.
    pub(crate) async fn shelve_project_key(&self, key: KeyId) {
        self.customer_keys().watches().remove(&key);
        self.forget_project_key(key).await;
    }

    /// Forgets a project key and all below it: keys, open namespaces, cached blocks. Whoever asks from now on is refused before.
    pub(super) async fn forget_project_key(&self, key: KeyId) {
        let store = self.store().keys();
        store.lock_project_key(key);
        join_all(store.under_project_key(key).indexes.into_iter().map(|index| self.engine().evict_index(index))).await;
        // What was under way while it was evicted may have looked a key up once more. And the key may have come back in that time.
        let watches = self.customer_keys().watches();
        if !watches.get(&key).is_some_and(|watch| watch.held) {
            store.lock_project_key(key);
        }
    }

    /// Puts into the audit log that a customer's key stands otherwise than before. What cannot be recorded changes nothing of it.
    async fn record_status(&self, id: CmekId, before: CmekStatus, after: CmekStatus, fault: Option<&KeyFault>) {
        let Some(project) = self.catalog().tables().cmeks.get(&id).map(|c| c.info.project_id) else { return };
        let ctx = OpContext::internal(Principal::System, self.clock().now_ms());
        let named = Named { place: Place::Project(project), id: id.to_string(), kind: "customer-managed key" };
        let recorded = async {
            let mut authorized = self.authorize(&ctx, Action::WatchCmek, named).await?;
            authorized.note("status", format!("{} -> {}", before.as_str(), after.as_str()));
            if let Some(fault) = fault {
                authorized.note("reason", fault.reason());
            }
            authorized.close(Ok(())).await
        };
        if let Err(error) = recorded.await {
            tracing::error!(%error, cmek = %id, "how a customer-managed key stands could not be recorded");
        }
    }
}
