//! Rebuilds a backup's lost or damaged tables from the indexes of the segments.

use septet_format::Manifest;
use septet_repository::{Rebuilt, Repository, rebuild};

use crate::Result;

/// Rebuilds the tables of a backup.
#[derive(Debug, Clone)]
pub struct RebuildRequest {
    /// The backup: an id, `VOLUME/ID` or `VOLUME@latest`.
    pub backup: String,
}

/// What was rebuilt.
#[derive(Debug)]
pub struct RebuiltTables {
    /// The backup.
    pub manifest: Manifest,
    /// The tables that were rebuilt.
    pub tables: Rebuilt,
    /// The number of segments whose indexes were read.
    pub segments: u64,
}

impl RebuildRequest {
    /// Rebuilds the lost tables. Its only write is atomic, so this may be interrupted at any time.
    ///
    /// # Errors
    /// If the remaining data is not enough, or the repository can't be read or written.
    pub fn carry_out(&self, repository: &Repository) -> Result<RebuiltTables> {
        let manifest = repository.find(&self.backup)?;
        let mut segments = 0;
        let tables = rebuild(repository, &manifest, &mut |read, _| segments = read)?;
        Ok(RebuiltTables { manifest, tables, segments })
    }
}
