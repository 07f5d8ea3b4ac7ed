//! Who a caller is, by what it shows.

use std::{net::IpAddr, sync::Arc};

use pinyon_model::{AuditEvent, AuditOutcome, Plane, Principal, Result};
use pinyon_storage::random_bytes;
use subtle::ConstantTimeEq;

use crate::{
    ApiKeySecret, AuthMode, OpContext, Service, audit,
    authorize::{self, invalid_api_key},
    catalog::{KeyActor, StoredApiKey},
};

const SECRET_LEN_MAX: usize = 512;

/// What a credential is.
enum Held {
    /// Good, of this principal.
    By(Arc<Principal>),
    /// Somebody's, and not accepted, for this reason. The caller hears what the holder of an unknown one hears.
    Refused(Arc<Principal>, &'static str),
    Unknown,
}

impl Service {
    /// Who holds this credential, an API key's secret or the token of a service account or a user, on this side of the API. `source` is
    /// the caller's address, which unknown credentials are counted by. What was revoked is unknown from the moment its revocation is
    /// answered.
    pub async fn authenticate(&self, plane: Plane, credential: Option<&str>, source: &str) -> Result<Arc<Principal>> {
        match credential.map_or(Held::Unknown, |text| self.holder(text, source)) {
            Held::By(principal) if authorize::admits(plane, &principal) => return Ok(principal),
            Held::Refused(principal, reason) if authorize::admits(plane, &principal) => {
                self.record_refused(principal, reason, source).await?;
                return Err(invalid_api_key());
            }
            _ => {}
        }
        if self.auth() == AuthMode::AnyKey && plane != Plane::Admin {
            return Ok(self.any_key_principal());
        }
        self.audit().unknown_key(source);
        Err(invalid_api_key())
    }

    fn holder(&self, text: &str, source: &str) -> Held {
        if text.is_empty() || text.len() > SECRET_LEN_MAX {
            return Held::Unknown;
        }
        if let Some(principal) = self.token_holder(text) {
            return Held::By(principal);
        }
        let hash = self.secret_hasher().of(text.as_bytes());
        let tables = self.catalog().tables();
        let now_ms = self.clock().now_ms();
        let is_of = |key: &&KeyActor| key.stored.has_secret(&hash, now_ms);
        // A secret of our shape is found by its id. One of that shape that came from elsewhere, or that a key had once and another
        // has now, is found like any other import.
        let by_id = ApiKeySecret::parse(text).and_then(|id| tables.keys.get(&id)).filter(is_of);
        let Some(key) = by_id.or_else(|| tables.key_by_hash(&hash).filter(is_of)) else { return Held::Unknown };
        let principal = Arc::clone(&key.principal);
        if key.stored.info.is_expired(now_ms) {
            return Held::Refused(principal, "The API key has expired");
        }
        let restrictions = &key.stored.info.restrictions;
        if !restrictions.networks().is_empty() && !restrictions.allow_source(source.parse::<IpAddr>().ok()) {
            return Held::Refused(principal, "The API key may not be used from this network");
        }
        key.used.note(now_ms, source);
        Held::By(principal)
    }

    async fn record_refused(&self, principal: Arc<Principal>, reason: &str, source: &str) -> Result<()> {
        let outcome = AuditOutcome::Failure { reason: reason.to_owned(), error_code: "Unauthenticated".to_owned() };
        let event = self.key_use_event(principal, source, self.clock().now_ms());
        self.audit().refuse(AuditEvent { outcome, ..event }).await
    }

    /// The event of a key's use from an address, not yet closed.
    pub(crate) fn key_use_event(&self, principal: Arc<Principal>, source: &str, now_ms: u64) -> AuditEvent {
        let ctx = OpContext { principal, source: source.into(), user_agent: "".into(), ..OpContext::internal(Principal::System, now_ms) };
        let mut event = audit::open_event(&ctx, random_bytes(), "use", "api-key");
        (event.resource_id, event.resource_name) = (event.actor.principal_id.clone(), event.actor.principal_name.clone());
        self.place_event(&mut event, ctx.principal.organization_id());
        event
    }
}

impl StoredApiKey {
    /// Whether this is the hash of its secret, or of the one before for as long as that is accepted too.
    fn has_secret(&self, hash: &[u8; 32], now_ms: u64) -> bool {
        let is_current = bool::from(self.secret_hash.ct_eq(hash));
        let previous = self.info.previous.as_ref().filter(|p| now_ms < p.expires_at_ms).and(self.previous_hash.as_ref());
        is_current | previous.is_some_and(|p| bool::from(p.ct_eq(hash)))
    }
}
