use std::sync::Arc;

use pinyon_model::{Error, ErrorCode, OrganizationId, Principal, PrivateEndpoint, PrivateLink, ProjectId, Result};

/// How a call came in by the private listener: what its balancer vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivatePath {
    /// The customer's end; none for a caller beside the balancer.
    pub link: Option<PrivateLink>,
    /// The region of the listener.
    pub region: String,
}

impl PrivatePath {
    /// Whether it leads through this endpoint.
    pub(crate) fn is_through(&self, endpoint: &PrivateEndpoint) -> bool {
        self.link.as_ref() == Some(&endpoint.link) && self.region == endpoint.region
    }
}

/// What travels with every call: who asks, from where, when, and until when the answer is wanted. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OpContext {
    /// Who asks.
    pub principal: Arc<Principal>,
    /// The organization that the operator acts in; none: the one that the first start made.
    pub organization: Option<OrganizationId>,
    /// The project that the caller chose, for callers with more than one.
    pub project: Option<ProjectId>,
    /// The request's id, as the caller reads it in the answer.
    pub request_id: Arc<str>,
    /// When the request came, milliseconds since 1970.
    pub now_ms: u64,
    /// When the answer stops being wanted, milliseconds since 1970.
    pub deadline: Option<u64>,
    /// The caller's address without its port; empty for commands and jobs.
    pub source: Arc<str>,
    /// How it came, by the private listener.
    pub private_path: Option<Arc<PrivatePath>>,
    /// What the caller says it is (`User-Agent`); empty when it does not say.
    pub user_agent: Arc<str>,
}

impl OpContext {
    /// A context of Pinyon's own: for operator commands and jobs.
    pub fn internal(principal: Principal, now_ms: u64) -> Self {
        Self {
            principal: Arc::new(principal),
            organization: None,
            project: None,
            request_id: Arc::from(""),
            now_ms,
            deadline: None,
            source: Arc::from(""),
            private_path: None,
            user_agent: Arc::from("pinyon"),
        }
    }

    /// Fails when nobody waits for the answer any more.
    pub(crate) fn check_deadline(&self, now_ms: u64) -> Result<()> {
        match self.deadline {
            Some(deadline) if now_ms > deadline => {
                Err(Error::new(ErrorCode::DeadlineExceeded, "The deadline of this request passed before it was answered"))
            }
            _ => Ok(()),
        }
    }
}
