//! The needs that a process declares.

use std::path::PathBuf;

/// What a process needs besides computing, memory and files that are already open. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    pub(crate) reads: Vec<PathBuf>,
    pub(crate) writes: Vec<PathBuf>,
    pub(crate) files: bool,
    pub(crate) network: bool,
    pub(crate) library: bool,
    pub(crate) programs: bool,
}

impl Needs {
    /// Needs nothing: it can open no file and no socket.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Reads the file or device, or everything below the directory. A path that does not exist is ignored.
    #[must_use]
    pub fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.reads.push(path.into());
        self.files = true;
        self
    }

    /// Reads, writes, creates and removes the file, or everything below the directory.
    #[must_use]
    pub fn write(mut self, path: impl Into<PathBuf>) -> Self {
        self.writes.push(path.into());
        self.files = true;
        self
    }

    /// Connects to servers and resolves their names.
    #[must_use]
    pub fn network(mut self) -> Self {
        self.network = true;
        self.files = true;
        self
    }

    /// Uses a large library whose system calls are unknown. All calls are allowed except those that start programs or
    /// change the machine.
    #[must_use]
    pub fn library(mut self) -> Self {
        self.library = true;
        self.network()
    }

    /// Whether the process remains unlimited.
    pub fn is_unheld(&self) -> bool {
        self.programs
    }

    /// Starts programs that the user named. Their needs are unknown, so nothing is limited.
    #[must_use]
    pub fn programs(mut self) -> Self {
        self.programs = true;
        self
    }
}
