use pinyon_model::{Error, Principal, Result};

use crate::{
    OpContext,
    codec::{Reader, Writer},
};

/// Who did it, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AuditActor {
    /// The principal's id; empty when nobody known asked.
    pub principal_id: String,
    /// Its name.
    pub principal_name: String,
    /// `user`, `service_account`, `api_key`, `operator`, `system` or `unknown`.
    pub principal_type: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AuditOutcome {
    /// Done.
    #[default]
    Success,
    /// Refused or failed.
    Failure {
        /// For people.
        reason: String,
        /// The error code's word.
        error_code: String,
    },
}

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditEvent {
    /// The event's own id, a UUID.
    pub id: [u8; 16],
    /// The organization's id; empty where none is concerned.
    pub organization_id: String,
    /// The organization's name.
    pub organization_name: String,
    /// What the client said it is.
    pub user_agent: String,
    /// The client's address.
    pub source: String,
    /// The request's id.
    pub request_id: String,
    /// Who.
    pub actor: AuditActor,
    /// When, milliseconds since 1970.
    pub time_ms: u64,
    /// `create`, `update`, `delete`, …
    pub action: String,
    /// `index`, `project`, `api-key`, …
    pub resource_type: String,
    /// Its id, as the API names it.
    pub resource_id: String,
    /// Its name.
    pub resource_name: String,
    /// What came of it.
    pub outcome: AuditOutcome,
    /// How many like it this entry stands for: more than one when repeats were folded.
    pub count: u64,
    /// What else there is to say, in order.
    pub parameters: Vec<(String, String)>,
    /// The generation that the catalog had once this was done; none when the catalog did not change.
    pub catalog_generation: Option<u64>,
}

impl AuditActor {
    /// Nobody known.
    pub(crate) fn unknown() -> Self {
        Self { principal_id: String::new(), principal_name: String::new(), principal_type: "unknown".to_owned() }
    }

    pub(crate) fn of(principal: &Principal) -> Self {
        let (principal_id, principal_name, principal_type) = match principal {
            Principal::ApiKey { id, name, .. } => (id.to_string(), name.clone(), "api_key"),
            Principal::ServiceAccount { id, name, .. } => (id.to_string(), name.clone(), "service_account"),
            Principal::User { id, email, .. } => (id.to_string(), email.clone(), "user"),
            Principal::Operator => (String::new(), "operator".to_owned(), "operator"),
            Principal::System => (String::new(), "pinyon".to_owned(), "system"),
        };
        Self { principal_id, principal_name, principal_type: principal_type.to_owned() }
    }
}

impl AuditOutcome {
    /// A failure with this error.
    pub(crate) fn failure(error: &Error) -> Self {
        Self::Failure { reason: error.message.clone(), error_code: format!("{:?}", error.code) }
    }
}

impl AuditEvent {
    /// An event of this caller, not yet closed: its outcome says that nobody closed it.
    pub(crate) fn open(ctx: &OpContext, id: [u8; 16], action: &str, resource_type: &str) -> Self {
        Self {
            id,
            organization_id: String::new(),
            organization_name: String::new(),
            user_agent: ctx.user_agent.to_string(),
            source: ctx.source.to_string(),
            request_id: ctx.request_id.to_string(),
            actor: AuditActor::of(&ctx.principal),
            time_ms: ctx.now_ms,
            action: action.to_owned(),
            resource_type: resource_type.to_owned(),
            resource_id: String::new(),
            resource_name: String::new(),
            outcome: AuditOutcome::Failure {
                reason: "The operation was abandoned before its end".to_owned(),
                error_code: "Aborted".to_owned(),
            },
            count: 1,
            parameters: Vec::new(),
            catalog_generation: None,
        }
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.raw(&self.id);
        for text in [&self.organization_id, &self.organization_name, &self.user_agent, &self.source, &self.request_id] {
            w.text(text);
        }
        w.text(&self.actor.principal_id).text(&self.actor.principal_name).text(&self.actor.principal_type);
        w.u64(self.time_ms);
        for text in [&self.action, &self.resource_type, &self.resource_id, &self.resource_name] {
            w.text(text);
        }
        match &self.outcome {
            AuditOutcome::Success => w.u8(0),
            AuditOutcome::Failure { reason, error_code } => w.u8(1).text(reason).text(error_code),
        };
        w.u64(self.count).u32(u32::try_from(self.parameters.len()).unwrap_or(u32::MAX));
        for (key, value) in &self.parameters {
            w.text(key).text(value);
        }
        w.option(self.catalog_generation, |w, g| {
            w.u64(g);
        });
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            id: r.array()?,
            organization_id: r.text()?,
            organization_name: r.text()?,
            user_agent: r.text()?,
            source: r.text()?,
            request_id: r.text()?,
            actor: AuditActor { principal_id: r.text()?, principal_name: r.text()?, principal_type: r.text()? },
            time_ms: r.u64()?,
            action: r.text()?,
            resource_type: r.text()?,
            resource_id: r.text()?,
            resource_name: r.text()?,
            outcome: match r.u8()? {
                0 => AuditOutcome::Success,
                1 => AuditOutcome::Failure { reason: r.text()?, error_code: r.text()? },
                _ => return Err(r.malformed()),
            },
            count: r.u64()?,
            parameters: r.list(|r| Ok((r.text()?, r.text()?)))?,
            catalog_generation: r.option(Reader::u64)?,
        })
    }
}
