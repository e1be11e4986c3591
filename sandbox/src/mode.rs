//! How strictly the limits are enforced.

/// What [`enter`](crate::enter) does if the kernel cannot enforce the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Uses the features that the kernel has.
    #[default]
    BestEffort,
    /// Fails.
    Required,
    /// Limits nothing, even if the kernel could.
    Off,
}
