//! Landlock: which paths the process may open, whether it may connect to servers, which processes it may signal.
//!
//! Landlock checks a path when it is opened. Files that are already open are not affected. On an older kernel the
//! missing parts are left out: 5.13 has files, 6.7 has TCP, 6.12 has signals.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    Scope, path_beneath_rules,
};

use crate::{Needs, SandboxError};

/// The newest Landlock version that this was tested with.
const TESTED: ABI = ABI::V6;

/// Whether the kernel has Landlock and has it enabled.
pub(crate) fn available() -> bool {
    let oldest = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    oldest.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// Forbids every path that is not needed, and all connections unless they are needed.
pub(crate) fn restrict(needs: &Needs) -> Result<(), SandboxError> {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let ruleset = ruleset.handle_access(AccessFs::from_all(TESTED)).map_err(SandboxError::new)?;
    let taken = if needs.network { AccessNet::BindTcp.into() } else { AccessNet::from_all(TESTED) };
    let ruleset = ruleset.handle_access(taken).map_err(SandboxError::new)?;
    let ruleset = ruleset.scope(Scope::from_all(TESTED)).map_err(SandboxError::new)?;
    let ruleset = ruleset.create().map_err(SandboxError::new)?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let ruleset = ruleset.add_rules(path_beneath_rules(&needs.reads, read)).map_err(SandboxError::new)?;
    let ruleset = ruleset.add_rules(path_beneath_rules(&needs.writes, read | writing())).map_err(SandboxError::new)?;
    ruleset.restrict_self().map(drop).map_err(SandboxError::new)
}

/// Creates, writes and removes regular files and directories. No devices, sockets or links.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
}
