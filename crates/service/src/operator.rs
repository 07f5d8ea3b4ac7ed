//! What only the owner of the data directory does: the root key and the audit log.

use std::sync::Arc;

use pinyon_model::{AuditEvent, Error, Result};
use pinyon_storage::RootKey;

use crate::{
    DamagedFile, OpContext, Service,
    authorize::{Action, Installation},
};

impl Service {
    /// Seals the key store under a new root key; the data stays as it is. Keep the new key safe before this is called: from its return
    /// on, nothing opens without it.
    pub async fn rotate_root(self: &Arc<Self>, ctx: &OpContext, new: RootKey) -> Result<()> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::RotateRootKey, Installation).await?;
            authorized.name(new.fingerprint().to_string(), "");
            let result = this.store().keys().rotate_root(new.clone()).await.map_err(Error::from);
            if result.is_ok() {
                this.replace_root(new);
            }
            authorized.close(result).await
        })
        .await
    }

    /// The root key, to be kept where the data is not.
    pub async fn export_root(&self, ctx: &OpContext) -> Result<RootKey> {
        let mut authorized = self.authorize(ctx, Action::ExportRootKey, Installation).await?;
        let root = self.root();
        authorized.name(root.fingerprint().to_string(), "");
        authorized.close(Ok(root)).await
    }

    /// Reads the whole audit log from disk, entry by entry: how many there are, and the files that are not what was written.
    pub async fn verify_audit(&self, ctx: &OpContext) -> Result<(u64, Vec<DamagedFile>)> {
        let authorized = self.authorize(ctx, Action::ReadAuditLog, Installation).await?;
        let found = self.audit().check().await;
        authorized.close(Ok(found)).await
    }

    /// Every entry of the audit log, oldest first.
    pub async fn audit_events(&self, ctx: &OpContext) -> Result<Vec<AuditEvent>> {
        let authorized = self.authorize(ctx, Action::ReadAuditLog, Installation).await?;
        let events = self.audit().events().await;
        authorized.close(events).await
    }
}
