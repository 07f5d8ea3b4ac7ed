//! Secrets that prove who somebody is: `PREFIX<id>_<secret><checksum>`.
//!
//! ```text
//! prefix ‖ id: 22 base62 digits of 16 bytes ‖ _ ‖ 43 base62 digits of 256 random bits ‖ 6 base62 digits of a checksum
//! ```
//! The checksum is the first four bytes of the SHA-256 of everything before it, so that a scanner can tell a real secret from a
//! look-alike without asking anybody. Only a keyed hash of the whole text is stored.

use std::fmt;

use aws_lc_rs::digest;
use pinyon_model::{ApiKeyId, Error, InviteId, Result, ServiceAccountId};
use pinyon_storage::random_bytes;
use zeroize::Zeroizing;

const ID_DIGITS: usize = 22;
const SECRET_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;
const IMPORTED_LEN_MAX: usize = 512;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

macro_rules! secrets {
    ($($(#[$doc:meta])* $name:ident of $id:ident by $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Zeroizing<String>);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl $name {
            /// How one begins.
            pub(crate) const PREFIX: &str = $prefix;

            /// A new one.
            pub(crate) fn generate(id: $id) -> Self {
                Self(generate(Self::PREFIX, id.as_bytes()))
            }

            /// Whose it claims to be, when the text has our shape and its checksum holds.
            pub(crate) fn parse(text: &str) -> Option<$id> {
                parse(Self::PREFIX, text).map($id::from_bytes)
            }

            /// The text itself: shown once, to whoever made it.
            pub fn reveal(&self) -> &str {
                &self.0
            }
        }
    )*};
}

secrets! {
    /// What proves who holds an API key. Zeroised when dropped; prints as nothing telling.
    ApiKeySecret of ApiKeyId by "pcsk_";
    /// What a service account gets its tokens for. Zeroised when dropped; prints as nothing telling.
    ClientSecret of ServiceAccountId by "pinyon_cs_";
    /// What accepts an invite. Zeroised when dropped; prints as nothing telling.
    InviteToken of InviteId by "pinyon_it_";
}

impl ApiKeySecret {
    /// An existing secret of any printable shape, 8 to 512 characters without spaces.
    pub fn import(text: &str) -> Result<Self> {
        if !(8..=IMPORTED_LEN_MAX).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::invalid(format!("An imported secret has 8 to {IMPORTED_LEN_MAX} printable ASCII characters and no spaces")));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// What may be shown of it later: its first characters.
    pub(crate) fn hint(&self) -> String {
        let shown = if Self::parse(&self.0).is_some() { Self::PREFIX.len() + 6 } else { 4 };
        self.0.chars().take(shown).collect()
    }
}

fn generate(prefix: &str, id: &[u8; 16]) -> Zeroizing<String> {
    let random: Zeroizing<[u8; 32]> = Zeroizing::new(random_bytes());
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + ID_DIGITS + 1 + SECRET_DIGITS + CHECKSUM_DIGITS));
    text.push_str(prefix);
    push_base62(&mut text, id, ID_DIGITS);
    text.push('_');
    push_base62(&mut text, &*random, SECRET_DIGITS);
    let checksum = checksum(&text);
    text.push_str(&checksum);
    text
}

fn parse(prefix: &str, text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != prefix.len() + ID_DIGITS + 1 + SECRET_DIGITS + CHECKSUM_DIGITS || !text.is_ascii() || !text.starts_with(prefix) {
        return None;
    }
    let (body, sum) = text.split_at(text.len() - CHECKSUM_DIGITS);
    if bytes[prefix.len() + ID_DIGITS] != b'_' || checksum(body) != sum {
        return None;
    }
    from_base62(&bytes[prefix.len()..prefix.len() + ID_DIGITS])
}

fn checksum(body: &str) -> String {
    let digest = digest::digest(&digest::SHA256, body.as_bytes());
    let mut out = String::with_capacity(CHECKSUM_DIGITS);
    push_base62(&mut out, &digest.as_ref()[..4], CHECKSUM_DIGITS);
    out
}

/// Appends a big-endian number as exactly `digits` base62 digits, most significant first.
fn push_base62(out: &mut String, bytes: &[u8], digits: usize) {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut text = Zeroizing::new(vec![b'0'; digits]);
    for slot in text.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in number.iter_mut() {
            let n = rest << 8 | u32::from(*byte);
            *byte = (n / 62) as u8;
            rest = n % 62;
        }
        *slot = DIGITS[rest as usize];
    }
    out.extend(text.iter().map(|&b| char::from(b)));
}

/// Reads digits back as 16 bytes; none when a digit is not one or the number is too large.
fn from_base62(digits: &[u8]) -> Option<[u8; 16]> {
    let mut number = 0u128;
    for digit in digits {
        let value = DIGITS.iter().position(|d| d == digit)?;
        number = number.checked_mul(62)?.checked_add(value as u128)?;
    }
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_and_id_read_back() {
        for bytes in [[0; 16], [255; 16], random_bytes()] {
            let id = ApiKeyId::from_bytes(bytes);
            let secret = ApiKeySecret::generate(id);
            assert_eq!(secret.reveal().len(), 77);
            assert_eq!(ApiKeySecret::parse(secret.reveal()), Some(id));
            assert!(secret.reveal()[5..].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            assert_eq!(format!("{secret:?}"), "ApiKeySecret(..)");
            let other = ClientSecret::generate(ServiceAccountId::from_bytes(bytes));
            assert_eq!(ClientSecret::parse(other.reveal()), Some(ServiceAccountId::from_bytes(bytes)));
            assert_eq!((ApiKeySecret::parse(other.reveal()), InviteToken::parse(other.reveal())), (None, None));
        }
    }

    #[test]
    fn a_changed_character_is_noticed() {
        let secret = ApiKeySecret::generate(ApiKeyId::from_bytes([7; 16]));
        let text = secret.reveal();
        for i in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[i] = if changed[i] == b'a' { b'b' } else { b'a' };
            assert_eq!(ApiKeySecret::parse(std::str::from_utf8(&changed).unwrap()), None, "character {i}");
        }
        assert_eq!(ApiKeySecret::parse(""), None);
        assert_eq!(ApiKeySecret::parse("pcsk_é"), None);
    }

    #[test]
    fn imports() {
        assert!(ApiKeySecret::import("pcsk_abc_DEF").is_ok());
        for bad in ["", "short", "with space", "tab\tin it", "é1234567", &"x".repeat(513)] {
            assert!(ApiKeySecret::import(bad).is_err(), "{bad}");
        }
    }
}
