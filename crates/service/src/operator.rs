//! What only the owner of the data directory does: the root key and the audit log.

use std::sync::Arc;

use pinyon_model::{AuditEvent, Error, Result};
use pinyon_storage::RootKey;

use crate::{
    OpContext, Service,
    audit::{AuditReport, Start},
    authorize::{Action, Installation},
};

/// Where a reading of the audit log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditFrom {
    /// With the oldest entry that is kept.
    Oldest,
    /// After this one.
    After(AuditMark),
    /// With the last so many.
    Last(u64),
}

/// A place in the audit log: an entry's number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditMark {
    /// The number.
    pub sequence: u64,
    /// What the next entry says of it.
    pub hash: [u8; 32],
}

/// Some entries of the audit log.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// Oldest first.
    pub events: Vec<AuditEvent>,
    /// After which the next ones come.
    pub next: AuditMark,
    /// Whether there were more when this was read.
    pub more: bool,
}

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
            authorized.close(result).await?;
            // The rotation is in the log: the next start need not look for it.
            this.remember_settings().await
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
    pub async fn verify_audit(&self, ctx: &OpContext) -> Result<AuditReport> {
        let authorized = self.authorize(ctx, Action::ReadAuditLog, Installation).await?;
        let report = self.audit().check().await;
        authorized.close(Ok(report)).await
    }

    /// Entries of the audit log, oldest first, at most so many; and where the next ones begin.
    pub async fn audit_page(&self, ctx: &OpContext, from: AuditFrom, limit: usize) -> Result<AuditPage> {
        let authorized = self.authorize(ctx, Action::ReadAuditLog, Installation).await?;
        let page = self.read_audit_page(from, limit).await;
        authorized.close(page).await
    }

    async fn read_audit_page(&self, from: AuditFrom, limit: usize) -> Result<AuditPage> {
        let start = match from {
            AuditFrom::Oldest => Start::Oldest,
            AuditFrom::After(mark) => Start::AfterHead(mark.sequence, mark.hash),
            AuditFrom::Last(count) => Start::After(self.audit().head().await?.seq.saturating_sub(count)),
        };
        let mut entries = self.audit().entries(start).await?;
        let mut events = Vec::new();
        let mut next = entries.head();
        while events.len() < limit
            && let Some(part) = entries.next_part().await?
        {
            for entry in part.into_iter().take(limit - events.len()) {
                next = entry.head;
                events.push(entry.event);
            }
        }
        Ok(AuditPage { events, next: AuditMark { sequence: next.seq, hash: next.hash }, more: next.seq < entries.last().seq })
    }
}
