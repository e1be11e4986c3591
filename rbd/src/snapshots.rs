//! Septet's own snapshots: their names, and which of them are removed.
//!
//! The name of a snapshot contains the repository, the volume and the backup that it was made for. They are separated
//! by a character that no name contains. So one image may be backed up to several repositories, and a user's snapshot
//! is never mistaken for one of ours. Ceph's ids, not the names, decide which snapshot is trusted.
//!
//! The prefix is for OpenStack Cinder. Before its RBD driver deletes a volume, it removes the snapshots called
//! `backup.ID.snap.REST`, and no others. Cinder's own backup driver uses a UUID as the ID, so neither program mistakes
//! the other's snapshots for its own.

use std::sync::Arc;

use septet_format::{BackupId, VolumeName};
use septet_ipc::{BackupJob, Failure};
use septet_volume::RbdUrl;

use crate::ffi::Image;
use crate::rados::{Errno, Pool};

/// The prefix of the names of all snapshots that Septet makes.
const OURS: &str = "backup.septet.snap.";

/// The name of a backup's snapshot.
pub(crate) fn name_for(job: &BackupJob) -> String {
    format!("{}{}", prefix(&job.repository.to_string(), &job.volume), job.backup)
}

/// The prefix of the names of all snapshots for this volume.
fn prefix(repository: &str, volume: &VolumeName) -> String {
    format!("{OURS}{}+{volume}+", repository.get(..8).unwrap_or(repository))
}

/// Removes the snapshots that were made for backups of a volume, except for the backups in `keep`. Returns a note about
/// each snapshot that could not be removed.
///
/// # Errors
/// If the image can't be opened or its snapshots can't be listed.
pub(crate) fn tidy(
    pool: &Arc<Pool>,
    url: &RbdUrl,
    repository: &str,
    volume: &VolumeName,
    keep: &[BackupId],
) -> Result<Vec<String>, Failure> {
    let name = url.name();
    let surplus = match Image::open_read_only(pool, &url.image, None) {
        // The image was removed, and so were its snapshots.
        Err(Errno::NOENT) => return Ok(Vec::new()),
        image => surplus(&image.map_err(|errno| errno.at(&name, "open it"))?, repository, volume, keep)
            .map_err(|errno| errno.at(&name, "list its snapshots"))?,
    };
    if surplus.is_empty() {
        return Ok(Vec::new());
    }
    let image = Image::open(pool, &url.image).map_err(|errno| errno.at(&name, "open it"))?;
    let notes = surplus.iter().filter_map(|snapshot| match image.remove_snapshot(snapshot) {
        Ok(()) | Err(Errno::NOENT) => None,
        Err(Errno::BUSY) => Some(format!("{name}@{snapshot} stays: it is protected or has clones")),
        Err(errno) => Some(format!("{name}@{snapshot} stays until the next backup: {}", errno.words())),
    });
    Ok(notes.collect())
}

fn surplus(image: &Image, repository: &str, volume: &VolumeName, keep: &[BackupId]) -> Result<Vec<String>, Errno> {
    let prefix = prefix(repository, volume);
    let ours = image.snapshots()?.into_iter().map(|snapshot| snapshot.name);
    let surplus =
        |name: &String| name.strip_prefix(&prefix).is_some_and(|id| keep.iter().all(|kept| kept.as_str() != id));
    Ok(ours.filter(surplus).collect())
}
