//! Mail: what an invite says, and the trait of whatever carries it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use pinyon_model::{Email, Error, Invite, Organization, OrganizationId, Principal, Result};

use crate::InviteToken;

/// Resends of one organization in an hour.
const RESENDS_MAX: u32 = 100;
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// A message to one person. It prints as nothing telling: what an invite says lets whoever reads it in.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// To whom.
    pub to: Email,
    /// One line.
    pub subject: String,
    /// The text, lines that end in a line feed.
    pub text: String,
    /// When it was written, milliseconds since 1970.
    pub written_at_ms: u64,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("to", &self.to).finish_non_exhaustive()
    }
}

/// What carries mail.
#[async_trait::async_trait]
pub trait Mailer: Send + Sync {
    /// Hands a message to a mail server. `Unavailable` when none takes it.
    async fn send(&self, mail: Mail) -> Result<()>;
}

/// How invites are sent.
#[derive(Clone)]
pub struct InviteMail {
    /// What carries them.
    pub mailer: Arc<dyn Mailer>,
    /// The page that takes `#token=…`; without one the mail holds the token itself.
    pub accept_url: Option<String>,
}

impl InviteMail {
    /// Sends what accepts an invite to whom it asks.
    pub(crate) async fn send(&self, by: &Principal, of: &Organization, invite: &Invite, token: &InviteToken, now_ms: u64) -> Result<()> {
        self.mailer.send(self.compose(by, of, invite, token, now_ms)).await
    }

    fn compose(&self, by: &Principal, of: &Organization, invite: &Invite, token: &InviteToken, now_ms: u64) -> Mail {
        let organization = one_line(&of.name);
        let by = match by {
            Principal::User { email, name, .. } if name.is_empty() => format!("{email} invites"),
            Principal::User { email, name, .. } => format!("{} ({email}) invites", one_line(name)),
            _ => format!("The organization {organization} invites"),
        };
        let days = invite.expires_at_ms.saturating_sub(now_ms).div_ceil(24 * HOUR_MS);
        let token = token.reveal();
        let how = match &self.accept_url {
            Some(url) => format!("To accept, open this page within {days} days:\n\n{url}#token={token}\n"),
            None => format!("To accept, use this token within {days} days:\n\n{token}\n"),
        };
        Mail {
            to: invite.email.clone(),
            subject: format!("You are invited to {organization}"),
            text: format!(
                "{by} you to join {organization} on Pinyon.\n\n{how}\nWhoever has it can come in as you: pass it on to nobody.\n"
            ),
            written_at_ms: now_ms,
        }
    }
}

/// Names are printable already; a header must not depend on it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Counts resends, for as many organizations as there are.
#[derive(Default)]
pub(crate) struct Resends(Mutex<HashMap<OrganizationId, (u64, u32)>>);

impl Resends {
    /// Counts one more. `ResourceExhausted` once the organization had as many as it may in an hour.
    pub(crate) fn take(&self, organization: OrganizationId, now_ms: u64) -> Result<()> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|_, (ends_ms, _)| now_ms < *ends_ms);
        let (ends_ms, count) = counts.entry(organization).or_insert((now_ms + HOUR_MS, 0));
        if *count >= RESENDS_MAX {
            let seconds = u32::try_from(ends_ms.saturating_sub(now_ms).div_ceil(1_000)).unwrap_or(u32::MAX);
            let told = format!("The organization has sent invites again {RESENDS_MAX} times within an hour, which is the limit");
            return Err(Error::too_many(told, seconds));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pinyon_model::{ErrorCode, Grants, InviteId, PaymentStatus, Plan, UserId};

    use super::*;

    #[test]
    fn a_hundred_in_an_hour_and_no_more() {
        let (resends, a, b) = (Resends::default(), OrganizationId::from_bytes([1; 16]), OrganizationId::from_bytes([2; 16]));
        (0..RESENDS_MAX).for_each(|n| resends.take(a, u64::from(n)).unwrap());
        let refused = resends.take(a, 1_000).unwrap_err();
        assert_eq!((refused.code, refused.retry_after_s), (ErrorCode::ResourceExhausted, Some(3_599)));
        assert!(resends.take(b, 1_000).is_ok() && resends.take(a, HOUR_MS - 1).is_err());
        assert!(resends.take(a, HOUR_MS).is_ok());
        assert_eq!(resends.0.lock().unwrap().len(), 2);
    }

    #[test]
    fn what_an_invite_says() {
        struct Nobody;
        #[async_trait::async_trait]
        impl Mailer for Nobody {
            async fn send(&self, _: Mail) -> Result<()> {
                Ok(())
            }
        }
        let organization_id = OrganizationId::from_bytes([1; 16]);
        let organization = Organization {
            id: organization_id,
            name: "Acme\r\nBcc: all@example.com".into(),
            plan: Plan::Free,
            payment_status: PaymentStatus::Active,
            created_at_ms: 0,
        };
        let email = Email::new("ada@example.com").unwrap();
        let invite = Invite {
            id: InviteId::from_bytes([3; 16]),
            organization_id,
            email: email.clone(),
            created_at_ms: 0,
            expires_at_ms: 7 * 24 * HOUR_MS,
            processed_at_ms: None,
        };
        let by = |name: &str| Principal::User {
            id: UserId::from_bytes([2; 16]),
            email: "bob@example.com".into(),
            name: name.into(),
            grants: Grants::new(organization_id, []),
        };
        let token = InviteToken::generate(invite.id);
        let url = |url: Option<&str>| InviteMail { mailer: Arc::new(Nobody), accept_url: url.map(str::to_owned) };
        let mail = url(Some("https://pinyon.example.com/join")).compose(&by("Bob"), &organization, &invite, &token, 1);
        assert_eq!((&mail.to, mail.subject.as_str()), (&email, "You are invited to Acme  Bcc: all@example.com"));
        assert!(mail.text.starts_with("Bob (bob@example.com) invites you to join Acme"), "{}", mail.text);
        assert!(mail.text.contains(&format!("within 7 days:\n\nhttps://pinyon.example.com/join#token={}\n", token.reveal())));
        let mail = url(None).compose(&Principal::Operator, &organization, &invite, &token, 1);
        assert!(mail.text.contains(&format!("\n\n{}\n", token.reveal())) && !format!("{mail:?}").contains(token.reveal()));
    }
}
