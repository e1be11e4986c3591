//! What a process may do, said by itself before it does anything, and held by the kernel from then on.
//!
//! A process declares its [`Needs`] and [`enter`]s: Landlock (`files`) decides which paths it may open and
//! whether it may connect, seccomp (`calls`) which system calls there are for it at all. Neither can be
//! taken back, and threads that are started later are born inside. So it must happen while there is one
//! thread. What was opened before stays open: that is how the agents keep their sockets and shared memory.

mod calls;
mod files;
mod needs;

pub use needs::Needs;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{secure_computing_mode, set_no_new_privs};

/// What [`enter`] does where the kernel can't hold a process to its needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It goes on with what the kernel has.
    #[default]
    BestEffort,
    /// It fails.
    Required,
    /// Nothing is held, whatever the kernel has.
    Off,
}

/// The sandbox could not be entered: what the kernel said.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox can't be entered: {0}; --no-sandbox goes without")]
pub struct SandboxError(String);

impl SandboxError {
    fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// Gives up all that is not needed, for good. The process must not have a second thread.
///
/// # Errors
/// A kernel that refuses what it has; in [`Mode::Required`] also one that has it not.
pub fn enter(needs: &Needs, mode: Mode) -> Result<(), SandboxError> {
    keep_no_memory_image();
    if mode == Mode::Off {
        return Ok(());
    }
    if mode == Mode::Required {
        let programs = needs.programs.then(|| "a program that may need anything is to be started".to_owned());
        missing().or(programs).map_or(Ok(()), |missing| Err(SandboxError(missing)))?;
    }
    set_no_new_privs(true).map_err(SandboxError::new)?;
    if !needs.programs {
        files::restrict(needs)?;
    }
    // Last, since it takes away the calls that the rest is done with.
    calls::restrict(needs, mode)
}

/// What this kernel lacks for a sandbox; none if it has all.
pub fn missing() -> Option<String> {
    if !files::available() {
        return Some(
            "this kernel has no Landlock (Linux 5.13 and later, with `landlock` in its list of LSMs)".to_owned(),
        );
    }
    if !calls::supported() || secure_computing_mode().is_err() {
        return Some("this kernel has no seccomp filters for this machine".to_owned());
    }
    None
}

/// Credentials are in memory, and a core dump would write them to a disk.
pub fn keep_no_memory_image() {
    // Neither fails where there is such a thing as a core dump.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
