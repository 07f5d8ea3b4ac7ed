use crate::{ApiKeyId, Error, ProjectId, Restrictions, RestrictionsChange, Result, Role, limits, name::display_name};

/// An API key as it may be shown: all but its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its name, 1 to 80 characters.
    pub name: String,
    /// The one project it belongs to.
    pub project_id: ProjectId,
    /// What it may do: the roles of its bindings, each once.
    pub roles: Vec<Role>,
    /// The first characters of its secret, to tell keys apart.
    pub hint: String,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
    /// From when on it is accepted no more, milliseconds since 1970; none: it does not expire.
    pub expires_at_ms: Option<u64>,
    /// What it is held to beyond its roles.
    pub restrictions: Restrictions,
    /// The secret before the last rotation, while it may still be accepted.
    pub previous: Option<PreviousSecret>,
}

/// What may be shown of a secret that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// Its first characters.
    pub hint: String,
    /// From when on it is accepted no more, milliseconds since 1970.
    pub expires_at_ms: u64,
}

impl ApiKey {
    /// Reads a name: 1 to 80 printable characters.
    pub fn parse_name(text: &str) -> Result<String> {
        display_name("an API key", text, limits::API_KEY_NAME_LEN_MAX)
    }

    /// Checks when a key is to expire: in time to come, and before the year 10000, after which dates are spelled otherwise.
    pub fn check_expiry(expires_at_ms: u64, now_ms: u64) -> Result<u64> {
        const YEAR_10000_MS: u64 = 253_402_300_800_000;
        if expires_at_ms > now_ms && expires_at_ms < YEAR_10000_MS {
            return Ok(expires_at_ms);
        }
        Err(Error::invalid("expires_at must lie in the future and before the year 10000"))
    }

    /// Checks for how long a replaced secret is to go on working: at most a day.
    pub fn check_overlap(overlap_ms: u64) -> Result<u64> {
        if overlap_ms <= limits::KEY_OVERLAP_MS_MAX {
            return Ok(overlap_ms);
        }
        let max = limits::KEY_OVERLAP_MS_MAX / 1_000;
        Err(Error::invalid(format!("The overlap of a rotation is at most {max} seconds; here are {}", overlap_ms / 1_000)))
    }

    /// Whether it has expired.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at| now_ms >= at)
    }
}

/// What of an API key is to be another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiKeyChange {
    /// Its name.
    pub name: Option<String>,
    /// All roles that it is to have; those that are not among them go.
    pub roles: Option<Vec<Role>>,
    /// When it expires; `Some(None)`: never.
    pub expires_at_ms: Option<Option<u64>>,
    /// What it is held to.
    pub restrictions: RestrictionsChange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_and_overlap_have_edges() {
        assert_eq!(ApiKey::check_expiry(11, 10), Ok(11));
        assert_eq!(ApiKey::check_expiry(253_402_300_799_999, 10), Ok(253_402_300_799_999));
        for bad in [0, 9, 10, 253_402_300_800_000, u64::MAX] {
            assert!(ApiKey::check_expiry(bad, 10).is_err(), "{bad}");
        }
        assert_eq!(ApiKey::check_overlap(0), Ok(0));
        assert_eq!(ApiKey::check_overlap(86_400_000), Ok(86_400_000));
        assert!(ApiKey::check_overlap(86_400_001).unwrap_err().message.contains("86400 seconds"));
    }
}
