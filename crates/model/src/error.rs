use std::fmt;

/// What went wrong, in the vocabulary that every plane of the API shares; `wire` renders it four ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request was understood and is wrong.
    InvalidArgument,
    /// A number that is too small or too large.
    OutOfRange,
    /// The body's shape is wrong: a missing field, a wrong JSON type.
    UnprocessableEntity,
    /// No credential, or one that is not known.
    Unauthenticated,
    /// A known credential that may not do this, or deletion protection.
    Forbidden,
    /// An object quota is used up.
    QuotaExceeded,
    /// No such thing, or not one the caller may know of.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// It would leave things ungovernable: the last owner, a member without a role.
    Aborted,
    /// The thing is in a state that does not allow this.
    FailedPrecondition,
    /// The body is over the limit.
    PayloadTooLarge,
    /// The organization has not paid for this.
    PaymentRequired,
    /// A rate limit; try again later.
    ResourceExhausted,
    /// Not built yet.
    Unimplemented,
    /// Stored data is damaged; the message names the file.
    DataLoss,
    /// Try again: the disk is full, the server is stopping, a namespace is being moved.
    Unavailable,
    /// The caller's deadline passed.
    DeadlineExceeded,
    /// A defect in Pinyon.
    Internal,
}

/// An error that may be shown to a caller: its message names what was wrong and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The kind.
    pub code: ErrorCode,
    /// For the caller to read. Never holds a secret, a path outside the data directory or another tenant's text.
    pub message: String,
    /// After how many seconds it may help to try again, where that is known.
    pub retry_after_s: Option<u32>,
}

/// The result of anything a caller may be told of.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind with this message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_s: None }
    }
    /// A 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }
    /// A 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }
    /// A 409.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::AlreadyExists, message)
    }
    /// A 409 of what must not be undone.
    pub fn aborted(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Aborted, message)
    }
    /// A 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }
    /// A 429: a limit is used up, and this many seconds later it is not.
    pub fn too_many(message: impl Into<String>, retry_after_s: u32) -> Self {
        Self { retry_after_s: Some(retry_after_s.max(1)), ..Self::new(ErrorCode::ResourceExhausted, message) }
    }
    /// A 501.
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unimplemented, message)
    }
    /// A 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }
    /// A 500: a defect, or a fault that has no better name.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
