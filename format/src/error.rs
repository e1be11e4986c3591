//! Errors in a name, a geometry or an object.
//!
//! There is a variant only where a caller branches. A newer format or an unknown feature requires an upgrade. Damage is
//! reported and worked around. An invalid name or geometry is a usage error. Each text is one line and says what is
//! wrong. The caller knows the object's key and adds it.

use crate::FORMAT_VERSION;

/// Why a value or an object was rejected.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Undamaged, but written in a format that this version does not know.
    #[error("{what}: made by a newer Septet (format {found}); upgrade septet")]
    NewerVersion {
        /// The kind of object: "manifest", "segment footer" …
        what: &'static str,
        /// The format in the object.
        found: u32,
    },
    /// Undamaged, but it uses a feature that this version does not support. Never means damage.
    #[error("{what}: {why}")]
    Unsupported {
        /// The kind of object: "manifest", "codec" …
        what: &'static str,
        /// The feature, and what the user can do.
        why: String,
    },
    /// Not what Septet wrote: changed, truncated or hostile.
    #[error("{what}: damaged: {why}")]
    Damaged {
        /// The kind of object: "manifest", "segment footer" …
        what: &'static str,
        /// Which check failed, as text.
        why: String,
    },
    /// A volume name or backup id that cannot be part of an object's key.
    #[error("{what} {name}: {why}")]
    InvalidName {
        /// "volume name" or "backup id".
        what: &'static str,
        /// The name, quoted and escaped. A long name is truncated.
        name: String,
        /// Which rule the name breaks, and what is allowed.
        why: String,
    },
    /// A volume or block size out of bounds.
    #[error("invalid geometry: {why}")]
    InvalidGeometry {
        /// Which size is wrong, and what is allowed.
        why: String,
    },
    /// The entries for a table could not be read.
    #[error("cannot read the entries to be packed: {0}")]
    Read(#[from] std::io::Error),
}

/// A result whose error is a [`FormatError`].
pub type Result<T, E = FormatError> = std::result::Result<T, E>;

impl FormatError {
    /// Whether the object exists but is not what was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

/// Returns the error that `what` is damaged.
pub(crate) fn damaged<T>(what: &'static str, why: impl Into<String>) -> Result<T> {
    let why = why.into();
    Err(FormatError::Damaged { what, why })
}

/// Returns the error that `what` is undamaged but needs a later version of Septet.
pub(crate) fn unsupported<T>(what: &'static str, why: impl std::fmt::Display) -> Result<T> {
    Err(FormatError::Unsupported { what, why: format!("{why}: upgrade septet") })
}

/// Returns the error that `what` is damaged, unless `good`.
pub(crate) fn ensure<S: Into<String>>(good: bool, what: &'static str, why: impl FnOnce() -> S) -> Result<()> {
    if good { Ok(()) } else { damaged(what, why()) }
}

/// Accepts only this crate's own format. A newer format is `NewerVersion`, any other is damage.
pub(crate) fn check_version(what: &'static str, found: u32) -> Result<()> {
    if found > FORMAT_VERSION {
        return Err(FormatError::NewerVersion { what, found });
    }
    ensure(found == FORMAT_VERSION, what, || format!("there is no format {found}"))
}
