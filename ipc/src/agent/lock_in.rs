//! How an agent gives up what it does not need; see `septet_sandbox`.

use septet_sandbox::{Mode, Needs, enter};

use super::process::cores;
use crate::message::Failure;

/// In it the supervisor says how the agents are to be locked in: `required`, `off`, or as well as the kernel can.
pub const SANDBOX_VARIABLE: &str = "SEPTET_SANDBOX";

/// Locks the process in, which must have one thread only.
///
/// # Errors
/// A kernel that refuses what it has, or lacks what is required.
pub fn lock_in(needs: &Needs) -> Result<(), Failure> {
    // Looked up as long as that can be done.
    cores();
    let mode = match std::env::var(SANDBOX_VARIABLE).as_deref() {
        Ok("required") => Mode::Required,
        Ok("off") => Mode::Off,
        _ => Mode::BestEffort,
    };
    enter(needs, mode).map_err(Failure::protocol)
}
