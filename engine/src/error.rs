//! The errors of requests that a caller distinguishes.

/// A request that can't be carried out as it stands.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(pub String);

/// The user stopped the run; with what that means for what it was at.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; {0}")]
pub struct Interrupted(pub String);
