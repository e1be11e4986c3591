//! What can be wrong with a name, a shape or an object.
//!
//! There is a variant only where a caller branches: a newer format or an unknown feature asks for an
//! upgrade, damage is reported and worked around, an invalid name or geometry is wrong usage. Texts are
//! one line and say what is at fault; the caller, who knows the object's key, adds it.

use crate::FORMAT_VERSION;

/// Why a value or an object was refused.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Whole, but written in a format that this version does not know.
    #[error("{what}: made by a newer Septet (format {found}); upgrade septet")]
    NewerVersion {
        /// The kind of object: "manifest", "segment footer" …
        what: &'static str,
        /// The format that it claims.
        found: u32,
    },
    /// Whole, but it uses something that this version can't handle. Never damage.
    #[error("{what}: {why}")]
    Unsupported {
        /// The kind of object: "manifest", "codec" …
        what: &'static str,
        /// What it uses, and what helps.
        why: String,
    },
    /// Not what Septet wrote: flipped, cut short, or hostile.
    #[error("{what}: damaged: {why}")]
    Damaged {
        /// The kind of object: "manifest", "segment footer" …
        what: &'static str,
        /// Which check failed, in words.
        why: String,
    },
    /// A volume name or backup id that cannot be part of an object's key.
    #[error("{what} {name}: {why}")]
    InvalidName {
        /// "volume name" or "backup id".
        what: &'static str,
        /// The name, quoted, escaped, and cut when it is long.
        name: String,
        /// Which rule it breaks, and what is allowed.
        why: String,
    },
    /// A volume or block size out of bounds.
    #[error("invalid geometry: {why}")]
    InvalidGeometry {
        /// Which size is wrong, and what is allowed.
        why: String,
    },
    /// The entries to be packed into a table could not be read.
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

/// Says that `what` is damaged, and why.
pub(crate) fn damaged<T>(what: &'static str, why: impl Into<String>) -> Result<T> {
    let why = why.into();
    Err(FormatError::Damaged { what, why })
}

/// Says that `what` is whole and needs a later version of Septet.
pub(crate) fn unsupported<T>(what: &'static str, why: impl std::fmt::Display) -> Result<T> {
    Err(FormatError::Unsupported { what, why: format!("{why}: upgrade septet") })
}

/// Refuses `what` as damaged unless `good`.
pub(crate) fn ensure<S: Into<String>>(good: bool, what: &'static str, why: impl FnOnce() -> S) -> Result<()> {
    if good { Ok(()) } else { damaged(what, why()) }
}

/// Refuses every format but this crate's own, newer ones with an error of their own.
pub(crate) fn check_version(what: &'static str, found: u32) -> Result<()> {
    if found > FORMAT_VERSION {
        return Err(FormatError::NewerVersion { what, found });
    }
    ensure(found == FORMAT_VERSION, what, || format!("there is no format {found}"))
}
