//! Where a tool stores its backups: a directory, or a bucket of an S3 server that all tools share.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::seaweed::Seaweed;
use crate::workspace;

/// An empty place for one tool: its repository and whatever else it needs.
pub(crate) struct Home {
    /// For configuration, caches and databases, and for the repository unless it is in a bucket.
    pub(crate) dir: PathBuf,
    bucket: Option<(Rc<Seaweed>, String)>,
}

impl Home {
    /// Makes `dir` and a new bucket on that server.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub(crate) fn make(dir: &Path, bucket: Option<(Rc<Seaweed>, String)>) -> anyhow::Result<Self> {
        workspace::remove(dir)?;
        std::fs::create_dir_all(dir)?;
        if let Some((seaweed, name)) = &bucket {
            seaweed.make_bucket(name)?;
        }
        // Tools run in another directory and keep the paths that they are given, so the path is absolute.
        Ok(Self { dir: dir.canonicalize()?, bucket })
    }

    /// The repository's path, if it is a directory. The tool creates it.
    pub(crate) fn repository(&self) -> PathBuf {
        self.dir.join("repository")
    }

    /// The server, and the bucket's name, if it is in a bucket.
    pub(crate) fn bucket(&self) -> Option<(&Seaweed, &str)> {
        self.bucket.as_ref().map(|(seaweed, name)| (&**seaweed, name.as_str()))
    }

    /// The size of the repository, bytes.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn stored_bytes(&self) -> anyhow::Result<u64> {
        match self.bucket() {
            Some((server, name)) => server.stored_bytes(name),
            None => workspace::tree_bytes(&self.repository()),
        }
    }

    /// The number of requests that the server has received; `None` without a server.
    ///
    /// # Errors
    /// The server does not answer.
    pub(crate) fn requests(&self) -> anyhow::Result<Option<u64>> {
        self.bucket.as_ref().map(|(seaweed, _)| seaweed.requests()).transpose()
    }
}
