//! Which backups there are.

use septet_format::{Manifest, VolumeName};
use septet_repository::{Listing, Repository};

/// Lists the backups of one volume, or of all: `found` gets one volume after the other.
///
/// # Errors
/// If the repository can't be read, or has no such volume.
pub fn list(
    repository: &Repository,
    volume: Option<&VolumeName>,
    mut found: impl FnMut(&VolumeName, Listing),
) -> anyhow::Result<()> {
    let volumes = match volume {
        Some(volume) => vec![volume.clone()],
        None => repository.volumes()?,
    };
    for name in volumes {
        let listing = repository.backups(&name)?;
        if volume.is_some() && listing.manifests.is_empty() && listing.damaged.is_empty() {
            anyhow::bail!("the repository has no volume {name}");
        }
        found(&name, listing);
    }
    Ok(())
}

/// One backup: an id, `VOLUME/ID` or `VOLUME@latest`.
///
/// # Errors
/// If there is none of that name, or it can't be read.
pub fn show(repository: &Repository, backup: &str) -> anyhow::Result<Manifest> {
    Ok(repository.find(backup)?)
}
