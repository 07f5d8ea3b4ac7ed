//! Who a caller is, by what it shows.

use std::sync::Arc;

use pinyon_model::{Plane, Principal, Result};
use subtle::ConstantTimeEq;

use crate::{ApiKeySecret, AuthMode, Service, authorize, authorize::invalid_api_key};

const SECRET_LEN_MAX: usize = 512;

impl Service {
    /// Who holds this credential, an API key's secret or the token of a service account or a user, on this side of the API. `source` is the caller's
    /// address, which unknown credentials are counted by. What was revoked is unknown from the moment its revocation is answered.
    pub async fn authenticate(&self, plane: Plane, credential: Option<&str>, source: &str) -> Result<Arc<Principal>> {
        if let Some(principal) = credential.and_then(|text| self.holder(text)).filter(|p| authorize::admits(plane, p)) {
            return Ok(principal);
        }
        if self.auth() == AuthMode::AnyKey && plane != Plane::Admin {
            return Ok(self.any_key_principal());
        }
        self.audit().unknown_key(source);
        Err(invalid_api_key())
    }

    fn holder(&self, text: &str) -> Option<Arc<Principal>> {
        if text.is_empty() || text.len() > SECRET_LEN_MAX {
            return None;
        }
        if let Some(principal) = self.token_holder(text) {
            return Some(principal);
        }
        let hash = self.secret_hasher().of(text.as_bytes());
        let tables = self.catalog().tables();
        // A secret of our shape is found by its id. One of that shape that came from elsewhere is found like any other import.
        let by_id = ApiKeySecret::parse(text).and_then(|id| tables.keys.get(&id));
        let key = by_id.or_else(|| tables.key_by_hash(&hash))?;
        bool::from(key.stored.secret_hash.ct_eq(&hash)).then(|| Arc::clone(&key.principal))
    }
}
