//! The exit status of a command.

use std::process::ExitCode;

use septet_engine::ErrorKind;

/// The result of a command that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Done.
    Done,
    /// Done, except for backups that only a later version can read.
    Unsupported,
    /// Done, and damage was found.
    Damage,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Unsupported => Self::FAILURE,
            Outcome::Damage => Self::from(3),
        }
    }
}

/// The exit status for an error: 2 for wrong usage, 130 for an interruption, otherwise 1.
pub(crate) fn exit_status(error: &anyhow::Error) -> u8 {
    match ErrorKind::of(error) {
        ErrorKind::BadRequest => 2,
        ErrorKind::Interrupted => 130,
        _ => 1,
    }
}
