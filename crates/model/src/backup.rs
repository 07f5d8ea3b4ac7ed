use crate::{
    BackupId, BackupScheduleId, CmekId, CollectionName, DeletionProtection, Deployment, Error, IndexId, IndexName, IndexSchema, ProjectId,
    ReadCapacityChange, Result, Tags, limits,
    name::{display_name, resource_name},
};

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupCounts {
    /// Its namespaces.
    pub namespaces: u64,
    /// Its records.
    pub records: u64,
    /// Bytes of its objects as they are stored.
    pub bytes: u64,
}

/// How a backup stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupStatus {
    /// What it holds is settled, and being stored.
    Initializing,
    /// It can be restored.
    Ready(BackupCounts),
    /// It was not stored, for this reason; there is nothing of it.
    Failed(String),
}

impl BackupStatus {
    /// What it holds, once that is stored.
    pub fn counts(&self) -> Option<BackupCounts> {
        match self {
            BackupStatus::Ready(counts) => Some(*counts),
            BackupStatus::Initializing | BackupStatus::Failed(_) => None,
        }
    }
}

/// Which noun it goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupKind {
    /// A backup of a serverless or BYOC index.
    Backup {
        /// What it is called, if anything.
        name: Option<String>,
        /// For people.
        description: Option<String>,
    },
    /// A backup of a pod index.
    Collection(CollectionName),
}

/// An index as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// Whose it is.
    pub project_id: ProjectId,
    /// The index that it was taken from.
    pub source_index_id: IndexId,
    /// What that was called.
    pub source_index_name: IndexName,
    /// When that was deleted, milliseconds since 1970; none while it is there.
    pub source_index_deleted_at_ms: Option<u64>,
    /// Backup or collection.
    pub kind: BackupKind,
    /// How it stands.
    pub status: BackupStatus,
    /// What the index held.
    pub schema: IndexSchema,
    /// Where the index was said to run.
    pub deployment: Deployment,
    /// The index's tags.
    pub tags: Tags,
    /// The customer-managed key that it is under.
    pub cmek_id: Option<CmekId>,
    /// When it was taken, milliseconds since 1970.
    pub created_at_ms: u64,
    /// The schedule that it was taken by.
    pub schedule_id: Option<BackupScheduleId>,
    /// When it is deleted by itself, milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
}

impl Backup {
    /// Its name, when it has one.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            BackupKind::Backup { name, .. } => name.as_deref(),
            BackupKind::Collection(name) => Some(name.as_str()),
        }
    }

    /// Whether it goes by the name of a collection.
    pub fn is_collection(&self) -> bool {
        matches!(self.kind, BackupKind::Collection(_))
    }

    /// Reads a name as dates before 2026-07 give it: 1 to 512 printable characters.
    pub fn parse_name(text: &str) -> Result<String> {
        display_name("a backup", text, limits::BACKUP_NAME_LEN_MAX)
    }

    /// Reads a name as 2026-07 gives it: of the form that indexes have.
    pub fn parse_resource_name(text: &str) -> Result<String> {
        resource_name("Backup", text).map(String::from)
    }

    /// Reads a description; an empty one is none.
    pub fn parse_description(text: &str) -> Result<Option<String>> {
        let count = text.chars().count();
        if count > limits::BACKUP_DESCRIPTION_LEN_MAX {
            let told =
                format!("The description of a backup has at most {} characters, but got {count}", limits::BACKUP_DESCRIPTION_LEN_MAX);
            return Err(Error::invalid(told));
        }
        Ok(Some(text.to_owned()).filter(|t| !t.is_empty()))
    }
}

/// What a new backup is to be called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewBackup {
    /// Its name.
    pub name: Option<String>,
    /// For people.
    pub description: Option<String>,
}

/// The index that a backup is to be restored into. Its schema is the backup's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRestore {
    /// Its name.
    pub name: IndexName,
    /// Its tags; none: the backup's.
    pub tags: Option<Tags>,
    /// Whether it is to refuse deletion.
    pub deletion_protection: DeletionProtection,
    /// How its reads are provisioned; none: shared.
    pub read_capacity: Option<ReadCapacityChange>,
    /// The customer-managed key to put it under; none: the backup's, if it is under one.
    pub cmek_id: Option<CmekId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_date() {
        for good in ["nightly", "a-1", &"a".repeat(45)] {
            assert!(Backup::parse_resource_name(good).is_ok() && Backup::parse_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Nightly", "a b", "-a", &"a".repeat(46)] {
            assert!(Backup::parse_resource_name(bad).is_err(), "{bad}");
        }
        assert_eq!(Backup::parse_name("Nightly, all of it").unwrap(), "Nightly, all of it");
        assert!(Backup::parse_name(&"é".repeat(512)).is_ok());
        for bad in ["", " ", "a\nb", &"é".repeat(513)] {
            assert!(Backup::parse_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn descriptions() {
        assert_eq!(Backup::parse_description(""), Ok(None));
        assert_eq!(Backup::parse_description(&"é".repeat(2_048)).unwrap().unwrap().chars().count(), 2_048);
        assert!(Backup::parse_description(&"é".repeat(2_049)).is_err());
    }
}
