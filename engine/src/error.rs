//! The errors of requests that a caller distinguishes.

/// A request that can't be carried out as it was made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(pub String);

/// The user interrupted the run. The text says what that means for the backup or the target.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; {0}")]
pub struct Interrupted(pub String);
