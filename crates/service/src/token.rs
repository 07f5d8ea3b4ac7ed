//! Access tokens: what a service account gets for its secret, and shows instead of it for half an hour.
//!
//! ```text
//! pinyon_at_ ‖ base64url( account id: 16 bytes ‖ secret number u32 ‖ expires at, ms since 1970: u64 ‖ HMAC-SHA-256 of these )
//! ```
//! Nothing of it is believed without the MAC, and what it allows is read when it is used: a token dies with its account and with
//! the secret it was got for.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pinyon_model::{Error, ErrorCode, Principal, Result, ServiceAccountId};
use pinyon_storage::Mac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    ClientSecret, OpContext, Service,
    authorize::{Action, Named, Place},
    codec::{Reader, Writer},
};

/// How a token begins.
pub(crate) const PREFIX: &str = "pinyon_at_";
const VALID_MS: u64 = 30 * 60 * 1_000;
const BODY: usize = 16 + 4 + 8;
const TEXT_LEN: usize = PREFIX.len() + (BODY + 32) * 4 / 3;

/// A token. Zeroised when dropped; prints as nothing telling.
#[derive(Clone)]
pub struct AccessToken(Zeroizing<String>);

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

impl AccessToken {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A token that was just made.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The token.
    pub token: AccessToken,
    /// For how many seconds it is accepted.
    pub expires_in_s: u64,
}

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claims {
    account: ServiceAccountId,
    secret_number: u32,
    expires_at_ms: u64,
}

impl Claims {
    fn seal(&self, mac: &Mac) -> AccessToken {
        let mut w = Writer::default();
        w.raw(self.account.as_bytes()).u32(self.secret_number).u64(self.expires_at_ms);
        let body = w.finish();
        let tag = mac.of(&body);
        let mut text = Zeroizing::new(String::with_capacity(TEXT_LEN));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string([&body[..], &tag].concat(), &mut text);
        AccessToken(text)
    }

    /// What the text says, if this installation made it.
    fn open(text: &str, mac: &Mac) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX).filter(|_| text.len() == TEXT_LEN)?;
        let mut bytes = [0; BODY + 32];
        let n = URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        let (body, tag) = bytes.split_at(BODY);
        if n != bytes.len() || !bool::from(mac.of(body)[..].ct_eq(tag)) {
            return None;
        }
        let mut r = Reader::new("An access token", body);
        let read = |r: &mut Reader<'_>| -> Result<Self> {
            Ok(Self { account: ServiceAccountId::from_bytes(r.array()?), secret_number: r.u32()?, expires_at_ms: r.u64()? })
        };
        read(&mut r).ok()
    }
}

impl Service {
    /// A token for a service account that shows its secret. `source` is the caller's address, which refusals are counted by.
    pub async fn issue_token(&self, client_id: &str, client_secret: &str, source: &str) -> Result<IssuedToken> {
        let hash = self.secret_hasher().of(client_secret.as_bytes());
        let found = ServiceAccountId::parse(client_id).ok().filter(|id| ClientSecret::parse(client_secret) == Some(*id)).and_then(|id| {
            let tables = self.catalog().tables();
            let account = tables.service_accounts.get(&id)?;
            bool::from(account.stored.secret_hash.ct_eq(&hash)).then(|| account.clone())
        });
        let Some(account) = found else {
            self.audit().unknown_key(source);
            return Err(Error::new(ErrorCode::Unauthenticated, "client_id or client_secret is wrong"));
        };
        let now_ms = self.clock().now_ms();
        let ctx = OpContext { source: source.into(), ..OpContext::internal(Principal::System, now_ms) };
        let info = &account.stored.info;
        let scope = Named { place: Place::Organization(info.organization_id), id: info.id.to_string(), kind: "service account" };
        let mut authorized = self.authorize(&ctx, Action::CreateToken, scope).await?;
        authorized.name(info.id.to_string(), info.name.clone());
        authorized.by(&account.principal);
        let claims = Claims {
            account: account.stored.info.id,
            secret_number: account.stored.secret_number,
            expires_at_ms: now_ms.saturating_add(VALID_MS),
        };
        let issued = IssuedToken { token: claims.seal(self.token_mac()), expires_in_s: VALID_MS / 1_000 };
        authorized.close(Ok(issued)).await
    }

    /// The service account that a token was given to, as long as it is accepted.
    pub(crate) fn token_holder(&self, text: &str) -> Option<Arc<Principal>> {
        let claims = Claims::open(text, self.token_mac())?;
        let tables = self.catalog().tables();
        let account = tables.service_accounts.get(&claims.account)?;
        let well = account.stored.secret_number == claims.secret_number && self.clock().now_ms() < claims.expires_at_ms;
        well.then(|| Arc::clone(&account.principal))
    }
}

#[cfg(test)]
mod tests {
    use pinyon_storage::{DataKey, random_bytes};

    use super::*;

    #[test]
    fn a_token_reads_back_and_no_changed_one_does() {
        let mac = DataKey::generate().mac_for("access token");
        let other = DataKey::generate().mac_for("access token");
        let claims = Claims { account: ServiceAccountId::from_random(random_bytes()), secret_number: 3, expires_at_ms: 1 << 40 };
        let token = claims.seal(&mac);
        assert_eq!(token.reveal().len(), TEXT_LEN);
        assert_eq!((Claims::open(token.reveal(), &mac), Claims::open(token.reveal(), &other)), (Some(claims), None));
        assert_eq!(format!("{token:?}"), "AccessToken(..)");
        for i in 0..TEXT_LEN {
            let mut changed = token.reveal().as_bytes().to_vec();
            changed[i] = if changed[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(Claims::open(std::str::from_utf8(&changed).unwrap(), &mac), None, "character {i}");
        }
        for bad in ["", PREFIX, &token.reveal()[..TEXT_LEN - 1], &format!("{}A", token.reveal()), "pinyon_at_é"] {
            assert_eq!(Claims::open(bad, &mac), None, "{bad}");
        }
    }
}
