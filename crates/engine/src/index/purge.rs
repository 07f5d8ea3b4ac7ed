//! What was deleted: kept for a while, brought back, or gone for good. And the rotation of keys, which is how records go for good.

use pinyon_model::{ErrorCode, NamespaceId, Result};

use super::IndexHandle;
use crate::{DeletedNamespace, Removed, error::stored};

impl IndexHandle {
    /// The deleted namespaces that can be brought back.
    pub async fn deleted_namespaces(&self) -> Result<Vec<DeletedNamespace>> {
        Ok(self.namespaces().await?.deleted())
    }

    /// Brings a deleted namespace back. `NotFound` if it is not kept, `AlreadyExists` if its name is taken.
    pub async fn restore_namespace(&self, id: NamespaceId) -> Result<()> {
        self.namespaces().await?.restore(id).await
    }

    /// What the purge of a deleted namespace will remove.
    pub async fn kept_of(&self, id: NamespaceId) -> Result<Removed> {
        self.namespaces().await?.kept_of(id).await
    }

    /// Purges these deleted namespaces, and no other: their keys are destroyed, then their files removed. Those that are kept no longer are
    /// passed over. Tells of each what went.
    pub async fn purge_namespaces(&self, ids: &[NamespaceId]) -> Result<Vec<Removed>> {
        self.namespaces().await?.purge(ids).await
    }

    /// Sees to it that nothing is left, on disk or in a copy that the keys of today open, of records that were deleted or overwritten before
    /// the call: what is alive in the namespaces concerned is sealed anew under new keys, and the keys before are destroyed. Reads and
    /// writes go on. A namespace that nothing was deleted from costs a look at its manifest.
    pub async fn purge_records(&self) -> Result<Vec<Removed>> {
        let list = self.namespaces().await?;
        let mut removed = Vec::new();
        for slot in list.starting_with("") {
            match slot.purge_records(&list).await {
                Ok(gone) => removed.extend(gone),
                Err(error) if error.code == ErrorCode::NotFound => {}
                // A damaged namespace must not keep the others from it.
                Err(error) => tracing::warn!(namespace = %slot.id, "deleted records stay for now: {error}"),
            }
        }
        if !removed.is_empty() {
            self.shared.keys.compact().await.map_err(stored)?;
        }
        Ok(removed)
    }

    /// Gives every namespace a new key, seals what it holds anew under it, and destroys the keys before. A damaged one keeps its own.
    pub async fn rotate_namespace_keys(&self) -> Result<Vec<Removed>> {
        let list = self.namespaces().await?;
        let mut removed = Vec::new();
        for slot in list.starting_with("") {
            let rotated = async { slot.open(&list).await?.rotate().await };
            match rotated.await {
                Ok(gone) => removed.push(gone),
                Err(error) if error.code == ErrorCode::NotFound => {}
                // A damaged namespace must not keep the others from it; whoever stops the index stops all.
                Err(error) if error.code == ErrorCode::DataLoss => {
                    tracing::warn!(namespace = %slot.id, "its keys stay as they are: {error}")
                }
                Err(error) => return Err(error),
            }
        }
        self.shared.keys.compact().await.map_err(stored)?;
        Ok(removed)
    }
}
