use std::fmt;

use crate::{Backup, BackupId, BackupKind, BackupStatus, Deployment, Dimension, ProjectId, Result, name::resource_name};

/// A collection's name: 1 to 45 of `a-z`, `0-9` and `-`, starting and ending with a letter or digit. Unique in its project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionName(Box<str>);

impl CollectionName {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self> {
        resource_name("Collection", text).map(Self)
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a collection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CollectionState {
    /// It is being made.
    Initializing,
    /// An index can be made from it.
    Ready,
    /// It could not be made: there is nothing in it, and it can be deleted.
    Terminated,
}

/// A backup of a pod index, as such indexes call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// The backup that it is.
    pub id: BackupId,
    /// Whose it is.
    pub project_id: ProjectId,
    /// Its name.
    pub name: CollectionName,
    /// How it stands.
    pub state: CollectionState,
    /// Where its index was said to run.
    pub environment: String,
    /// Bytes that it holds, once they are there.
    pub size_bytes: Option<u64>,
    /// Of its vectors; none when they are sparse.
    pub dimension: Option<Dimension>,
    /// Its records, once they are there.
    pub records: Option<u64>,
}

impl Collection {
    /// What this backup is as a collection; none when it is no collection.
    pub fn of(backup: &Backup) -> Option<Self> {
        let BackupKind::Collection(name) = &backup.kind else { return None };
        let environment = match &backup.deployment {
            Deployment::Pod { environment, .. } | Deployment::Byoc { environment } => environment.clone(),
            Deployment::Managed { region, .. } => region.clone(),
        };
        let counts = backup.status.counts();
        Some(Self {
            id: backup.id,
            project_id: backup.project_id,
            name: name.clone(),
            state: match backup.status {
                BackupStatus::Initializing => CollectionState::Initializing,
                BackupStatus::Ready(_) => CollectionState::Ready,
                BackupStatus::Failed(_) => CollectionState::Terminated,
            },
            environment,
            size_bytes: counts.map(|c| c.bytes),
            dimension: backup.schema.shape().dense.map(|(dimension, _)| dimension),
            records: counts.map(|c| c.records),
        })
    }
}

/// What a new collection is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCollection {
    /// Its name.
    pub name: CollectionName,
    /// The index that it is made from, as the caller called it.
    pub source: String,
}
