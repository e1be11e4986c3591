//! Removes what dead runs left, and ends attempts by force.
//!
//! A run that cleans up puts a tombstone first. It removes objects only afterwards, and the markers last. So a wrong
//! verdict about which run is dead costs work but never data.

use crate::contents::Contents;
use crate::markers::{is_dead, read_one};
use crate::pending::remove_up_to;
use crate::reclaim::{self, Survey};
use crate::tombstone::{self, Ended, LOOKS_MAX};
use crate::{Repository, RepositoryError, Result, VolumeView};
use septet_format::{BackupId, Pending, VolumeName, keys};

/// Removes what dead runs left of a volume, except for the backup `spared`, which is to be resumed. Returns the
/// unfinished backups that were removed. If a run had committed its backup, or other backups need objects under its id,
/// these objects stay. Expired tombstones are removed too.
pub fn sweep(
    repository: &Repository,
    volume: &VolumeName,
    view: &VolumeView,
    spared: Option<&BackupId>,
) -> Result<Vec<BackupId>> {
    let VolumeView { contents, markers, backups } = view;
    if backups.manifests.iter().any(|manifest| manifest.check_writable().is_err()) {
        // Only a later version knows what these backups need.
        return Ok(Vec::new());
    }
    let dead = markers.pending.iter().filter(|marker| Some(&marker.backup) != spared && is_dead(marker));
    let swept = clear_away(repository, volume, contents, dead.cloned().collect())?;
    tombstone::expire(repository, volume, contents)?;
    let unfinished = swept.into_iter().filter(|(_, ended)| *ended == Ended::Abandoned);
    Ok(unfinished.map(|(backup, _)| backup).collect())
}

/// Ends an unfinished backup, whichever run makes it, and removes what is stored of it as [`sweep`] does. If its run is
/// still alive, it fails when it commits.
pub fn discard(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<()> {
    for _ in 0..LOOKS_MAX {
        let contents = Contents::new(repository.store().list(&keys::backup_prefix(volume, backup))?);
        let Some(last) = contents.backups.get(backup).and_then(|under| under.attempts.last()) else { return Ok(()) };
        let Some(marker) = read_one(repository, volume, backup, *last)? else { continue };
        if !clear_away(repository, volume, &contents, vec![marker])?.is_empty() {
            return Ok(());
        }
    }
    Err(RepositoryError::Busy { volume: volume.clone(), backup: backup.clone() })
}

/// Ends attempts and removes what they left. The tombstones come first and the markers last: while a marker exists, the
/// next sweep finds what is left. `contents` must have been listed before the markers were read. A marker that has changed
/// since it was read is passed over: the verdict was about another run. Returns what became of the backups that no other
/// run has taken over meanwhile.
fn clear_away(
    repository: &Repository,
    volume: &VolumeName,
    contents: &Contents,
    dead: Vec<Pending>,
) -> Result<Vec<(BackupId, Ended)>> {
    let (mut cleared, mut prefixes) = (Vec::new(), Vec::new());
    for marker in dead {
        let Some(under) = contents.backups.get(&marker.backup) else { continue };
        if read_one(repository, volume, &marker.backup, marker.attempt)?.as_ref() != Some(&marker) {
            continue;
        }
        let ended = tombstone::abandon(repository, (volume, &marker.backup), marker.attempt, under)?;
        match ended {
            Ended::TakenOver => continue,
            Ended::Exists => {}
            Ended::Abandoned => {
                let prefix = keys::backup_prefix(volume, &marker.backup);
                repository.store().abort_unfinished(&prefix)?;
                prefixes.push(prefix);
            }
        }
        cleared.push((marker, under, ended));
    }
    if !prefixes.is_empty() {
        let mut remains = reclaim::plan(&Survey::take(repository, volume)?, &[]);
        remains.retain(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)));
        repository.store().delete(&remains)?;
    }
    for (marker, under, _) in &cleared {
        remove_up_to(repository, marker, under)?;
    }
    Ok(cleared.into_iter().map(|(marker, _, ended)| (marker.backup, ended)).collect())
}
