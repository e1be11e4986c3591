//! Settings that apply to every command.

use std::time::Duration;

/// The default timeout. The limits of the stores are chosen to match it.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);

/// Settings that apply to every run of the agents.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The maximum time that an agent may be silent or take for one read or write. After that the run fails.
    pub timeout: Duration,
    /// Whether the agents are sandboxed.
    pub sandboxing: Sandboxing,
}

impl Default for Settings {
    fn default() -> Self {
        Self { timeout: TIMEOUT_DEFAULT, sandboxing: Sandboxing::BestEffort }
    }
}

/// Whether the kernel confines the agents (Landlock, seccomp).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandboxing {
    /// The run fails if the kernel lacks a feature.
    Required,
    /// The run continues with a note if the kernel lacks a feature.
    BestEffort,
    /// The agents are not confined.
    Off,
}
