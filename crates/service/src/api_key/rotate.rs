use std::sync::Arc;

use pinyon_model::{ApiKey, ApiKeyId, PreviousSecret, Result};

use super::{CreatedApiKey, calls::named};
use crate::{
    ApiKeySecret, OpContext, Service,
    authorize::{Action, Authorized, Named},
    catalog::{Change, Noun, StoredApiKey},
};

impl Service {
    /// Gives a key a new secret, shown now or never. The one it has goes on being accepted for `overlap_ms`, at most a day; one that
    /// still was from a rotation before is refused from now on.
    pub async fn rotate_api_key(self: &Arc<Self>, ctx: &OpContext, id: ApiKeyId, overlap_ms: u64) -> Result<CreatedApiKey> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let key = this.api_key(id)?;
            let mut authorized = this.authorize(&ctx, Action::RotateApiKey, named(&key)).await?;
            authorized.name(id.to_string(), key.name);
            let result = this.rotate_authorized(&mut authorized, &ctx, id, overlap_ms).await;
            authorized.close(result).await
        })
        .await
    }

    async fn rotate_authorized(
        &self,
        authorized: &mut Authorized<Named>,
        ctx: &OpContext,
        id: ApiKeyId,
        overlap_ms: u64,
    ) -> Result<CreatedApiKey> {
        let overlap_ms = ApiKey::check_overlap(overlap_ms)?;
        let mut writer = self.catalog().writer().await;
        let old = self.stored_key(id)?;
        let secret = ApiKeySecret::generate(id);
        let previous = PreviousSecret { hint: old.info.hint.clone(), expires_at_ms: ctx.now_ms.saturating_add(overlap_ms) };
        let kept = overlap_ms > 0;
        let stored = StoredApiKey {
            info: ApiKey { hint: secret.hint(), previous: kept.then_some(previous), ..old.info },
            secret_hash: self.secret_hasher().of(secret.reveal().as_bytes()),
            previous_hash: kept.then_some(old.secret_hash),
            roles_in_row: old.roles_in_row,
        };
        authorized.note("overlap_seconds", (overlap_ms / 1_000).to_string());
        self.catalog().change(&mut writer, authorized, self.audit(), vec![Change::Put(Noun::ApiKey(stored))]).await?;
        Ok(CreatedApiKey { key: self.api_key(id)?, secret })
    }
}
