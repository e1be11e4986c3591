//! The end of a run that made a backup: the backup is committed, removed, or left for another run to resume.

use crate::contents::{Contents, Under};
use crate::tombstone::{self, Ended};
use crate::{Repository, RepositoryError, Result, pending, resume};
use septet_format::{Manifest, Pending, Record, keys};
use septet_store::{ObjectInfo, both};

/// What a failed run left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The whole backup: the run committed before it failed.
    Whole,
    /// Nothing.
    Nothing,
    /// Finished segments, from which the next run resumes.
    Segments {
        /// Their number.
        count: usize,
        /// Their total length.
        bytes: u64,
    },
    /// An unfinished backup that another run has taken over, because it considered this run dead.
    TakenOver,
}

/// Ends a run whose backup is committed. Removes what its manifest does not name, and then its markers.
///
/// The commit has succeeded, so no other run had ended this attempt before, and none can end it later. `Deleted` if the
/// backup has been deleted since.
pub fn finish(repository: &Repository, marker: &Pending) -> Result<Manifest> {
    let Pending { volume, backup, attempt, .. } = marker;
    let read = || repository.record(volume, backup, *attempt);
    let record = if *attempt == 0 {
        let (removed, record) = both(|| pending::remove(repository, marker), read);
        removed?;
        record?
    } else {
        let (under, record) = both(|| Under::list(repository, volume, backup), read);
        let record = record?;
        if let Some(Record::Backup(manifest)) = &record {
            repository.store().delete(&resume::surplus(manifest, &under?))?;
        }
        pending::remove(repository, marker)?;
        record
    };
    match record {
        Some(Record::Backup(manifest)) => Ok(manifest),
        _ => Err(RepositoryError::Deleted { volume: volume.clone(), backup: backup.clone() }),
    }
}

/// Ends a failed run. Removes what it stored, unless `kept` is set and there are segments from which a run can resume.
pub fn give_up(repository: &Repository, marker: &Pending, kept: bool) -> Result<Left> {
    let Pending { volume, backup, attempt, .. } = marker;
    let prefix = keys::backup_prefix(volume, backup);
    let store = repository.store();
    let contents = Contents::new(store.list(&prefix)?);
    let under = contents.backups.get(backup).cloned().unwrap_or_default();
    if has_committed(repository, marker, &under)? {
        pending::remove(repository, marker)?;
        return Ok(Left::Whole);
    }
    if under.attempts.last().is_some_and(|last| last > attempt) {
        return Ok(Left::TakenOver);
    }
    if kept && !under.is_closed(*attempt) && !under.segments.is_empty() {
        store.abort_unfinished(&prefix)?;
        let segments = contents.objects.iter().filter(|object| is_segment(object));
        return Ok(Left::Segments { count: under.segments.len(), bytes: segments.map(|segment| segment.bytes).sum() });
    }
    // No other backup needs the objects under this id: there were none when its first attempt began.
    let objects = under.stored(volume, backup);
    let end = || tombstone::abandon(repository, (volume, backup), *attempt, &under);
    let ended = match end() {
        // A run that has ended and has no tables has not sent its manifest either, so the room comes first.
        Err(error) if error.is_full() && !has_tables(marker, &under) => {
            store.abort_unfinished(&prefix)?;
            store.delete(&objects)?;
            end()
        }
        ended => ended,
    };
    match ended? {
        Ended::TakenOver | Ended::Exists => return Ok(Left::TakenOver),
        Ended::Abandoned => store.abort_unfinished(&prefix)?,
    };
    store.delete(&objects)?;
    pending::remove(repository, marker)?;
    Ok(Left::Nothing)
}

/// Whether this attempt has committed. An unreadable object may be its manifest.
fn has_committed(repository: &Repository, marker: &Pending, under: &Under) -> Result<bool> {
    if !under.generations.contains(&marker.attempt) {
        return Ok(false);
    }
    match repository.record(&marker.volume, &marker.backup, marker.attempt) {
        Err(error) if tombstone::is_unreadable(&error) => Ok(true),
        record => Ok(matches!(record?, Some(Record::Backup(_)))),
    }
}

/// Whether this attempt has stored a table.
fn has_tables(Pending { volume, backup, attempt, .. }: &Pending, under: &Under) -> bool {
    let own = [keys::map(volume, backup, *attempt), keys::checksums(volume, backup, *attempt)];
    under.tables.iter().any(|key| own.contains(key))
}

fn is_segment(object: &ObjectInfo) -> bool {
    matches!(keys::parse(&object.key), Some(keys::Key::Segment { .. }))
}
