//! What needs root: loop devices and mounts.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use septet_volume::conformance::LoopDevice;

/// The system's tools, which not every user's `PATH` has.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Asserts that the test runs as root: a backup tool reads devices, and its tests do.
pub fn require_root() {
    assert!(rustix::process::geteuid().is_root(), "the tests in tests/ make loop devices and mounts: run them as root");
}

/// Runs one of the system's tools and asserts that it succeeds; what it printed.
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
    /// Mounts a device at a directory, which is made if it is missing.
    pub fn new(device: &Path, directory: &Path) -> Self {
        require_root();
        std::fs::create_dir_all(directory).expect("a directory to mount at");
        command("mount", [device, directory]);
        Self { directory: directory.to_owned() }
    }

    /// A tmpfs of that size.
    pub fn tmpfs(bytes: u64, directory: &Path) -> Self {
        require_root();
        std::fs::create_dir_all(directory).expect("a directory to mount at");
        let size = format!("size={bytes}");
        command("mount", ["-t", "tmpfs", "-o", &size, "tmpfs", directory.to_str().expect("a path in UTF-8")]);
        Self { directory: directory.to_owned() }
    }

    /// The path of something in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Unmounts it, and asserts that all is written.
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
