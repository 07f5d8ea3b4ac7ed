use std::fmt;

use crate::{Error, Result, excerpt};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// An id of these 16 bytes; with random bytes it is a version-4 UUID.
            pub fn from_random(mut bytes: [u8; 16]) -> Self {
                bytes[6] = bytes[6] & 0x0f | 0x40;
                bytes[8] = bytes[8] & 0x3f | 0x80;
                Self(bytes)
            }
            /// The id that was stored as these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
            /// 32 lower-case hexadecimal digits: the id as the name of a file or folder.
            pub fn hex(&self) -> String {
                digits(&self.0).into_iter().map(char::from).collect()
            }
            /// Reads either spelling: 32 hexadecimal digits, or a UUID with its four hyphens.
            pub fn parse(text: &str) -> Result<Self> {
                parse(text).map(Self).ok_or_else(|| Error::invalid(format!("'{}' is not a valid id (expected a UUID)", excerpt(text))))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let digits = digits(&self.0);
                let mut text = [b'-'; 36];
                for (part, at) in [(0..8, 0), (8..12, 9), (12..16, 14), (16..20, 19), (20..32, 24)] {
                    text[at..at + part.len()].copy_from_slice(&digits[part]);
                }
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    )*};
}

ids! {
    /// An organization: who owns projects.
    OrganizationId,
    /// A project: who owns indexes and API keys.
    ProjectId,
    /// An index; a new index of an old name has a new id.
    IndexId,
    /// One incarnation of a namespace; a namespace made again under an old name has a new id.
    NamespaceId,
    /// An API key, not its secret.
    ApiKeyId,
    /// A service account, not its secret.
    ServiceAccountId,
    /// A user: one person in one organization.
    UserId,
    /// An invite to an organization.
    InviteId,
    /// One grant of a role.
    RoleBindingId,
    /// A backup of an index, or a collection.
    BackupId,
    /// A private endpoint of a project; the cloud has an id of its own for it.
    PrivateEndpointId,
    /// A customer-managed encryption key.
    CmekId,
    /// Something that was deleted and is kept.
    DeletedId,
    /// A restore of a backup into a new index.
    RestoreJobId,
    /// A backup schedule of an index.
    BackupScheduleId,
    /// A stored object (a segment, a manifest, a log file): random, also the object's name.
    ObjectId,
}

fn digits(bytes: &[u8; 16]) -> [u8; 32] {
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    digits
}

fn parse(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    let mut digits = [0u8; 32];
    match bytes.len() {
        32 => digits.copy_from_slice(bytes),
        36 => {
            let mut n = 0;
            for (i, &b) in bytes.iter().enumerate() {
                if matches!(i, 8 | 13 | 18 | 23) {
                    if b != b'-' {
                        return None;
                    }
                } else {
                    digits[n] = b;
                    n += 1;
                }
            }
        }
        _ => return None,
    }
    let mut out = [0u8; 16];
    for (o, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *o = hex(pair[0])? << 4 | hex(pair[1])?;
    }
    Some(out)
}

fn hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_read_back() {
        let id = IndexId::from_random([7; 16]);
        assert_eq!(IndexId::parse(&id.to_string()).unwrap(), id);
        assert_eq!(IndexId::parse(&id.hex()).unwrap(), id);
        assert_eq!(id.to_string().as_bytes()[14], b'4', "version 4");
        let every = IndexId::from_bytes(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10");
        assert_eq!((&*every.to_string(), &*every.hex()), ("01234567-89ab-cdef-fedc-ba9876543210", "0123456789abcdeffedcba9876543210"));
        for bad in ["", "g", &"0".repeat(31), &"0".repeat(36), "ééééééééééééééééé "] {
            assert!(IndexId::parse(bad).is_err(), "{bad}");
        }
    }
}
