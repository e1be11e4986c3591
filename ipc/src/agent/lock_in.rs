//! How an agent gives up the rights that it does not need; see `septet_sandbox`.

use septet_sandbox::{Mode, Needs, enter};

use super::process::cores;
use crate::message::Failure;

/// The environment variable in which the supervisor sets how agents are locked in: `required`, `off`, or otherwise as
/// far as the kernel can.
pub const SANDBOX_VARIABLE: &str = "SEPTET_SANDBOX";

/// Locks the process in. The process must have only one thread.
///
/// # Errors
/// The kernel refuses a rule that it supports, or lacks one that is required.
pub fn lock_in(needs: &Needs) -> Result<(), Failure> {
    // This must be read before the lock-in: afterwards it is no longer accessible.
    cores();
    let mode = match std::env::var(SANDBOX_VARIABLE).as_deref() {
        Ok("required") => Mode::Required,
        Ok("off") => Mode::Off,
        _ => Mode::BestEffort,
    };
    enter(needs, mode).map_err(Failure::protocol)
}
