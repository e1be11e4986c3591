//! A loop device for a test. It is detached when the test ends, even by a panic.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A loop device over an image file.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    /// Attaches `image` with sectors of `sector_bytes`. Panics on failure. Needs root.
    pub fn attach(image: &Path, sector_bytes: u32, options: &[&str]) -> Self {
        let output = Command::new("losetup")
            .args(["--find", "--show", "--sector-size", &sector_bytes.to_string()])
            .args(options)
            .arg(image)
            .output();
        let output = output
            .unwrap_or_else(|error| unreachable!("tests of block devices need losetup (package util-linux): {error}"));
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tests of block devices need root and loop devices: {problem}");
        Self { path: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()) }
    }

    /// Its path, such as `/dev/loop3`.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let detached = Command::new("losetup").arg("--detach").arg(&self.path).status();
        if !detached.is_ok_and(|status| status.success()) {
            eprintln!("{} could not be detached", self.path.display());
        }
    }
}
