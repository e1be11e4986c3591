//! Settings that apply to every command.

use std::time::Duration;

/// What the store's own limits are made for.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);

/// What holds for every run of the agents.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long an agent may be silent, or at one read or write, before the run is given up.
    pub timeout: Duration,
    /// Whether the kernel confines the agents.
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
    /// A run fails where the kernel lacks something.
    Required,
    /// A run goes on with a note where the kernel lacks something.
    BestEffort,
    /// The agents are not confined.
    Off,
}
