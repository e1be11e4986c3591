//! How a command ends: its exit status, and the errors that have one of their own.

use std::process::ExitCode;

use septet_repository::RepositoryError;

/// How a command ended when it did what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done.
    Done,
    /// Done, and what was found is damaged.
    Damage,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Damage => Self::from(3),
        }
    }
}

/// A request that can't be carried out as it stands.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The user stopped the run; with what that means for what it was at.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; {0}")]
pub(crate) struct Interrupted(pub(crate) String);

/// The operating system's words for an error, without its number.
pub(crate) fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The exit status for an error: 2 for wrong usage, 130 for an interruption, else 1.
pub(crate) fn exit_status(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() || matches!(error.downcast_ref(), Some(RepositoryError::InvalidName(_))) {
        2
    } else if error.is::<Interrupted>() {
        130
    } else {
        1
    }
}
