//! The error of entering the sandbox.

/// The sandbox could not be entered. Contains the kernel's error.
#[derive(Debug, thiserror::Error)]
#[error("cannot enter the sandbox: {0}; --no-sandbox runs without it")]
pub struct SandboxError(pub(crate) String);

impl SandboxError {
    pub(crate) fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}
