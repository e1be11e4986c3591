//! A repository in a directory, used through the real binary.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::run::{Outcome, Septet, septet};
use crate::{Scratch, assert_bytes, is_tombstone};

/// A repository in a directory.
#[derive(Debug, Clone)]
pub struct Repo {
    path: PathBuf,
}

impl Scratch {
    /// A repository in this directory. The first backup creates it.
    pub fn repo(&self) -> Repo {
        Repo::at(self.path("repo"))
    }
}

/// The summary of a backup.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the JSON, which the README explains")]
pub struct Backed {
    pub backup: String,
    pub volume: String,
    pub parent: Option<String>,
    pub bytes_volume: u64,
    pub bytes_read: u64,
    pub bytes_stored: u64,
    pub block_bytes: u64,
    pub blocks: Blocks,
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub memory_peak_bytes: u64,
}

/// The blocks of a volume, counted by what the backup did with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the JSON, which the README explains")]
pub struct Blocks {
    pub data: u64,
    pub zero: u64,
    pub hole: u64,
    pub unchanged: u64,
}

impl Blocks {
    /// The sum of all counts.
    pub fn total(&self) -> u64 {
        self.data + self.zero + self.hole + self.unchanged
    }
}

impl Repo {
    /// The repository at `path`, which need not exist yet.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The repository's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command on this repository: the given words, then `--repo`.
    pub fn septet<S: AsRef<std::ffi::OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Septet {
        septet(words).arg("--repo").arg(&self.path)
    }

    /// The command `septet backup SOURCE --json`, not run yet.
    pub fn backup_command(&self, source: &Path) -> Septet {
        self.septet(["backup", "--json"]).arg(source)
    }

    /// Backs up `source` with more `args`. Must succeed.
    pub fn backup(&self, source: &Path, args: &[&str]) -> Backed {
        let summary = self.backup_command(source).args(args).ok().summary();
        serde_json::from_value(summary.clone()).unwrap_or_else(|error| panic!("{error}: {summary}"))
    }

    /// Backs up `source` as backup `id` of the volume `vol` in blocks of 64 KiB, with more `args`.
    pub fn backup_as(&self, id: &str, source: &Path, args: &[&str]) -> Backed {
        let common = ["--volume", "vol", "--id", id];
        let chained = self.path.join("vol").is_dir();
        let blocks: &[&str] = if chained { &[] } else { &["--block-size", "64KiB"] };
        self.backup(source, &[&common[..], blocks, args].concat())
    }

    /// The command `septet restore BACKUP TARGET --json`, not run yet.
    pub fn restore_command(&self, backup: &str, target: &Path) -> Septet {
        self.septet(["restore", "--json", backup]).arg(target)
    }

    /// Restores `backup` to `target` with more `args`. Must succeed.
    pub fn restore(&self, backup: &str, target: &Path, args: &[&str]) -> Outcome {
        self.restore_command(backup, target).args(args).ok()
    }

    /// Asserts that `backup` restores to exactly `expected`.
    pub fn assert_restores(&self, backup: &str, expected: &[u8]) {
        let scratch = Scratch::in_memory();
        let target = scratch.path("restored");
        self.restore(backup, &target, &[]);
        assert_bytes(&target, expected);
    }

    /// Deletes backups. Must succeed.
    pub fn delete(&self, backups: &[&str]) -> Outcome {
        self.septet(["delete", "--json"]).args(backups).ok()
    }

    /// The keys of all objects except tombstones, sorted. A key is a file's path within the repository.
    pub fn objects(&self) -> Vec<String> {
        let mut files = self.files();
        files.retain(|key| !self.is_tombstone(key));
        files
    }

    /// The keys of all tombstones, sorted.
    pub fn tombstones(&self) -> Vec<String> {
        let mut files = self.files();
        files.retain(|key| self.is_tombstone(key));
        files
    }

    fn files(&self) -> Vec<String> {
        let mut found = Found::default();
        found.walk(&self.path, &self.path);
        found.files.sort();
        found.files
    }

    fn is_tombstone(&self, key: &str) -> bool {
        // It may have been removed meanwhile.
        is_tombstone(key, || fs::read(self.path.join(key)).unwrap_or_default())
    }

    /// All empty directories in the repository, sorted.
    pub fn empty_directories(&self) -> Vec<String> {
        let mut found = Found::default();
        found.walk(&self.path, &self.path);
        found.empty_directories.sort();
        found.empty_directories
    }
}

#[derive(Default)]
struct Found {
    files: Vec<String>,
    empty_directories: Vec<String>,
}

impl Found {
    fn walk(&mut self, root: &Path, directory: &Path) {
        let name = |path: &Path| path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        let entries: Vec<_> =
            fs::read_dir(directory).expect("a repository").map(|entry| entry.expect("an entry").path()).collect();
        if entries.is_empty() && directory != root {
            self.empty_directories.push(name(directory));
        }
        for path in entries {
            if path.is_dir() { self.walk(root, &path) } else { self.files.push(name(&path)) }
        }
    }
}
