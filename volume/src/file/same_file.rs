//! Compares two paths. A restore onto its own source must be intended.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Whether both paths lead to the same file or block device. False if either can't be accessed.
pub fn same_file(a: &Path, b: &Path) -> bool {
    let (Ok(a), Ok(b)) = (std::fs::metadata(a), std::fs::metadata(b)) else {
        return false;
    };
    if a.file_type().is_block_device() && b.file_type().is_block_device() {
        return a.rdev() == b.rdev();
    }
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}
