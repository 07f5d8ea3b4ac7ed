use crate::{ApiKeyId, Error, ProjectId, Result};

/// What a principal may be in a project: the six roles an API key can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything on both planes.
    ProjectEditor,
    /// Reads on both planes.
    ProjectViewer,
    /// Creates, configures and deletes indexes; no records.
    ControlPlaneEditor,
    /// Lists and describes indexes; no records.
    ControlPlaneViewer,
    /// Reads and writes records; no control plane.
    DataPlaneEditor,
    /// Reads records; no control plane.
    DataPlaneViewer,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 6] = [
        Role::ProjectEditor,
        Role::ProjectViewer,
        Role::ControlPlaneEditor,
        Role::ControlPlaneViewer,
        Role::DataPlaneEditor,
        Role::DataPlaneViewer,
    ];
    /// Pinecone's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::ProjectEditor => "ProjectEditor",
            Role::ProjectViewer => "ProjectViewer",
            Role::ControlPlaneEditor => "ControlPlaneEditor",
            Role::ControlPlaneViewer => "ControlPlaneViewer",
            Role::DataPlaneEditor => "DataPlaneEditor",
            Role::DataPlaneViewer => "DataPlaneViewer",
        }
    }
    /// Reads Pinecone's word.
    pub fn parse(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|r| r.as_str()).collect();
            Error::invalid(format!("'{}' is not a role of an API key; {} are allowed", text.escape_debug(), known.join(", ")))
        })
    }
    /// The one table of who may do what.
    pub const fn permissions(self) -> &'static [Permission] {
        use Permission::{ControlRead, ControlWrite, DataRead, DataWrite, Inference};
        match self {
            Role::ProjectEditor => &[ControlRead, ControlWrite, DataRead, DataWrite, Inference],
            Role::ProjectViewer => &[ControlRead, DataRead, Inference],
            Role::ControlPlaneEditor => &[ControlRead, ControlWrite],
            Role::ControlPlaneViewer => &[ControlRead],
            Role::DataPlaneEditor => &[DataRead, DataWrite, Inference],
            Role::DataPlaneViewer => &[DataRead, Inference],
        }
    }
}

/// One thing that may or may not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// List and describe indexes, backups, collections, assistants.
    ControlRead,
    /// Create, configure and delete those.
    ControlWrite,
    /// Query, fetch, list ids and namespaces, stats.
    DataRead,
    /// Upsert, update, delete, import.
    DataWrite,
    /// Embed and rerank.
    Inference,
    /// Create, list and revoke API keys; rotate and export the root key: the operator's own.
    Operate,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The holder of an API key.
    ApiKey {
        /// Which key.
        id: ApiKeyId,
        /// Its name.
        name: String,
        /// The one project it belongs to.
        project_id: ProjectId,
        /// Its roles; what they allow is united.
        roles: Vec<Role>,
    },
    /// Whoever owns the data directory, through the command line.
    Operator,
    /// Pinyon itself: jobs.
    System,
}

impl Principal {
    /// Whether this principal may do it, in its own project where it has one.
    pub fn allows(&self, permission: Permission) -> bool {
        match self {
            Principal::ApiKey { roles, .. } => roles.iter().any(|r| r.permissions().contains(&permission)),
            Principal::Operator | Principal::System => true,
        }
    }
}

/// The two sides of the API, which answer errors in different shapes and on different hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// Indexes and what surrounds them.
    Control,
    /// The records of one index.
    Data,
}
