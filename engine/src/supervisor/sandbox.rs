//! Whether the agents will be sandboxed, and the note to the user if not; see `septet_sandbox`.

use septet_ipc::Begin;
use septet_sandbox::missing;

use crate::{RunError, Sandboxing};

/// The value of the environment variable that tells the agents how to sandbox themselves.
pub(super) fn mode(sandboxing: Sandboxing) -> &'static str {
    match sandboxing {
        Sandboxing::Required => "required",
        Sandboxing::BestEffort => "best-effort",
        Sandboxing::Off => "off",
    }
}

/// A note for the user about restrictions that the kernel can't enforce. It is an error if they are required.
pub(super) fn check(begin: &Begin, sandboxing: Sandboxing) -> Result<Option<String>, RunError> {
    match (sandboxing, lacking(begin)) {
        (Sandboxing::Off, _) | (_, None) => Ok(None),
        (Sandboxing::Required, Some(why)) => {
            Err(RunError::Sandbox(format!("{why}; --require-sandbox does not run without it")))
        }
        (Sandboxing::BestEffort, Some(why)) => Ok(Some(format!("the agents are not fully sandboxed: {why}"))),
    }
}

fn lacking(begin: &Begin) -> Option<String> {
    let of_profile = || septet_repository::needs_to_read(begin.repo()).is_unheld();
    missing().or_else(|| {
        of_profile().then(|| {
            "an AWS profile names a credential_process, which has unknown needs: give the keys in the environment"
                .to_owned()
        })
    })
}
