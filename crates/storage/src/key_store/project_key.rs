//! Project keys: the keys above a project's index and backup keys, which somebody else's key seals.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{DataKey, KeyId, crypto};

/// What the check value is a MAC for, and what it is of before the key's id.
const CHECK: &str = "pinyon project key check 1";

/// A project key on its way to or from its provider. Wiped from memory when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ProjectKey {
    #[zeroize(skip)]
    id: KeyId,
    bytes: [u8; 32],
}

impl fmt::Debug for ProjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProjectKey({})", self.id)
    }
}

impl ProjectKey {
    /// A new random key, in no store yet.
    pub fn generate() -> Self {
        Self { id: KeyId(crypto::random_bytes()), bytes: crypto::random_bytes() }
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key itself, for its provider to seal.
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    pub(super) fn data_key(&self) -> DataKey {
        DataKey::from_parts(self.id, self.bytes)
    }
}

/// Tells the right key from any other: a MAC of its id under itself.
pub(super) fn check_value(key: &DataKey) -> [u8; 32] {
    key.mac(CHECK, key.id().as_bytes())
}

pub(super) fn fits(key: &DataKey, check: &[u8; 32]) -> bool {
    key.verify_mac(CHECK, key.id().as_bytes(), check)
}
