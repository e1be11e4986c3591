//! Carries out requests on a repository.

use std::time::Duration;

use septet_repository::Repository;

use crate::{Result, Runner};

/// A repository, and the runner of the agents that work on it.
pub struct Engine<'a> {
    pub(crate) repository: Repository,
    /// The repository's URL or path, as the agents get it.
    pub(crate) repo: String,
    pub(crate) runner: &'a dyn Runner,
    /// The maximum duration of one step.
    pub(crate) timeout: Duration,
}

impl<'a> Engine<'a> {
    /// Opens an existing repository.
    ///
    /// # Errors
    /// If it does not exist, or can't be read.
    pub fn open(repo: &str, runner: &'a dyn Runner, timeout: Duration) -> Result<Self> {
        Ok(Self::of(Repository::open(repo)?, repo, runner, timeout))
    }

    /// Opens an existing repository for writing.
    ///
    /// # Errors
    /// If it does not exist, can't be read, or only a later version may change it.
    pub fn open_to_write(repo: &str, runner: &'a dyn Runner, timeout: Duration) -> Result<Self> {
        Ok(Self::of(Repository::open_to_write(repo)?, repo, runner, timeout))
    }

    /// Uses a repository that is already open, and that the agents find at `repo`.
    pub fn of(repository: Repository, repo: &str, runner: &'a dyn Runner, timeout: Duration) -> Self {
        Self { repository, repo: repo.to_owned(), runner, timeout }
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }
}
