//! From what storage meets to what a caller is told.

use std::path::Path;

use pinyon_model::{Error, ErrorCode};
use pinyon_storage::StorageError;

/// The error of a file that the engine's own records name: one that is missing is damage, not a 404, and a name that is
/// taken means that someone else writes here.
pub(crate) fn stored(error: StorageError) -> Error {
    match error {
        StorageError::NotFound { name } => damaged(&name, "it is missing"),
        StorageError::AlreadyExists { name } | StorageError::Conflict { name } => {
            Error::unavailable(format!("'{name}' was written by someone else"))
        }
        StorageError::Invalid { what } => Error::internal(what),
        other => other.into(),
    }
}

/// As [`stored`], with the names of files below `root` cut to what lies below it.
pub(crate) fn stored_below(root: &Path, mut error: StorageError) -> Error {
    use StorageError::{Damaged, Fenced, Io, NotFound};
    if let Damaged { file: name, .. } | Fenced { file: name } | Io { file: name, .. } | NotFound { name } = &mut error
        && let Ok(below) = Path::new(name.as_str()).strip_prefix(root)
    {
        *name = below.display().to_string();
    }
    stored(error)
}

/// A file that is not what was written.
pub(crate) fn damaged(file: &str, what: &str) -> Error {
    Error::new(ErrorCode::DataLoss, format!("'{file}' is damaged: {what}"))
}

/// The namespace that an operation needs was never made, or is deleted.
pub(crate) fn no_namespace() -> Error {
    Error::not_found("Namespace not found")
}

/// The index is deleted.
pub(crate) fn no_index() -> Error {
    Error::not_found("Index not found")
}
