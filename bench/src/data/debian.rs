//! A real ext4 image with a Debian root, made with `mkfs.ext4 -d`.
//!
//! The files fill as much of the image as they can. The rest is a hole and is not counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::units::Size;

/// The share of the image that files may take. The rest is for ext4's metadata and a reserve.
const FILLED_PERCENT: u64 = 92;
/// The space that a file needs besides its blocks, for its inode and its name.
const ENTRY_BYTES: u64 = 512;
const FILESYSTEM_BLOCK_BYTES: u64 = 4096;

/// An image of at most this size is filled from the minimal root, which is made in a minute.
const SMALL: Size = Size(128 << 20);

/// The Debian root for an image of `size`, which `tests/debian` makes at first use and keeps under `target/`.
fn debian(size: Size) -> anyhow::Result<PathBuf> {
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/debian"));
    let kind = if size <= SMALL { "small" } else { "large" };
    let output = Command::new(script).arg(kind).output().with_context(|| script.display().to_string())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}

/// Makes an ext4 image of `size` at `path`.
///
/// # Errors
/// `mkfs.ext4` (Debian: e2fsprogs) is missing, the Debian root cannot be made, or there is no space.
pub(super) fn image(path: &Path, size: Size) -> anyhow::Result<()> {
    image_of(&debian(size)?, path, size)
}

fn image_of(debian: &Path, path: &Path, size: Size) -> anyhow::Result<()> {
    let root = path.with_extension("root");
    remove(&root)?;
    fs::create_dir(&root)?;
    let mut room = Room { bytes: size.0 / 100 * FILLED_PERCENT, entries: 0 };
    room.fill(&debian.join("usr"), &root.join("usr"))?;
    // mkfs would write into an existing file, so it must not exist.
    let _ = fs::remove_file(path);
    mkfs(path, &root, size, room.entries)?;
    remove(&root)
}

fn mkfs(path: &Path, root: &Path, size: Size, inodes: u64) -> anyhow::Result<()> {
    let output = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-m", "0", "-N", &(inodes + 64).to_string(), "-d"])
        .args([root, path])
        .arg(format!("{}k", size.0 / 1024))
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .context("mkfs.ext4 can't be started: install e2fsprogs")?;
    ensure!(output.status.success(), "mkfs.ext4 failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn remove(root: &Path) -> anyhow::Result<()> {
    if root.exists() { Ok(fs::remove_dir_all(root)?) } else { Ok(()) }
}

/// The remaining space in the image, and the bytes in it.
struct Room {
    bytes: u64,
    entries: u64,
}

impl Room {
    /// Copies the files of `from` in the order of their names while there is space. Skips links and devices.
    fn fill(&mut self, from: &Path, to: &Path) -> anyhow::Result<()> {
        fs::create_dir(to)?;
        self.take(FILESYSTEM_BLOCK_BYTES);
        let mut paths: Vec<PathBuf> =
            fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
        paths.sort();
        for path in paths {
            let (metadata, name) = (path.symlink_metadata()?, path.file_name().unwrap_or_default());
            if metadata.is_dir() && self.bytes > FILESYSTEM_BLOCK_BYTES + ENTRY_BYTES {
                self.fill(&path, &to.join(name))?;
            } else if metadata.is_file() && self.take(metadata.len()) {
                fs::copy(&path, to.join(name)).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    /// Reserves space for an entry of this length. Returns false if there is too little.
    fn take(&mut self, bytes: u64) -> bool {
        let left = self.bytes.checked_sub(bytes.next_multiple_of(FILESYSTEM_BLOCK_BYTES) + ENTRY_BYTES);
        self.entries += u64::from(left.is_some());
        self.bytes = left.unwrap_or(self.bytes);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_sound_file_system_that_is_nearly_full() {
        let dir = tempfile::tempdir().unwrap();
        let (debian, path) = (dir.path().join("debian"), dir.path().join("image"));
        fs::create_dir_all(debian.join("usr/bin")).unwrap();
        for number in 0..100 {
            fs::write(debian.join(format!("usr/bin/{number}")), vec![number; 1 << 20]).unwrap();
        }
        image_of(&debian, &path, Size(64 << 20)).unwrap();
        let sound = Command::new("/sbin/e2fsck").args(["-fn"]).arg(&path).output().unwrap();
        assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stdout));
        let file = fs::File::open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 64 << 20);
        assert!(crate::extents::tests::total(&crate::extents::data(&file).unwrap()) > 40 << 20);
    }
}
