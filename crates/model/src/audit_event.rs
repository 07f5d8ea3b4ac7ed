/// Who did it, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AuditActor {
    /// The principal's id; empty when nobody known asked.
    pub principal_id: String,
    /// Its name; a user's is its address.
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
