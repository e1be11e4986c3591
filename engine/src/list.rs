//! Lists backups.

use septet_format::{Manifest, VolumeName};
use septet_repository::{Listing, Repository};

/// Lists the backups of one volume or of all volumes. Calls `found` for each volume.
///
/// # Errors
/// If the repository can't be read, or the volume does not exist.
pub fn list(
    repository: &Repository,
    volume: Option<&VolumeName>,
    mut found: impl FnMut(&VolumeName, Listing),
) -> anyhow::Result<()> {
    let Some(volume) = volume else { return Ok(repository.each_listing(&repository.volumes()?, found)?) };
    let listing = repository.backups(volume)?;
    if listing.manifests.is_empty() && listing.damaged.is_empty() {
        anyhow::bail!("the repository has no volume {volume}");
    }
    found(volume, listing);
    Ok(())
}

/// Finds one backup: an id, `VOLUME/ID` or `VOLUME@latest`.
///
/// # Errors
/// If no backup has this name, or it can't be read.
pub fn show(repository: &Repository, backup: &str) -> anyhow::Result<Manifest> {
    Ok(repository.find(backup)?)
}
