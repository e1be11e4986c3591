//! How strictly the limits are enforced.

/// What [`enter`](crate::enter) does if the kernel cannot enforce the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It uses what the kernel has.
    #[default]
    BestEffort,
    /// It fails.
    Required,
    /// It limits nothing, whatever the kernel has.
    Off,
}
