//! The end of a run that made a backup: it is kept, taken back, or left for another run to go on with.

use crate::{Repository, RepositoryError, Result, pending, reclaim, resume};
use septet_format::{Manifest, Pending, keys};
use septet_store::ObjectInfo;

/// What a run that failed has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It had committed before it failed: the backup is whole.
    Whole,
    /// Nothing.
    Nothing,
    /// Finished segments, so many with so many bytes: the next run goes on with them.
    Segments {
        /// How many.
        count: usize,
        /// Their lengths together.
        bytes: u64,
    },
}

/// Ends a run whose backup is committed: what its map does not name goes, and then its markers.
///
/// `Deleted` if somebody has taken a marker away meanwhile. Whoever does that removes the marker, and then
/// the manifest if it is there; here the manifest came first and then the look at the marker: so one of
/// both sees the other, and the backup is taken back.
pub fn finish(repository: &Repository, marker: &Pending) -> Result<Manifest> {
    let Pending { volume, backup, .. } = marker;
    let wanted = pending::is_wanted(repository, marker)?;
    let manifest = match repository.manifest(volume, backup) {
        Err(RepositoryError::UnknownBackup { .. }) => None,
        manifest => Some(manifest?).filter(|_| wanted),
    };
    let Some(manifest) = manifest else {
        repository.store().delete(&[keys::manifest(volume, backup, 0)])?;
        pending::remove(repository, marker)?;
        reclaim::run(repository, volume, &[])?;
        return Err(RepositoryError::Deleted { volume: volume.clone(), backup: backup.clone() });
    };
    if marker.attempt > 0 {
        repository.store().delete(&resume::surplus(repository, &manifest)?)?;
    }
    pending::remove(repository, marker)?;
    Ok(manifest)
}

/// Ends a run that failed: what it has left goes, unless it is to be `kept` and is worth going on with.
pub fn give_up(repository: &Repository, marker: &Pending, kept: bool) -> Result<Left> {
    let prefix = keys::backup_prefix(&marker.volume, &marker.backup);
    let store = repository.store();
    store.abort_unfinished(&prefix)?;
    let objects = store.list(&prefix)?;
    let is =
        |object: &ObjectInfo, wanted: fn(&keys::Key) -> bool| keys::parse(&object.key).is_some_and(|key| wanted(&key));
    let of_kind = |wanted| objects.iter().filter(move |object| is(object, wanted));
    let whole = of_kind(|key| matches!(key, keys::Key::Manifest { .. })).next().is_some();
    let segments: Vec<_> = of_kind(|key| matches!(key, keys::Key::Segment { .. })).collect();
    if !whole && kept && !segments.is_empty() {
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        return Ok(Left::Segments { count: segments.len(), bytes });
    }
    if !whole {
        // The markers last: while they are there, the next run finds what is left.
        let rest = objects.iter().filter(|object| !is(object, |key| matches!(key, keys::Key::Pending { .. })));
        store.delete(&rest.map(|object| object.key.clone()).collect::<Vec<_>>())?;
    }
    pending::remove(repository, marker)?;
    Ok(if whole { Left::Whole } else { Left::Nothing })
}
