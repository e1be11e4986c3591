//! Lists backups.

use septet_format::{Manifest, VolumeName};
use septet_repository::{Listing, Repository};

use crate::Result;
use crate::error::NotFound;

/// Lists the backups of one volume or of all volumes. Calls `found` for each volume.
///
/// # Errors
/// If the repository can't be read, or the volume does not exist.
pub fn list(
    repository: &Repository,
    volume: Option<&VolumeName>,
    mut found: impl FnMut(&VolumeName, Listing),
) -> Result<()> {
    let Some(volume) = volume else { return Ok(repository.each_listing(&repository.volumes()?, found)?) };
    let listing = repository.backups(volume)?;
    if listing.manifests.is_empty() && listing.damaged.is_empty() {
        return Err(NotFound(format!("the repository has no volume {volume}")).into());
    }
    found(volume, listing);
    Ok(())
}

/// Finds one backup: an id, `VOLUME/ID` or `VOLUME@latest`.
///
/// # Errors
/// If no backup has this name, or it can't be read.
pub fn show(repository: &Repository, backup: &str) -> Result<Manifest> {
    Ok(repository.find(backup)?)
}
