//! Landlock: which paths may be opened, whether anything may be connected to, whom signals may reach.
//!
//! It decides when something is opened; what is open already is not asked about. Of what a kernel
//! is too old for, it leaves out that part: 5.13 has the files, 6.7 TCP, 6.12 signals.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    Scope, path_beneath_rules,
};

use crate::{Needs, SandboxError};

/// The newest that this was tested with.
const TESTED: ABI = ABI::V6;

/// Whether the kernel has Landlock, and it is switched on.
pub(crate) fn available() -> bool {
    let oldest = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    oldest.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// Takes away every path that is not needed, and all connections unless some are.
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

/// Regular files and directories, made, written and removed: no devices, no sockets, no links.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
}
