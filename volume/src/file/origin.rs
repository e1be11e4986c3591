//! The kind of a source, and what distinguishes it from every other source of this or another machine.
//!
//! Unlike [`identity`](super::identity::identity), the origin stays the same when the content changes. So two backups
//! of one disk have the same origin.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The source of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `file`, `device` or `image`.
    pub kind: &'static str,
    /// Distinguishes the source from every other.
    pub identity: String,
}

/// The origin of the volume at `path`: a device by its serial number or WWN if it has one, otherwise by the path.
pub fn origin(path: &Path) -> Origin {
    let named = |kind| {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Origin { kind, identity: path.to_string_lossy().into_owned() }
    };
    match fs::metadata(path) {
        Ok(file) if file.file_type().is_block_device() => match hardware(file.rdev()) {
            Some(identity) => Origin { kind: "device", identity },
            None => named("device"),
        },
        _ => named("file"),
    }
}

/// A property of a block device that no other device has, according to the kernel.
fn hardware(number: u64) -> Option<String> {
    let device = format!("/sys/dev/block/{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let device = fs::canonicalize(device).ok()?;
    if let Some(uuid) = line(&device.join("dm/uuid")) {
        return Some(format!("dm {uuid}"));
    }
    match line(&device.join("partition")) {
        // A partition is identified by its disk and its number on the disk.
        Some(partition) => Some(format!("{} partition {partition}", disk(device.parent()?)?)),
        None => disk(&device),
    }
}

fn disk(device: &Path) -> Option<String> {
    let first = |files: &[&str]| files.iter().find_map(|file| line(&device.join(file)));
    let wwn = first(&["wwid", "device/wwid"]).map(|wwn| format!("wwn {wwn}"));
    wwn.or_else(|| first(&["serial", "device/serial"]).map(|serial| format!("serial {serial}")))
}

/// The content of a one-line file. `None` if it is empty or missing.
fn line(path: &PathBuf) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_canonical_path() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("volume"), folder.path().join("link"));
        fs::write(&file, b"one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let known = origin(&file);
        assert_eq!((known.kind, &known.identity), ("file", &fs::canonicalize(&file).unwrap().display().to_string()));
        fs::write(&file, b"another").unwrap();
        assert_eq!((origin(&file), origin(&link)), (known.clone(), known));
        assert_eq!(origin(&folder.path().join("gone")).kind, "file");
    }
}
