use crate::{OrganizationId, ProjectAccess, ProjectId, Result, limits, name::display_name};

/// Who owns indexes and API keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Its name, 1 to 512 characters.
    pub name: String,
    /// Pods that its indexes may have.
    pub max_pods: u32,
    /// Whether its indexes must be under a key of the customer's.
    pub force_encryption_with_cmek: bool,
    /// From where it may be reached.
    pub access: ProjectAccess,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
}

impl Project {
    /// Reads a name: 1 to 512 printable characters.
    pub fn parse_name(text: &str) -> Result<String> {
        display_name("a project", text, limits::PROJECT_NAME_LEN_MAX)
    }

    /// The seven letters and digits that stand for the project in its indexes' host names.
    pub fn short_id(&self) -> String {
        self.id.short()
    }
}

impl ProjectId {
    /// The first 35 bits as lower-case base32 (`a`-`z`, `2`-`7`): seven letters and digits, for host names.
    pub fn short(self) -> String {
        let b = self.as_bytes();
        let bits = u64::from_be_bytes([0, 0, 0, b[0], b[1], b[2], b[3], b[4]]) >> 5;
        (0..7).rev().map(|i| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(bits >> (5 * i) & 31) as usize])).collect()
    }
}

/// What a new project is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProject {
    /// Its name.
    pub name: String,
    /// Pods that its indexes may have; none says 0, Pinecone's default.
    pub max_pods: Option<u32>,
    /// Whether its indexes must be under a key of the customer's.
    pub force_encryption_with_cmek: bool,
}

/// What of a project is to be another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// Its name.
    pub name: Option<String>,
    /// Pods that its indexes may have.
    pub max_pods: Option<u32>,
    /// Whether its indexes must be under a key of the customer's; once on, it stays on.
    pub force_encryption_with_cmek: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids() {
        assert_eq!(ProjectId::from_bytes([0; 16]).short(), "aaaaaaa");
        assert_eq!(ProjectId::from_bytes([255; 16]).short(), "7777777");
        let mut bytes = [0; 16];
        bytes[4] = 0b0010_0000;
        assert_eq!(ProjectId::from_bytes(bytes).short(), "aaaaaab");
        bytes[0] = 0b0000_1000;
        assert_eq!(ProjectId::from_bytes(bytes).short(), "baaaaab");
    }
}
