//! A directory for one test. It is removed when the test ends.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::target_dir;

/// A directory for one test.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// A directory on the disk that holds the build directory, where files are read with `O_DIRECT`.
    pub fn on_disk() -> Self {
        let parent = target_dir().join("septet-tests");
        fs::create_dir_all(&parent).expect("a directory for the tests");
        Self::within(&parent)
    }

    /// A directory in memory (a tmpfs), which is fast.
    pub fn in_memory() -> Self {
        Self::within(Path::new("/dev/shm"))
    }

    fn within(parent: &Path) -> Self {
        // The name differs from those of pools, which begin with "septet_".
        let directory = tempfile::Builder::new().prefix("test-of-septet-").tempdir_in(parent);
        Self { directory: directory.expect("a directory for the test") }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// The path of `name` in the directory. It need not exist.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Writes a file.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("writing a file");
        path
    }

    /// Makes a sparse file that consists of one hole.
    pub fn hole(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.path(name);
        fs::File::create(&path).and_then(|file| file.set_len(bytes)).expect("making a sparse file");
        path
    }
}
