//! One error for all stores: a kind to branch on, and one line that tells a user what to do.
//!
//! The line includes the cause's text. So there is no chain to print, and the line can be sent over a socket.

use std::fmt;

/// What a caller may branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// No such object, or no such repository.
    NotFound,
    /// An object with this key exists already.
    AlreadyExists,
    /// This user has no permission.
    PermissionDenied,
    /// The storage is full, or the user's quota is used up.
    NoSpace,
    /// The whole store is read-only.
    ReadOnly,
    /// The object exists but does not have the expected length.
    Damaged,
    /// The storage fails or does not answer. A later attempt may succeed.
    Unavailable,
    /// Anything else.
    Other,
}

/// The operation that failed, its object, and the cause.
#[derive(Debug, thiserror::Error)]
pub struct StoreError {
    kind: StoreErrorKind,
    url: String,
    key: String,
    doing: &'static str,
    cause: String,
    /// Whether the cause alone explains the error and says what to do.
    whole: bool,
}

impl StoreError {
    /// `doing` is a verb (`read`, `write` …). `key` is empty if the error is about the whole store. `cause` is the
    /// storage's message. It is shown if the kind alone does not explain the error.
    pub fn new(
        kind: StoreErrorKind,
        url: impl Into<String>,
        key: impl Into<String>,
        doing: &'static str,
        cause: impl fmt::Display,
    ) -> Self {
        let (url, key, cause) = (url.into(), key.into(), cause.to_string());
        StoreError { kind, url, key, doing, cause, whole: false }
    }

    /// Like `new`, with an explanation that replaces the kind's standard text.
    pub fn explained(
        kind: StoreErrorKind,
        url: impl Into<String>,
        key: impl Into<String>,
        doing: &'static str,
        explanation: impl fmt::Display,
    ) -> Self {
        StoreError { whole: true, ..Self::new(kind, url, key, doing, explanation) }
    }

    /// What went wrong, to branch on.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The object or prefix that the error is about. Empty for the whole store.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The store that the error is about, without secrets.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoreError { url, key, doing, cause, .. } = self;
        match key.as_str() {
            "" => write!(f, "cannot {doing} {url}: ")?,
            _ => write!(f, "cannot {doing} {key:?} in {url}: ")?,
        }
        match self.kind {
            _ if self.whole => write!(f, "{cause}"),
            StoreErrorKind::NotFound => write!(f, "it does not exist"),
            StoreErrorKind::AlreadyExists => write!(f, "it exists already"),
            StoreErrorKind::PermissionDenied => {
                write!(f, "permission denied: grant this user access, or run as another user")
            }
            StoreErrorKind::NoSpace => {
                write!(f, "no space left in {url}: free some space, delete old backups or use another repository")
            }
            StoreErrorKind::ReadOnly => {
                write!(f, "{url} is read-only: make it writable or use another repository")
            }
            StoreErrorKind::Damaged | StoreErrorKind::Other => write!(f, "{cause}"),
            StoreErrorKind::Unavailable => {
                write!(f, "the storage fails ({cause}): check that it is healthy and reachable, then try again")
            }
        }
    }
}
