//! Reads the markers of unfinished backups: which run makes which backup.

use crate::contents::{Contents, Under};
use crate::parallel::parallel;
use crate::tombstone::{self, READS_AT_ONCE};
use crate::{Repository, RepositoryError, Result, process};
use septet_format::{BackupId, JSON_BYTES_MAX, Pending, VolumeName, keys};
use septet_store::StoreErrorKind;

/// The markers of one volume.
#[derive(Debug, Default)]
pub struct Markers {
    /// The last marker of each backup, if it can be read.
    pub pending: Vec<Pending>,
    /// The backups with unreadable markers, and the errors.
    pub unreadable: Vec<(BackupId, RepositoryError)>,
}

/// Reads the last marker of a backup, if it has one.
pub fn read(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<Option<Pending>> {
    read_last(repository, volume, backup, &Under::list(repository, volume, backup)?)
}

/// Reads the last marker of a backup whose objects have just been listed. A listed marker may have been removed since
/// by its own run, which had just taken over from the run of the marker below. So the marker below counts then.
fn read_last(
    repository: &Repository,
    volume: &VolumeName,
    backup: &BackupId,
    under: &Under,
) -> Result<Option<Pending>> {
    for attempt in under.attempts.iter().rev() {
        let marker = read_one(repository, volume, backup, *attempt)?;
        if marker.is_some() {
            return Ok(marker);
        }
    }
    Ok(None)
}

pub(crate) fn read_one(
    repository: &Repository,
    volume: &VolumeName,
    backup: &BackupId,
    attempt: u32,
) -> Result<Option<Pending>> {
    let key = keys::pending(volume, backup, attempt);
    let bytes = match repository.store().get(&key, JSON_BYTES_MAX as u64) {
        Err(error) if error.kind() == StoreErrorKind::NotFound => return Ok(None),
        got => got?,
    };
    let marker = Pending::decode(&bytes).map_err(|cause| repository.object_error(&key, cause))?;
    let names = (marker.repository, &marker.volume, &marker.backup, marker.attempt);
    let ours = names == (repository.id(), volume, backup, attempt);
    repository.ensure(ours, &key, "marker", || "it belongs to another backup".to_owned())?;
    Ok(Some(marker))
}

/// The last markers of all backups of a volume.
pub fn list(repository: &Repository, volume: &VolumeName) -> Result<Markers> {
    Markers::in_listing(repository, volume, &Contents::of_volume(repository, volume)?)
}

impl Markers {
    /// The last markers of all backups that a listing of the volume contains.
    pub(crate) fn in_listing(repository: &Repository, volume: &VolumeName, contents: &Contents) -> Result<Self> {
        let marked: Vec<_> = contents.backups.iter().filter(|(_, under)| !under.attempts.is_empty()).collect();
        let read = parallel(READS_AT_ONCE, &marked, |(backup, under)| read_last(repository, volume, backup, under));
        let mut markers = Self::default();
        for ((backup, _), read) in marked.into_iter().zip(read) {
            match read {
                Ok(marker) => markers.pending.extend(marker),
                Err(error) if tombstone::is_unreadable(&error) => markers.unreadable.push((backup.clone(), error)),
                Err(error) => return Err(error),
            }
        }
        Ok(markers)
    }
}

/// Whether the run that wrote the marker is known to have ended. False if that can't be determined.
pub fn is_dead(marker: &Pending) -> bool {
    process::is_gone(&marker.by, &process::current())
}
