//! Why an agent stops: what goes over the wire as an error, and what the user finally reads.
//!
//! Over the wire an error is a kind and texts, not a Rust enum. There are only as many kinds as some code
//! distinguishes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::AgentKind;

/// The kind of a failure, as far as any code distinguishes it.
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
    /// A block that the volume's storage reports as unchanged has changed.
    Untrusted,
    /// Shared memory could not be allocated.
    SharedMemory,
    /// A neighbour sent an invalid message, or named a slot that does not exist.
    Protocol,
    /// A neighbour ended without `end`. This is never the first cause.
    Peer,
}

/// An `error` message: which agent failed, at what, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What the failure is about.
    pub kind: FailureKind,
    /// The agent that failed. Filled in by the framework.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentKind>,
    /// What was attempted, e.g. `writing segment 000003`. May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doing: String,
    /// What went wrong and what to do, in one line.
    pub cause: String,
}

impl Failure {
    /// A failure of `kind`. `cause` may be any error. Its whole chain is kept, in one line.
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

    /// A failure to write to the repository. `full` says whether it has no room left.
    pub fn storing(full: bool, cause: impl fmt::Display) -> Self {
        Self::new(if full { FailureKind::NoSpace } else { FailureKind::Store }, cause)
    }

    /// A failure because bytes are not what was stored.
    pub fn damaged(cause: impl fmt::Display) -> Self {
        Self::new(FailureKind::Damaged, cause)
    }

    /// A failure because of an invalid message.
    pub fn protocol(cause: impl fmt::Display) -> Self {
        Self::new(FailureKind::Protocol, cause)
    }

    /// A failure to allocate or map shared memory.
    pub fn shared_memory(cause: impl fmt::Display) -> Self {
        Self::new(FailureKind::SharedMemory, cause)
    }

    /// The same failure with what was attempted.
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
