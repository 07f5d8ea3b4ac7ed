//! Other people's keys, as `cloud` reaches them.

use std::fmt;

use pinyon_model::{CustomerKey, OrganizationId, ProjectId};
use pinyon_storage::random_bytes;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// What seals a few bytes under a key that never leaves its house: a key of AWS KMS, of Vault's Transit, of GCP or Azure.
#[async_trait::async_trait]
pub trait KeyProvider: Send + Sync {
    /// What its house says of the key, where we may ask: whether it is of a kind that can be used, and in use.
    async fn check(&self, key: &CustomerKey) -> Result<(), KeyFault> {
        let _ = key;
        Ok(())
    }
    /// Seals `plain`, so that it opens with the same context alone.
    async fn encrypt(&self, key: &CustomerKey, context: &KeyContext, plain: &KeyHalf) -> Result<Vec<u8>, KeyFault>;
    /// Opens what [`Self::encrypt`] answered. The key is asked each time: an answer says that it may be used now.
    async fn decrypt(&self, key: &CustomerKey, context: &KeyContext, sealed: &[u8]) -> Result<KeyHalf, KeyFault>;
}

/// Why a key could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFault {
    /// It was refused: no permission for the role or the key, disabled, gone, in another region, or what was sealed is not what it sealed.
    Denied(String),
    /// Nobody answered, or asked for patience: time-outs, throttling, faults of the other side, a network that is not there.
    Unreachable(String),
}

impl KeyFault {
    pub(crate) fn reason(&self) -> &str {
        let (KeyFault::Denied(why) | KeyFault::Unreachable(why)) = self;
        why
    }
}

/// What a sealed key is bound to, and what the key's owner reads in its log of uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyContext {
    /// Whose.
    pub organization: OrganizationId,
    /// For which project.
    pub project: ProjectId,
}

impl KeyContext {
    /// Names and values, as providers want them.
    pub fn pairs(&self) -> [(&'static str, String); 2] {
        [("pinyon:organization", self.organization.to_string()), ("pinyon:project", self.project.to_string())]
    }
}

/// What a provider seals: one of two halves of a project key, which without the other, kept in the key store, says nothing. So
/// neither the provider nor a buffer that its answer passed through holds a key. Wiped when dropped; prints as nothing telling.
#[derive(Clone)]
pub struct KeyHalf(Box<Zeroizing<[u8; 32]>>);

impl fmt::Debug for KeyHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHalf(..)")
    }
}

impl KeyHalf {
    /// What a provider answered; none if that has not 32 bytes. The bytes given are wiped.
    pub fn take(mut bytes: Vec<u8>) -> Option<Self> {
        let mut half = Box::new(Zeroizing::new([0; 32]));
        let fits = bytes.len() == half.len();
        if fits {
            half.copy_from_slice(&bytes);
        }
        bytes.zeroize();
        fits.then_some(Self(half))
    }

    /// The bytes, for the provider.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key in two halves: one for the provider, one to keep.
    pub(super) fn split(key: &[u8; 32]) -> (Self, [u8; 32]) {
        let kept: [u8; 32] = random_bytes();
        (Self(Self::xor(key, &kept)), kept)
    }

    /// The key again.
    pub(super) fn join(&self, kept: &[u8; 32]) -> Box<Zeroizing<[u8; 32]>> {
        Self::xor(&self.0, kept)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    /// On the heap, so that no copy stays on a stack.
    fn xor(a: &[u8; 32], b: &[u8; 32]) -> Box<Zeroizing<[u8; 32]>> {
        let mut out = Box::new(Zeroizing::new([0; 32]));
        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = a ^ b);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_make_the_key_and_neither_is_it() {
        let key = [7; 32];
        let (given, kept) = KeyHalf::split(&key);
        assert_eq!(**given.join(&kept), key);
        assert!(given.expose() != &key && kept != key);
        let (other, _) = KeyHalf::split(&key);
        assert!(given.is(&given.clone()) && !given.is(&other), "a fresh half each time");
        assert_eq!(format!("{given:?}"), "KeyHalf(..)");
    }

    #[test]
    fn an_answer_has_32_bytes() {
        assert_eq!(KeyHalf::take(vec![3; 32]).unwrap().expose(), &[3; 32]);
        for len in [0, 31, 33] {
            assert!(KeyHalf::take(vec![3; len]).is_none(), "{len}");
        }
    }
}
