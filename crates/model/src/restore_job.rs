use crate::{BackupId, IndexId, IndexName, ProjectId, RestoreJobId};

/// How a restore stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreStatus {
    /// It goes on, or begins again at the next start.
    Pending,
    /// The index is whole and serves.
    Completed,
    /// It ended for this reason, and left no records.
    Failed(String),
    /// The index was deleted before it was whole.
    Cancelled,
}

/// A restore of a backup into a new index.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreJob {
    /// Its id.
    pub id: RestoreJobId,
    /// Whose it is.
    pub project_id: ProjectId,
    /// What is restored.
    pub backup_id: BackupId,
    /// Into which index.
    pub target_index_id: IndexId,
    /// What that is called.
    pub target_index_name: IndexName,
    /// How it stands.
    pub status: RestoreStatus,
    /// When it was asked for, milliseconds since 1970.
    pub created_at_ms: u64,
    /// When it ended, milliseconds since 1970.
    pub completed_at_ms: Option<u64>,
    /// How much of it is done, 0 to 100; none of one that failed or was cancelled.
    pub percent_complete: Option<f64>,
}
