//! The error of a request, and its kind.
//!
//! Within this crate an error is a chain of texts ([`anyhow::Error`]). Every public function returns [`Error`], which
//! says what a caller may decide by.

use std::fmt;

use septet_ipc::{Failure, FailureKind};
use septet_repository::RepositoryError;

/// The result of a request.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a request failed of. Its text is one line for people: the whole chain of causes.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    cause: anyhow::Error,
}

/// What a caller may decide by. The text of the error says the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request can't be carried out as it was made.
    BadRequest,
    /// The user interrupted the run.
    Interrupted,
    /// There is no such repository, volume or backup; or several backups have the name.
    NotFound,
    /// The name is in use: by a backup that exists, or by a run that is making one.
    InUse,
    /// What the repository holds is damaged or missing.
    Damaged,
    /// Only a later version can read or change what the repository holds.
    Unsupported,
    /// The repository could not be read or written.
    Store,
    /// The repository has no room left.
    NoSpace,
    /// The volume could not be opened, read or written.
    Volume,
    /// Anything else: the host, the agents, or a defect of Septet.
    Other,
}

impl Error {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl ErrorKind {
    /// The kind of the first error in the chain that has one.
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(kind_of).unwrap_or(Self::Other)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:#}", self.cause)
    }
}

impl std::error::Error for Error {}

impl From<anyhow::Error> for Error {
    fn from(cause: anyhow::Error) -> Self {
        Self { kind: ErrorKind::of(&cause), cause }
    }
}

impl From<RepositoryError> for Error {
    fn from(error: RepositoryError) -> Self {
        anyhow::Error::from(error).into()
    }
}

impl From<BadRequest> for Error {
    fn from(error: BadRequest) -> Self {
        anyhow::Error::from(error).into()
    }
}

impl From<NotFound> for Error {
    fn from(error: NotFound) -> Self {
        anyhow::Error::from(error).into()
    }
}

fn kind_of(error: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    if let Some(error) = error.downcast_ref::<Error>() {
        Some(error.kind)
    } else if error.is::<BadRequest>() {
        Some(ErrorKind::BadRequest)
    } else if error.is::<NotFound>() {
        Some(ErrorKind::NotFound)
    } else if error.is::<Interrupted>() {
        Some(ErrorKind::Interrupted)
    } else if let Some(failure) = error.downcast_ref() {
        Some(of_failure(failure))
    } else {
        error.downcast_ref().map(of_repository)
    }
}

fn of_failure(failure: &Failure) -> ErrorKind {
    match failure.kind {
        FailureKind::Volume => ErrorKind::Volume,
        FailureKind::Store => ErrorKind::Store,
        FailureKind::NoSpace => ErrorKind::NoSpace,
        FailureKind::Damaged => ErrorKind::Damaged,
        FailureKind::Untrusted | FailureKind::SharedMemory | FailureKind::Protocol | FailureKind::Peer => {
            ErrorKind::Other
        }
    }
}

fn of_repository(error: &RepositoryError) -> ErrorKind {
    match error {
        RepositoryError::InvalidName(_) => ErrorKind::BadRequest,
        RepositoryError::NotARepository { .. }
        | RepositoryError::UnknownBackup { .. }
        | RepositoryError::Ambiguous { .. } => ErrorKind::NotFound,
        RepositoryError::BackupExists { .. } | RepositoryError::Pending { .. } => ErrorKind::InUse,
        error if error.is_full() => ErrorKind::NoSpace,
        error if error.is_damage() => ErrorKind::Damaged,
        RepositoryError::Object { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::Store,
    }
}

/// A request that can't be carried out as it was made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(pub String);

/// The user interrupted the run. The text says what that means for the backup or the target.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; {0}")]
pub struct Interrupted(pub String);

/// What is asked for does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotFound(pub(crate) String);
