//! The root directory, the path of each key, and the store's error for each kernel error.

use crate::{StoreError, StoreErrorKind, check_key, check_prefix};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// The directory that holds the whole store.
pub(super) struct Root {
    /// Absolute, so that a change of the working directory doesn't matter.
    pub(super) path: PathBuf,
    /// The same as a URL, for messages and for other processes.
    pub(super) url: String,
}

impl Root {
    /// The root at `path`, which need not exist.
    pub(super) fn at(path: &Path) -> Result<Self, StoreError> {
        let shown = path.display();
        let refused = |cause: &dyn std::fmt::Display| {
            StoreError::new(StoreErrorKind::Other, shown.to_string(), "", "open", cause.to_string())
        };
        let path = std::path::absolute(path).map_err(|cause| refused(&cause))?;
        let url = path.to_str().ok_or_else(|| refused(&"the path is not UTF-8"))?.to_owned();
        Ok(Self { path, url })
    }

    /// The file of an object. Checks the key.
    pub(super) fn path_of(&self, key: &str, doing: &'static str) -> Result<PathBuf, StoreError> {
        check_key(key).map_err(|why| self.refuse(key, doing, why))?;
        Ok(self.path.join(key))
    }

    /// The directory of a prefix. Checks the prefix.
    pub(super) fn path_of_prefix(&self, prefix: &str, doing: &'static str) -> Result<PathBuf, StoreError> {
        check_prefix(prefix).map_err(|why| self.refuse(prefix, doing, why))?;
        Ok(self.path.join(prefix))
    }

    pub(super) fn error(&self, key: &str, doing: &'static str, errno: Errno) -> StoreError {
        error(&self.url, key, doing, errno)
    }

    pub(super) fn damaged(&self, key: &str, why: String) -> StoreError {
        StoreError::new(StoreErrorKind::Damaged, &self.url, key, "read", why)
    }

    pub(super) fn refuse(&self, key: &str, doing: &'static str, why: &str) -> StoreError {
        StoreError::new(StoreErrorKind::Other, &self.url, key, doing, why)
    }
}

/// The part of the key after the last slash.
pub(super) fn file_name(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, name)| name)
}

/// The part of the key before the last slash. Empty for the root.
pub(super) fn folder_name(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The error number of a failed call of the standard library.
pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// The store's error for a failed system call.
pub(super) fn error(url: &str, key: &str, doing: &'static str, errno: Errno) -> StoreError {
    let kind = match errno {
        Errno::NOENT => StoreErrorKind::NotFound,
        Errno::EXIST => StoreErrorKind::AlreadyExists,
        Errno::ACCESS | Errno::PERM => StoreErrorKind::PermissionDenied,
        Errno::NOSPC | Errno::DQUOT => StoreErrorKind::NoSpace,
        Errno::ROFS => StoreErrorKind::ReadOnly,
        // A bad sector. A retry does not help.
        Errno::IO if doing == "read" => StoreErrorKind::Damaged,
        Errno::IO | Errno::STALE | Errno::TIMEDOUT | Errno::NODEV | Errno::NXIO | Errno::NOTCONN => {
            StoreErrorKind::Unavailable
        }
        _ => StoreErrorKind::Other,
    };
    StoreError::new(kind, url, key, doing, plain_text(errno))
}

/// The kernel's message without the error number.
fn plain_text(errno: Errno) -> String {
    match errno {
        Errno::NOTDIR => "there is a file where a directory is needed: move it away".to_owned(),
        Errno::ISDIR => "there is a directory of that name: move it away".to_owned(),
        Errno::LOOP => "it is a symbolic link: put the file itself there".to_owned(),
        Errno::MFILE | Errno::NFILE => "too many open files: raise the limit (ulimit -n)".to_owned(),
        _ => {
            let text = errno.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}
