use std::io;

use pinyon_model::{Error, ErrorCode};

/// The result of anything that touches storage.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// What went wrong with stored data; each variant says what its holder can do next.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No object, folder or log of this name.
    #[error("'{name}' is not there")]
    NotFound {
        /// The name looked for.
        name: String,
    },
    /// A create-only put found the name taken.
    #[error("'{name}' exists already")]
    AlreadyExists {
        /// The name wanted.
        name: String,
    },
    /// A compare-and-swap lost: the object is not at the expected version. Read again and decide afresh.
    #[error("'{name}' was changed by someone else")]
    Conflict {
        /// The object's name.
        name: String,
    },
    /// Stored bytes are not what was written. Nothing but a copy can bring them back.
    #[error("'{file}' is damaged: {what}")]
    Damaged {
        /// The file or object.
        file: String,
        /// What does not fit.
        what: String,
    },
    /// No room, the reserve kept aside. Nothing was written; try again when there is room.
    #[error("the disk is full: {free} bytes are free and {reserve} are kept for deletions")]
    Full {
        /// Bytes the file system has free.
        free: u64,
        /// Bytes kept for essential writes.
        reserve: u64,
    },
    /// Someone with a newer epoch writes this log now; nothing of this append counts. Open the log again.
    #[error("'{file}' was taken over by a newer writer")]
    Fenced {
        /// The log file that was being written.
        file: String,
    },
    /// Another process owns the directory.
    #[error("'{path}' is in use by {}", match .pid { Some(pid) => format!("process {pid}"), None => "another process".into() })]
    Locked {
        /// The directory.
        path: String,
        /// The owner's process id, as far as it can be read.
        pid: Option<u32>,
    },
    /// The operating system refused.
    #[error("cannot {op} '{file}': {source}")]
    Io {
        /// The act, as a verb.
        op: &'static str,
        /// The file.
        file: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The key store holds no such key: it was never made, or it was destroyed and the data with it.
    #[error("there is no key for {what}")]
    KeyMissing {
        /// Whose key.
        what: String,
    },
    /// The key lies below a project key whose provider has not given it, or has taken it away. It may come back.
    #[error("the key of {what} is locked: the customer's key above it is not available")]
    KeyLocked {
        /// Whose key.
        what: String,
    },
    /// Sealed under another key than the one given.
    #[error("the root key given (fingerprint {given}) is not the one that '{file}' is sealed under (fingerprint {expected})")]
    WrongRootKey {
        /// The key store's file.
        file: String,
        /// Fingerprint of the key that would open it.
        expected: String,
        /// Fingerprint of the key that was given.
        given: String,
    },
    /// A root key that cannot be used: its text or its file is malformed, or it lies where it must not.
    #[error("the root key cannot be used: {what}")]
    BadRootKey {
        /// What is wrong and what is allowed.
        what: String,
    },
    /// A name or a size that storage does not take; nothing was written.
    #[error("{what}")]
    Invalid {
        /// What is wrong and what is allowed.
        what: String,
    },
}

impl StorageError {
    pub(crate) fn damaged(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged { file: file.into(), what: what.into() }
    }
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }
    /// Whether stored bytes were found damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
    /// Whether there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// What a caller may be told: damage is data loss that names the file, no room and a lost race are "try again".
impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let code = match &error {
            StorageError::KeyLocked { .. } => ErrorCode::Forbidden,
            StorageError::Damaged { .. } | StorageError::KeyMissing { .. } => ErrorCode::DataLoss,
            StorageError::Full { .. } | StorageError::Fenced { .. } | StorageError::Conflict { .. } | StorageError::Io { .. } => {
                ErrorCode::Unavailable
            }
            StorageError::NotFound { .. } => ErrorCode::NotFound,
            StorageError::AlreadyExists { .. } => ErrorCode::AlreadyExists,
            StorageError::Locked { .. } | StorageError::WrongRootKey { .. } | StorageError::BadRootKey { .. } => {
                ErrorCode::FailedPrecondition
            }
            StorageError::Invalid { .. } => ErrorCode::InvalidArgument,
        };
        Error::new(code, error.to_string())
    }
}
