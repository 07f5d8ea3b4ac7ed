use pinyon_model::{OrganizationId, ProjectId};

/// Who owns projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
}

/// Who owns indexes and API keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Its name, 1 to 512 bytes.
    pub name: String,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
}

impl Project {
    /// The seven letters and digits that stand for the project in its indexes' host names.
    pub fn short_id(&self) -> String {
        short_id(self.id)
    }
}

/// The first 35 bits of the id as lower-case base32 (`a`-`z`, `2`-`7`).
pub fn short_id(id: ProjectId) -> String {
    let b = id.as_bytes();
    let bits = u64::from_be_bytes([0, 0, 0, b[0], b[1], b[2], b[3], b[4]]) >> 5;
    (0..7).rev().map(|i| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(bits >> (5 * i) & 31) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids() {
        assert_eq!(short_id(ProjectId::from_bytes([0; 16])), "aaaaaaa");
        assert_eq!(short_id(ProjectId::from_bytes([255; 16])), "7777777");
        let mut bytes = [0; 16];
        bytes[4] = 0b0010_0000;
        assert_eq!(short_id(ProjectId::from_bytes(bytes)), "aaaaaab");
        bytes[0] = 0b0000_1000;
        assert_eq!(short_id(ProjectId::from_bytes(bytes)), "baaaaab");
    }
}
