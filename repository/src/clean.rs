//! Removes what no backup needs: what interrupted runs stored, and what interrupted deletions have not yet removed.

use septet_format::{BackupId, VolumeName};

use crate::{Repository, Result, reclaim, sweep};

/// The result of cleaning a volume.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// The backups whose runs died before they committed.
    pub interrupted: Vec<BackupId>,
    /// The other objects that no backup needed.
    pub objects: Vec<String>,
}

/// Cleans one volume. It is safe to run beside backups and deletions, as [`reclaim`] explains.
pub fn clean(repository: &Repository, volume: &VolumeName) -> Result<Cleaned> {
    let interrupted = sweep::sweep(repository, volume, &repository.view(volume)?, None)?;
    let objects = reclaim::run(repository, volume, &[])?;
    Ok(Cleaned { interrupted, objects })
}
