//! What goes wrong when a process locks itself in.

/// The sandbox could not be entered. Holds the kernel's error.
#[derive(Debug, thiserror::Error)]
#[error("cannot enter the sandbox: {0}; --no-sandbox runs without it")]
pub struct SandboxError(pub(crate) String);

impl SandboxError {
    pub(crate) fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}
