//! How a command ends: its exit status, and the errors that have one of their own.

use std::process::ExitCode;

use septet_engine::ErrorKind;

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

/// The exit status for an error: 2 for wrong usage, 130 for an interruption, else 1.
pub(crate) fn exit_status(error: &anyhow::Error) -> u8 {
    match ErrorKind::of(error) {
        ErrorKind::BadRequest => 2,
        ErrorKind::Interrupted => 130,
        _ => 1,
    }
}
