//! Loop devices and mounts. They need root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use septet_volume::conformance::LoopDevice;

/// A path with the system's tools, which not every user's `PATH` contains.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Asserts that the test runs as root. A backup tool reads devices, and so do its tests.
pub fn require_root() {
    assert!(rustix::process::geteuid().is_root(), "the tests in tests/ make loop devices and mounts: run them as root");
}

/// Runs one of the system's tools, asserts that it succeeds, and returns its output.
pub fn command<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let output = Command::new(program).args(args).env("PATH", PATH).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: tests/setup installs what the tests need"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{program} failed with {}:\n{stdout}{stderr}", output.status);
    stdout
}

/// A mounted file system, unmounted when the test ends.
#[derive(Debug)]
pub struct Mount {
    directory: PathBuf,
}

impl Mount {
    /// Mounts a device at a directory. Creates the directory if it is missing.
    pub fn new(device: &Path, directory: &Path) -> Self {
        require_root();
        std::fs::create_dir_all(directory).expect("a directory to mount at");
        command("mount", [device, directory]);
        Self { directory: directory.to_owned() }
    }

    /// Mounts a tmpfs of `bytes` bytes.
    pub fn tmpfs(bytes: u64, directory: &Path) -> Self {
        require_root();
        std::fs::create_dir_all(directory).expect("a directory to mount at");
        let size = format!("size={bytes}");
        command("mount", ["-t", "tmpfs", "-o", &size, "tmpfs", directory.to_str().expect("a path in UTF-8")]);
        Self { directory: directory.to_owned() }
    }

    /// The path of `name` in the file system.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Unmounts the file system, and asserts that this succeeds, so that everything is written.
    pub fn unmount(self) {
        command("umount", [&self.directory]);
        std::mem::forget(self);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.directory).env("PATH", PATH).status();
    }
}
