//! Limits a process to its declared needs. The kernel enforces the limits.
//!
//! A process declares its [`Needs`] and calls [`enter`]. Landlock (`files`) then limits the paths that it may open and
//! whether it may connect. seccomp (`calls`) limits its system calls. Neither can be undone. Threads that start later
//! inherit both, so a process must enter while it has only one thread. Files that were opened before stay
//! open. So agents keep their sockets and shared memory.

mod calls;
mod error;
mod files;
mod mode;
mod needs;

pub use error::SandboxError;
pub use mode::Mode;
pub use needs::Needs;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{secure_computing_mode, set_no_new_privs};

/// Permanently gives up everything that is not needed. The process must have only one thread.
///
/// # Errors
/// If the kernel refuses to enable a feature that it has. In [`Mode::Required`], also if the kernel lacks a feature.
pub fn enter(needs: &Needs, mode: Mode) -> Result<(), SandboxError> {
    keep_no_memory_image();
    if mode == Mode::Off {
        return Ok(());
    }
    if mode == Mode::Required {
        let programs = needs.programs.then(|| "an AWS profile starts a program with unknown needs".to_owned());
        missing().or(programs).map_or(Ok(()), |missing| Err(SandboxError(missing)))?;
    }
    set_no_new_privs(true).map_err(SandboxError::new)?;
    if !needs.programs {
        files::restrict(needs)?;
    }
    // seccomp comes last: it forbids the calls that the steps above make.
    calls::restrict(needs, mode)
}

/// The feature that this kernel lacks for a sandbox, or `None`.
pub fn missing() -> Option<String> {
    if !files::available() {
        return Some(
            "this kernel has no Landlock (Linux 5.13 and later, with `landlock` in its list of LSMs)".to_owned(),
        );
    }
    if !calls::supported() || secure_computing_mode().is_err() {
        return Some("this kernel has no seccomp filters for this architecture".to_owned());
    }
    None
}

/// Disables core dumps. Memory may hold credentials, and a core dump would write them to a disk.
pub fn keep_no_memory_image() {
    // Neither call fails on a kernel that has core dumps.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
