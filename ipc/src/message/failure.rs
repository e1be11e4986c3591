//! Why an agent stops: what goes over the wire as an error, and what the user reads in the end.
//!
//! Over the wire an error is a kind and texts, not a Rust enum: the kind is only as fine as
//! somebody branches on it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::AgentKind;

/// What a failure is about, as far as anyone acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The volume could not be opened, read or written.
    Volume,
    /// The repository could not be read or written.
    Store,
    /// The repository has no room left.
    NoSpace,
    /// What the repository holds is not what was stored.
    Damaged,
    /// What the volume's storage calls unchanged has changed.
    Untrusted,
    /// Shared memory could not be had.
    SharedMemory,
    /// A neighbour sent what is not a valid message, or a slot that it can't mean.
    Protocol,
    /// A neighbour went away without `end`: never the first cause.
    Peer,
}

/// An error command: who failed, at what, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What it is about.
    pub kind: FailureKind,
    /// Who failed; filled in by the framework.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentKind>,
    /// What was attempted, e.g. `writing segment 000003`; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doing: String,
    /// What went wrong and what to do, in one line.
    pub cause: String,
}

impl Failure {
    /// A failure of `kind`; `cause` may be any error: its whole chain is kept, in one line.
    pub fn new(kind: FailureKind, cause: impl fmt::Display) -> Self {
        Self { kind, agent: None, doing: String::new(), cause: one_line(&cause.to_string()) }
    }

    /// A failure to open, read or write the volume.
    pub fn volume(cause: impl fmt::Display) -> Self {
        Self::new(FailureKind::Volume, cause)
    }

    /// A failure to read or write the repository.
    pub fn store(cause: impl fmt::Display) -> Self {
        Self::new(FailureKind::Store, cause)
    }

    /// A failure to write to the repository, for want of room or not.
    pub fn storing(full: bool, cause: impl fmt::Display) -> Self {
        Self::new(if full { FailureKind::NoSpace } else { FailureKind::Store }, cause)
    }

    /// Bytes that are not what was stored.
    pub fn damaged(cause: impl fmt::Display) -> Self {
        Self::new(FailureKind::Damaged, cause)
    }

    /// A message that can't be.
    pub fn protocol(cause: impl fmt::Display) -> Self {
        Self::new(FailureKind::Protocol, cause)
    }

    /// Shared memory that can't be had.
    pub fn shared_memory(cause: impl fmt::Display) -> Self {
        Self::new(FailureKind::SharedMemory, cause)
    }

    /// The same failure, with what was attempted.
    #[must_use]
    pub fn doing(mut self, doing: impl Into<String>) -> Self {
        self.doing = doing.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.doing.is_empty() {
            write!(f, "{}: ", self.doing)?;
        }
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Failure {}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
