//! Identifies a volume, so that another volume with the same name is noticed. For example, a snapshot that was removed
//! and created again is another volume.
//!
//! A file's identity is its inode, length and times, which change with its content. A device's identity is its
//! permanent name in the device mapper, otherwise the kernel's number of the disk since boot.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The identity of the volume at `path`. No other volume ever has the same one. `None` if it cannot be determined.
pub fn identity(path: &Path) -> Option<String> {
    let file = fs::metadata(path).ok()?;
    if file.is_file() {
        let (device, inode, bytes) = (file.dev(), file.ino(), file.len());
        let modified = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
        return Some(format!("file {device} {inode} {bytes} {modified:?}"));
    }
    let number = file.rdev();
    let device = format!("/sys/dev/block/{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let device = Path::new(&device);
    let bytes = line(&device.join("size")).filter(|_| file.file_type().is_block_device())?;
    if let Some(uuid) = line(&device.join("dm/uuid")) {
        return Some(format!("device {uuid} {bytes}"));
    }
    // A partition is identified by its disk and its place on the disk.
    let disk = line(&device.join("diskseq")).or_else(|| line(&device.join("../diskseq")))?;
    let start = line(&device.join("start")).unwrap_or_default();
    let boot = line(Path::new("/proc/sys/kernel/random/boot_id"))?;
    Some(format!("device {disk} {start} {bytes} since {boot}"))
}

/// The content of a one-line file. `None` if it is empty or missing.
fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_to_or_made_anew_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("volume");
        fs::write(&path, b"one").unwrap();
        let first = identity(&path).unwrap();
        assert_eq!(identity(&path).unwrap(), first);
        fs::write(&path, b"more").unwrap();
        let second = identity(&path).unwrap();
        assert_ne!(second, first);
        fs::rename(&path, folder.path().join("old")).unwrap();
        assert_eq!(identity(&path), None);
        fs::write(&path, b"more").unwrap();
        assert_ne!(identity(&path).unwrap(), second);
    }

    #[test]
    fn what_is_neither_file_nor_disk_has_none() {
        assert_eq!(identity(Path::new("/dev/null")), None);
        assert_eq!(identity(Path::new("/")), None);
    }
}
