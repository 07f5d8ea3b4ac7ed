use crate::{DeletedId, OrganizationId, ProjectId};

/// What is kept for a while after it was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeletedKind {
    /// With everything in it.
    Organization,
    /// With everything in it.
    Project,
    /// With its records.
    Index,
    /// With its records.
    Namespace,
    /// With its records.
    Backup,
    /// With its roles and its secret.
    ApiKey,
    /// With its roles and its secret.
    ServiceAccount,
    /// With its roles and its password.
    User,
    /// The room that deleted and overwritten records of an index still took. It is never brought back.
    Records,
}

impl DeletedKind {
    /// All of them.
    pub const ALL: [DeletedKind; 9] = [
        DeletedKind::Organization,
        DeletedKind::Project,
        DeletedKind::Index,
        DeletedKind::Namespace,
        DeletedKind::Backup,
        DeletedKind::ApiKey,
        DeletedKind::ServiceAccount,
        DeletedKind::User,
        DeletedKind::Records,
    ];

    /// The word for it, as in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeletedKind::Organization => "organization",
            DeletedKind::Project => "project",
            DeletedKind::Index => "index",
            DeletedKind::Namespace => "namespace",
            DeletedKind::Backup => "backup",
            DeletedKind::ApiKey => "api-key",
            DeletedKind::ServiceAccount => "service-account",
            DeletedKind::User => "user",
            DeletedKind::Records => "records",
        }
    }
}

/// Something that was deleted and is kept until its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// What it is brought back by; of a namespace, the namespace's own id.
    pub id: DeletedId,
    /// What it was.
    pub kind: DeletedKind,
    /// The id that it had.
    pub of: String,
    /// The name that it had.
    pub name: String,
    /// Whose it was.
    pub organization_id: Option<OrganizationId>,
    /// In which project it was, if in one.
    pub project_id: Option<ProjectId>,
    /// When it was deleted, milliseconds since 1970.
    pub deleted_at_ms: u64,
    /// Who deleted it, as the audit log names principals: type, a space, name.
    pub deleted_by: String,
    /// Until when it can be brought back, milliseconds since 1970.
    pub kept_until_ms: u64,
}

/// What a purge removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionReport {
    /// Of what.
    pub deleted: Deleted,
    /// When the purge ended, milliseconds since 1970.
    pub purged_at_ms: u64,
    /// The stored objects that are gone, with their bytes.
    pub objects: Vec<(String, u64)>,
    /// The ids of the keys that were destroyed.
    pub keys: Vec<String>,
}
