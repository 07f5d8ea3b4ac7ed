use crate::{Email, InviteId, OrganizationId, RoleGrant};

/// A person who was asked to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its id.
    pub id: InviteId,
    /// To which organization.
    pub organization_id: OrganizationId,
    /// Who.
    pub email: Email,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Until when it can be accepted, milliseconds since 1970.
    pub expires_at_ms: u64,
    /// When it was accepted, milliseconds since 1970.
    pub processed_at_ms: Option<u64>,
}

/// How an invite stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InviteStatus {
    /// It can be accepted.
    Pending,
    /// It came too late.
    Expired,
    /// It was accepted.
    Processed,
}

impl Invite {
    /// How it stands at this time.
    pub fn status(&self, now_ms: u64) -> InviteStatus {
        match self.processed_at_ms {
            Some(_) => InviteStatus::Processed,
            None if now_ms >= self.expires_at_ms => InviteStatus::Expired,
            None => InviteStatus::Pending,
        }
    }
}

/// What a new invite is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvite {
    /// Whom it asks.
    pub email: Email,
    /// The roles that whoever accepts it will have.
    pub grants: Vec<RoleGrant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invites_expire_at_their_time() {
        let mut invite = Invite {
            id: InviteId::from_bytes([1; 16]),
            organization_id: OrganizationId::from_bytes([1; 16]),
            email: Email::new("a@b").unwrap(),
            created_at_ms: 0,
            expires_at_ms: 10,
            processed_at_ms: None,
        };
        assert_eq!((invite.status(9), invite.status(10)), (InviteStatus::Pending, InviteStatus::Expired));
        invite.processed_at_ms = Some(5);
        assert_eq!(invite.status(11), InviteStatus::Processed);
    }
}
