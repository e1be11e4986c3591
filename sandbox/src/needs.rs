//! What a process declares.

use std::path::PathBuf;

/// What a process needs beside computing, memory, and what it has open already: by itself, nothing.
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
    /// Nothing at all: no file can be opened, no socket made.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Reads the file, device or all below the directory. What is not there is not missed.
    #[must_use]
    pub fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.reads.push(path.into());
        self.files = true;
        self
    }

    /// Reads, writes, makes and removes the file, or all below the directory.
    #[must_use]
    pub fn write(mut self, path: impl Into<PathBuf>) -> Self {
        self.writes.push(path.into());
        self.files = true;
        self
    }

    /// Connects to servers, and finds their addresses.
    #[must_use]
    pub fn network(mut self) -> Self {
        self.network = true;
        self.files = true;
        self
    }

    /// Contains a large library whose system calls are not known one by one: all are there but those
    /// that start programs or change the machine.
    #[must_use]
    pub fn library(mut self) -> Self {
        self.library = true;
        self.network()
    }

    /// Whether it may do anything.
    pub fn is_unheld(&self) -> bool {
        self.programs
    }

    /// Starts programs that the user has named. What these need is not known, so nothing is held.
    #[must_use]
    pub fn programs(mut self) -> Self {
        self.programs = true;
        self
    }
}
