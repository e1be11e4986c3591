//! Services that all tests of a run share.
//!
//! The first test that needs a service starts it, under a lock. The service ends with the process that runs the tests,
//! which is nextest or `cargo test`. Under nextest each test is a process of its own, so no test can end the service.

use std::fs::{self, File};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The directory of a service. Its path is short, because it contains sockets, whose paths must be short.
pub(crate) fn directory(service: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("septet-{service}-{}", parent_id()));
    fs::create_dir_all(&directory).expect("a directory for a shared service");
    directory
}

/// Runs `start`, unless the file `mark` exists in the directory. `start` must create that file.
pub(crate) fn start_once(directory: &Path, mark: &str, start: impl FnOnce()) {
    let _lock = lock(directory, "start.lock", FlockOperation::LockExclusive);
    if !directory.join(mark).exists() {
        start();
        assert!(directory.join(mark).exists(), "{} was not made", directory.join(mark).display());
    }
}

/// Locks a file in the directory until the value is dropped.
pub(crate) fn lock(directory: &Path, name: &str, how: FlockOperation) -> File {
    let file = File::create(directory.join(name)).expect("a lock of a shared service");
    flock(&file, how).expect("locking a shared service");
    file
}
