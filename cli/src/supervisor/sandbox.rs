//! Whether the agents will be locked in, and what the user is told if not; see `septet_sandbox`.

use std::sync::Once;

use septet_ipc::Begin;
use septet_sandbox::missing;

use super::{Observer, RunError};
use crate::args::Global;

/// The value of the agents' variable that says how they are to be locked in.
pub(super) fn mode(global: &Global) -> &'static str {
    match (global.require_sandbox, global.no_sandbox) {
        (true, _) => "required",
        (_, true) => "off",
        _ => "best-effort",
    }
}

/// Says once what the kernel can't hold the agents to; an error, where that is required.
pub(super) fn check(begin: &Begin, global: &Global, observer: &mut dyn Observer) -> Result<(), RunError> {
    static SAID: Once = Once::new();
    let Some(why) = lacking(begin).filter(|_| !global.no_sandbox) else { return Ok(()) };
    if global.require_sandbox {
        return Err(RunError::Sandbox(format!("{why}; --require-sandbox goes without nothing")));
    }
    SAID.call_once(|| observer.note(&format!("the agents are not fully locked in: {why}")));
    Ok(())
}

fn lacking(begin: &Begin) -> Option<String> {
    let of_profile = || septet_store::needs_to_read(begin.repo()).is_unheld();
    missing().or_else(|| {
        of_profile().then(|| {
            "an AWS profile names a credential_process, which may need anything: give the keys in the environment"
                .to_owned()
        })
    })
}
