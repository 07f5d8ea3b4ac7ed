//! Access tokens: what a service account gets for its secret and a user for its password, to be shown instead: for half an hour, for
//! twelve hours.
//!
//! ```text
//! pinyon_at_ ‖ base64url( account id: 16 bytes ‖ secret number u32 ‖ expires at, ms since 1970: u64 ‖ HMAC-SHA-256 of these )
//! pinyon_ut_ ‖ base64url( user id: 16 bytes ‖ session number u32 ‖ expires at, ms since 1970: u64 ‖ HMAC-SHA-256 of pinyon_ut_ and these )
//! ```
//! Nothing of it is believed without the MAC, and what it allows is read when it is used: a token dies with its holder and with
//! the secret or the password it was got for.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pinyon_model::{Error, ErrorCode, Principal, Result, ServiceAccountId, UserId};
use pinyon_storage::Mac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    ClientSecret, OpContext, Service,
    authorize::{Action, Named, Place},
    codec::{Reader, Writer},
};

/// How a service account's token begins.
const ACCOUNT_PREFIX: &str = "pinyon_at_";
/// How a user's token begins; as long.
const USER_PREFIX: &str = "pinyon_ut_";
const ACCOUNT_VALID_MS: u64 = 30 * 60 * 1_000;
const USER_VALID_MS: u64 = 12 * 60 * 60 * 1_000;
const BODY: usize = 16 + 4 + 8;
const TEXT_LEN: usize = ACCOUNT_PREFIX.len() + (BODY + 32) * 4 / 3;

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

/// Whose a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    ServiceAccount(ServiceAccountId),
    User(UserId),
}

impl Holder {
    fn prefix(self) -> &'static str {
        match self {
            Holder::ServiceAccount(_) => ACCOUNT_PREFIX,
            Holder::User(_) => USER_PREFIX,
        }
    }

    fn as_bytes(&self) -> &[u8; 16] {
        match self {
            Holder::ServiceAccount(id) => id.as_bytes(),
            Holder::User(id) => id.as_bytes(),
        }
    }

    /// What the MAC is of: it tells the two kinds apart.
    fn mac(self, mac: &Mac, body: &[u8]) -> [u8; 32] {
        match self {
            Holder::ServiceAccount(_) => mac.of(body),
            Holder::User(_) => mac.of(&[USER_PREFIX.as_bytes(), body].concat()),
        }
    }
}

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claims {
    holder: Holder,
    /// The number of the secret, or of the user's sessions, that it belongs to.
    number: u32,
    expires_at_ms: u64,
}

impl Claims {
    fn seal(&self, mac: &Mac) -> AccessToken {
        let mut w = Writer::default();
        w.raw(self.holder.as_bytes()).u32(self.number).u64(self.expires_at_ms);
        let body = w.finish();
        let tag = self.holder.mac(mac, &body);
        let mut text = Zeroizing::new(String::with_capacity(TEXT_LEN));
        text.push_str(self.holder.prefix());
        URL_SAFE_NO_PAD.encode_string([&body[..], &tag].concat(), &mut text);
        AccessToken(text)
    }

    /// What the text says, if this installation made it.
    fn open(text: &str, mac: &Mac) -> Option<Self> {
        let (prefix, encoded) = text.split_at_checked(ACCOUNT_PREFIX.len()).filter(|_| text.len() == TEXT_LEN)?;
        let holder: fn([u8; 16]) -> Holder = match prefix {
            ACCOUNT_PREFIX => |id| Holder::ServiceAccount(ServiceAccountId::from_bytes(id)),
            USER_PREFIX => |id| Holder::User(UserId::from_bytes(id)),
            _ => return None,
        };
        let mut bytes = [0; BODY + 32];
        let n = URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        let (body, tag) = bytes.split_at(BODY);
        let mut r = Reader::new("An access token", body);
        let read =
            |r: &mut Reader<'_>| -> Result<Self> { Ok(Self { holder: holder(r.array()?), number: r.u32()?, expires_at_ms: r.u64()? }) };
        let claims = read(&mut r).ok()?;
        (n == bytes.len() && bool::from(claims.holder.mac(mac, body)[..].ct_eq(tag))).then_some(claims)
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
            holder: Holder::ServiceAccount(account.stored.info.id),
            number: account.stored.secret_number,
            expires_at_ms: now_ms.saturating_add(ACCOUNT_VALID_MS),
        };
        let issued = IssuedToken { token: claims.seal(self.token_mac()), expires_in_s: ACCOUNT_VALID_MS / 1_000 };
        authorized.close(Ok(issued)).await
    }

    /// A token for a user with these sessions, who proved who it is.
    pub(crate) fn user_token(&self, user: UserId, session_number: u32, now_ms: u64) -> IssuedToken {
        let expires_at_ms = now_ms.saturating_add(USER_VALID_MS);
        let claims = Claims { holder: Holder::User(user), number: session_number, expires_at_ms };
        IssuedToken { token: claims.seal(self.token_mac()), expires_in_s: USER_VALID_MS / 1_000 }
    }

    /// The service account or user that a token was given to, as long as it is accepted.
    pub(crate) fn token_holder(&self, text: &str) -> Option<Arc<Principal>> {
        let claims = Claims::open(text, self.token_mac())?;
        let tables = self.catalog().tables();
        let (number, principal) = match claims.holder {
            Holder::ServiceAccount(id) => tables.service_accounts.get(&id).map(|a| (a.stored.secret_number, &a.principal))?,
            Holder::User(id) => tables.users.get(&id).map(|u| (u.stored.session_number, &u.principal))?,
        };
        (number == claims.number && self.clock().now_ms() < claims.expires_at_ms).then(|| Arc::clone(principal))
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
        let account = Holder::ServiceAccount(ServiceAccountId::from_random(random_bytes()));
        let user = Holder::User(UserId::from_random(random_bytes()));
        for holder in [account, user] {
            reads_back(Claims { holder, number: 3, expires_at_ms: 1 << 40 }, &mac, &other);
        }
    }

    fn reads_back(claims: Claims, mac: &Mac, other: &Mac) {
        let token = claims.seal(mac);
        assert_eq!(token.reveal().len(), TEXT_LEN);
        assert_eq!((Claims::open(token.reveal(), mac), Claims::open(token.reveal(), other)), (Some(claims), None));
        assert_eq!(format!("{token:?}"), "AccessToken(..)");
        for i in 0..TEXT_LEN {
            let mut changed = token.reveal().as_bytes().to_vec();
            changed[i] = if changed[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(Claims::open(std::str::from_utf8(&changed).unwrap(), mac), None, "character {i}");
        }
        let of_another_kind =
            token.reveal().replace("pinyon_at_", "pinyon_?_").replace("pinyon_ut_", "pinyon_at_").replace("pinyon_?_", "pinyon_ut_");
        for bad in ["", USER_PREFIX, &of_another_kind, &token.reveal()[..TEXT_LEN - 1], &format!("{}A", token.reveal()), "pinyon_at_é"] {
            assert_eq!(Claims::open(bad, mac), None, "{bad}");
        }
    }
}
