//! The keys that data is sealed under. They never leave this crate as bytes: whoever holds one can seal, open and authenticate.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::{self, SALT, Sealer, TAG};

/// Bytes of a key that [`DataKey::seal_key`] sealed.
pub const SEALED_KEY: usize = SALT + 32 + TAG;

/// Names a key without telling anything of it: random, 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(crate) [u8; 16]);

impl KeyId {
    /// The id that was stored as these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A 256-bit key of an index, of a namespace or of a part of the system. Wiped from memory when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DataKey {
    #[zeroize(skip)]
    id: KeyId,
    bytes: [u8; 32],
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

/// What `open` answers when the bytes were changed, or were sealed under another key or for another context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value does not open: it was changed, or sealed for something else")]
pub struct NotAuthentic;

impl DataKey {
    /// A new random key that is in no key store: for tests of what is sealed under it.
    pub fn generate() -> Self {
        Self { id: KeyId(crypto::random_bytes()), bytes: crypto::random_bytes() }
    }

    pub(crate) fn from_parts(id: KeyId, bytes: [u8; 32]) -> Self {
        Self { id, bytes }
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Seals a small value (a catalog field, a secret) for a context, which must be given again to open it: say which table, column
    /// and row. Format: cipher (1) ‖ salt (32) ‖ ciphertext ‖ tag (16), 49 bytes longer than the value.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let (cipher, salt) = (crypto::current_cipher(), crypto::random_bytes::<SALT>());
        let mut out = Vec::with_capacity(1 + SALT + plain.len() + TAG);
        out.push(cipher);
        out.extend_from_slice(&salt);
        out.extend_from_slice(plain);
        let tag = self.value_sealer(cipher, &salt).seal([0; 12], context, &mut out[1 + SALT..]);
        out.extend_from_slice(&tag);
        out
    }

    /// Opens what [`DataKey::seal`] made for the same context.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
        let (&cipher, rest) = sealed.split_first().ok_or(NotAuthentic)?;
        let (salt, body) = rest.split_first_chunk::<SALT>().ok_or(NotAuthentic)?;
        if !crypto::cipher_known(cipher) {
            return Err(NotAuthentic);
        }
        let mut plain = body.to_vec();
        let len = self.value_sealer(cipher, salt).open_in_place([0; 12], context, &mut plain).map_err(|_| NotAuthentic)?;
        plain.truncate(len);
        Ok(plain)
    }

    /// Seals another key for a context. Always encrypted, whatever cipher data is written with: salt (32) ‖ ciphertext (32) ‖ tag (16).
    pub fn seal_key(&self, context: &[u8], key: &DataKey) -> [u8; SEALED_KEY] {
        let salt = crypto::random_bytes::<SALT>();
        let mut out = [0; SEALED_KEY];
        out[..SALT].copy_from_slice(&salt);
        out[SALT..SALT + 32].copy_from_slice(&key.bytes);
        let sealer = Sealer::new(crypto::CIPHER_AES_256_GCM, &self.bytes, &salt, &[b"pinyon sealed key 1"]);
        let tag = sealer.seal([0; 12], &Self::key_context(context, key.id), &mut out[SALT..SALT + 32]);
        out[SALT + 32..].copy_from_slice(&tag);
        out
    }

    /// Opens the key of this id that [`DataKey::seal_key`] sealed for the same context.
    pub fn open_key(&self, context: &[u8], id: KeyId, sealed: &[u8; SEALED_KEY]) -> Result<DataKey, NotAuthentic> {
        let (salt, body) = sealed.split_first_chunk::<SALT>().ok_or(NotAuthentic)?;
        let mut key = Self { id, bytes: [0; 32] };
        Sealer::new(crypto::CIPHER_AES_256_GCM, &self.bytes, salt, &[b"pinyon sealed key 1"])
            .open([0; 12], &Self::key_context(context, id), &body[..32], &body[32..], &mut key.bytes)
            .map_err(|_| NotAuthentic)?;
        Ok(key)
    }

    fn key_context(context: &[u8], id: KeyId) -> Vec<u8> {
        [context, &id.0].concat()
    }

    fn value_sealer(&self, cipher: u8, salt: &[u8; SALT]) -> Sealer {
        Sealer::new(cipher, &self.bytes, salt, &[b"pinyon value 1"])
    }

    /// HMAC-SHA-256 of `data`, under a key of its own for each `purpose`: for secrets kept as hashes and rows that carry a MAC.
    pub fn mac(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        self.mac_for(purpose).of(data)
    }

    /// Whether `mac` is the MAC of `data`, compared in constant time.
    pub fn verify_mac(&self, purpose: &str, data: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.mac_key(purpose), data, mac).is_ok()
    }

    /// What makes the MACs of one `purpose`, the same as [`DataKey::mac`] does: for those that are made all the time.
    pub fn mac_for(&self, purpose: &str) -> Mac {
        Mac(self.mac_key(purpose))
    }

    fn mac_key(&self, purpose: &str) -> hmac::Key {
        let bytes = crypto::derive(&self.bytes, b"pinyon mac 1", &[purpose.as_bytes()]);
        hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref())
    }
}

/// Makes the MACs of one purpose. See [`DataKey::mac_for`].
pub struct Mac(hmac::Key);

impl Mac {
    /// HMAC-SHA-256 of `data`.
    pub fn of(&self, data: &[u8]) -> [u8; 32] {
        hmac::sign(&self.0, data).as_ref().try_into().expect("an HMAC-SHA-256 has 32 bytes")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_for_its_key_and_context_only() {
        let key = DataKey::generate();
        let sealed = key.seal(b"keys/name/7", b"production");
        assert_eq!(key.open(b"keys/name/7", &sealed).unwrap(), b"production");
        assert_eq!(key.open(b"keys/name/8", &sealed), Err(NotAuthentic));
        assert_eq!(DataKey::generate().open(b"keys/name/7", &sealed), Err(NotAuthentic));
        assert!(!sealed.windows(4).any(|w| w == b"prod"));
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(b"keys/name/7", &bad), Err(NotAuthentic), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert_eq!(key.open(b"keys/name/7", &sealed[..len]), Err(NotAuthentic), "length {len}");
        }
    }

    #[test]
    fn a_sealed_key_opens_for_its_context_and_id_only() {
        let (above, key) = (DataKey::generate(), DataKey::generate());
        let sealed = above.seal_key(b"backup 7", &key);
        assert_eq!(above.open_key(b"backup 7", key.id(), &sealed).unwrap().bytes(), key.bytes());
        assert!(above.open_key(b"backup 8", key.id(), &sealed).is_err());
        assert!(above.open_key(b"backup 7", above.id(), &sealed).is_err());
        assert!(key.open_key(b"backup 7", key.id(), &sealed).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(above.open_key(b"backup 7", key.id(), &bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_mac_is_of_its_purpose_and_key() {
        let key = DataKey::generate();
        let mac = key.mac("role", b"admin");
        assert!(key.verify_mac("role", b"admin", &mac));
        assert_eq!(key.mac_for("role").of(b"admin"), mac);
        assert_ne!(key.mac_for("secret").of(b"admin"), mac);
        assert!(!key.verify_mac("secret", b"admin", &mac));
        assert!(!key.verify_mac("role", b"admix", &mac));
        assert!(!DataKey::generate().verify_mac("role", b"admin", &mac));
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        let key = DataKey::from_parts(KeyId([1; 16]), [0xab; 32]);
        assert_eq!(format!("{key:?}"), format!("DataKey({})", "01".repeat(16)));
    }
}
