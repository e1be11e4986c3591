//! Tests files on a disk and on tmpfs, and loop devices of both sector sizes: reads, writes and failures.
//!
//! These tests attach loop devices and mount file systems, so they need root. Without root they fail.

mod bad_disk;
mod devices;
mod model;
mod new_file;
mod overwrite;
mod reading;
mod refused;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::target::{FileTarget, TargetOptions};
use crate::VolumeError;
use crate::conformance::LoopDevice;

/// A directory on the disk, where O_DIRECT works.
pub(super) fn disk() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory on the disk")
}

/// A directory on tmpfs.
pub(super) fn tmpfs() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a directory on tmpfs")
}

pub(super) fn file(directory: &Path, bytes: &[u8]) -> PathBuf {
    let path = directory.join("volume");
    std::fs::write(&path, bytes).expect("the volume's file");
    path
}

/// A loop device over `image` that doesn't cache.
pub(super) fn direct_loop(image: &Path, sector_bytes: u32) -> LoopDevice {
    LoopDevice::attach(image, sector_bytes, &["--direct-io=on"])
}

pub(super) fn open_target(path: &Path, bytes: usize, overwrite: bool) -> Result<FileTarget, VolumeError> {
    FileTarget::open(path, &TargetOptions { volume_bytes: bytes as u64, overwrite })
}

/// A mounted file system, unmounted when the test ends.
pub(super) struct Mount(pub(super) PathBuf);

impl Mount {
    pub(super) fn new(arguments: &[&str], point: PathBuf) -> Self {
        std::fs::create_dir_all(&point).expect("a mount point");
        run(Command::new("mount").args(arguments).arg(&point));
        Self(point)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.0));
    }
}

/// Runs a tool. Panics if the tool fails.
pub(super) fn run(command: &mut Command) {
    let output = command.output().expect("the tool runs");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} (this test needs root): {problem}");
}
