//! The one place that encrypts. AES-256-GCM under a key that is derived, by HKDF-SHA-256 with a fresh 32-byte salt, for one file, one
//! object or one small value; so a nonce is a counter, and no (key, nonce) is ever used twice.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

/// Bytes of an authentication tag.
pub(crate) const TAG: usize = 16;
/// Bytes of a salt.
pub(crate) const SALT: usize = 32;

/// The number of the one cipher.
pub(crate) const CIPHER_AES_256_GCM: u8 = 1;
/// Authenticated but readable: for tests that must see plaintext found. Unknown to a normal build.
#[cfg(any(test, feature = "faults"))]
pub(crate) const CIPHER_NULL: u8 = 0;
/// No cipher at all: for the bench that tells what the other costs. Unknown to a normal build.
#[cfg(feature = "unsealed")]
const CIPHER_NONE: u8 = 255;

/// `N` random bytes from the operating system: for ids, salts and secrets.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

struct Len32;
impl hkdf::KeyType for Len32 {
    fn len(&self) -> usize {
        32
    }
}

/// 32 bytes derived from a key, a salt and what they are for.
pub(crate) fn derive(key: &[u8; 32], salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key);
    prk.expand(info, Len32).and_then(|okm| okm.fill(out.as_mut())).expect("32 bytes are within HKDF's bounds");
    out
}

/// The cipher new data is sealed with.
pub(crate) fn current_cipher() -> u8 {
    #[cfg(any(test, feature = "faults"))]
    if crate::faults::null_cipher() {
        return CIPHER_NULL;
    }
    #[cfg(feature = "unsealed")]
    if crate::unsealed::is_on() {
        return CIPHER_NONE;
    }
    CIPHER_AES_256_GCM
}

/// Whether this build can open data sealed with cipher number `cipher`.
pub(crate) fn cipher_known(cipher: u8) -> bool {
    #[cfg(any(test, feature = "faults"))]
    if cipher == CIPHER_NULL {
        return true;
    }
    #[cfg(feature = "unsealed")]
    if cipher == CIPHER_NONE {
        return true;
    }
    cipher == CIPHER_AES_256_GCM
}

/// A key that seals one file, object or value, and the cipher it does it with.
pub(crate) struct Sealer {
    key: LessSafeKey,
    #[cfg(any(test, feature = "faults"))]
    fingerprint: [u8; 16],
    #[cfg(any(test, feature = "faults"))]
    null: bool,
    #[cfg(feature = "unsealed")]
    none: bool,
}

/// What did not open: wrong key, or changed bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAuthentic;

impl Sealer {
    /// The key derived from `key` and `salt` for the purpose `info`. `cipher` must be known.
    pub(crate) fn new(cipher: u8, key: &[u8; 32], salt: &[u8; SALT], info: &[&[u8]]) -> Self {
        debug_assert!(cipher_known(cipher), "the caller checked the cipher");
        let bytes = derive(key, salt, info);
        let unbound = UnboundKey::new(&aead::AES_256_GCM, bytes.as_ref()).expect("32 bytes are an AES-256 key");
        Self {
            key: LessSafeKey::new(unbound),
            #[cfg(any(test, feature = "faults"))]
            fingerprint: {
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes.as_ref());
                hash.as_ref()[..16].try_into().expect("a hash has 32 bytes")
            },
            #[cfg(any(test, feature = "faults"))]
            null: cipher == CIPHER_NULL,
            #[cfg(feature = "unsealed")]
            none: cipher == CIPHER_NONE,
        }
    }

    /// Encrypts `data` where it lies and returns the tag.
    pub(crate) fn seal(&self, nonce: [u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; TAG] {
        #[cfg(any(test, feature = "faults"))]
        {
            crate::faults::record_seal(self.fingerprint, nonce, aad, data);
            if self.null {
                return self.tag(nonce, &[aad, data].concat(), &mut []);
            }
        }
        #[cfg(feature = "unsealed")]
        if self.none {
            return [0; TAG];
        }
        self.tag(nonce, aad, data)
    }

    fn tag(&self, nonce: [u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; TAG] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(aad), data).expect("within AES-GCM's length bound");
        tag.as_ref().try_into().expect("a GCM tag has 16 bytes")
    }

    /// Decrypts `data` into `out` (of the same length) if it is authentic; else `out` holds nothing of use.
    pub(crate) fn open(&self, nonce: [u8; 12], aad: &[u8], data: &[u8], tag: &[u8], out: &mut [u8]) -> Result<(), NotAuthentic> {
        debug_assert_eq!(data.len(), out.len());
        #[cfg(any(test, feature = "faults"))]
        if self.null {
            let same = aws_lc_rs::constant_time::verify_slices_are_equal(&self.tag(nonce, &[aad, data].concat(), &mut []), tag);
            out.copy_from_slice(data);
            return same.map_err(|_| NotAuthentic);
        }
        #[cfg(feature = "unsealed")]
        if self.none {
            out.copy_from_slice(data);
            return Ok(());
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.open_separate_gather(nonce, Aad::from(aad), data, tag, out).map_err(|_| NotAuthentic)
    }

    /// Decrypts ciphertext ‖ tag where it lies and returns the plaintext's length.
    pub(crate) fn open_in_place(&self, nonce: [u8; 12], aad: &[u8], data: &mut [u8]) -> Result<usize, NotAuthentic> {
        #[cfg(any(test, feature = "faults"))]
        if self.null {
            let (plain, tag) = data.split_last_chunk::<TAG>().ok_or(NotAuthentic)?;
            let same = aws_lc_rs::constant_time::verify_slices_are_equal(&self.tag(nonce, &[aad, plain].concat(), &mut []), tag);
            return same.map(|()| plain.len()).map_err(|_| NotAuthentic);
        }
        #[cfg(feature = "unsealed")]
        if self.none {
            return Ok(data.len() - TAG);
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.open_in_place(nonce, Aad::from(aad), data).map(|plain| plain.len()).map_err(|_| NotAuthentic)
    }
}

/// A nonce from a counter.
pub(crate) fn counter_nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}
