//! The benchmark's working directory: its content and its free space.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::units::Size;

/// Creates `dir` and checks that it has space for `bytes` more.
///
/// # Errors
/// The directory cannot be created or has less space.
pub(crate) fn make_room(dir: &Path, bytes: u64) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("{}: can't make the directory", dir.display()))?;
    let statistics = rustix::fs::statvfs(dir).with_context(|| dir.display().to_string())?;
    let free = statistics.f_bavail.saturating_mul(statistics.f_frsize);
    let (free, wanted) = (Size(free), Size(bytes));
    ensure!(free >= wanted, "{}: {free} are free and {wanted} are needed: choose another --dir", dir.display());
    Ok(())
}

/// Removes `path` with its content, if it exists.
pub(crate) fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
    .with_context(|| format!("{}: can't be removed", path.display()))
}

/// Waits until everything that was written is on the disk, so that no later step pays for it.
pub(crate) fn settle() {
    rustix::fs::sync();
}

/// Drops the files below `path` from the page cache, as far as they are on the disk. A volume that is backed up at
/// night was not read just before, and neither was one that is restored.
pub(crate) fn forget(path: &Path) {
    if let Ok(entries) = fs::read_dir(path) {
        entries.flatten().for_each(|entry| forget(&entry.path()));
    } else if let Ok(file) = fs::File::open(path) {
        // Cached data that cannot be dropped only make the measured tool faster.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
}

/// The disk space of the files below `path`, bytes; 0 if there are none.
pub(crate) fn tree_bytes(path: &Path) -> anyhow::Result<u64> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(0) };
    if !metadata.is_dir() {
        return Ok(metadata.blocks() * 512);
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        bytes += tree_bytes(&entry?.path())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_the_sum_of_its_files_and_gone_once_removed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("deeper")).unwrap();
        fs::write(tree.join("one"), [1; 8192]).unwrap();
        fs::write(tree.join("deeper/two"), [2; 4096]).unwrap();
        rustix::fs::sync();
        assert_eq!(tree_bytes(&tree).unwrap(), 12_288);
        remove(&tree).unwrap();
        remove(&tree).unwrap();
        assert_eq!(tree_bytes(&tree).unwrap(), 0);
    }

    #[test]
    fn too_little_room_is_told_beforehand() {
        let dir = tempfile::tempdir().unwrap();
        make_room(dir.path(), 1).unwrap();
        let said = make_room(dir.path(), u64::MAX).unwrap_err().to_string();
        assert!(said.contains("are needed"), "{said}");
    }
}
