//! Carries out requests on a repository.

use std::time::Duration;

use septet_repository::{Repository, Result};

use crate::Runner;

/// A repository, and who runs the agents that work on it.
pub struct Engine<'a> {
    pub(crate) repository: Repository,
    /// The repository, as the agents are told of it.
    pub(crate) repo: String,
    pub(crate) runner: &'a dyn Runner,
    /// How long one step may take.
    pub(crate) timeout: Duration,
}

impl<'a> Engine<'a> {
    /// Opens a repository that is there.
    ///
    /// # Errors
    /// If it isn't, or can't be read.
    pub fn open(repo: &str, runner: &'a dyn Runner, timeout: Duration) -> Result<Self> {
        Ok(Self::of(Repository::open(repo)?, repo, runner, timeout))
    }

    /// Opens a repository that is there, to change something in it.
    ///
    /// # Errors
    /// If it isn't, can't be read, or only a later version may change it.
    pub fn open_to_write(repo: &str, runner: &'a dyn Runner, timeout: Duration) -> Result<Self> {
        Ok(Self::of(Repository::open_to_write(repo)?, repo, runner, timeout))
    }

    /// Opens a repository, or makes one in a place that is empty or not there yet.
    ///
    /// # Errors
    /// If the place holds something else, or can't be written to.
    pub fn open_or_create(repo: &str, runner: &'a dyn Runner, timeout: Duration) -> Result<Self> {
        Ok(Self::of(Repository::open_or_create(repo)?, repo, runner, timeout))
    }

    /// Works on a repository that is open already, and that the agents find at `repo`.
    pub fn of(repository: Repository, repo: &str, runner: &'a dyn Runner, timeout: Duration) -> Self {
        Self { repository, repo: repo.to_owned(), runner, timeout }
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }
}
