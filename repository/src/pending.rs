//! The marker of a backup in the making: who makes it, and on which parent.
//!
//! It is written before all other objects of the backup and removed after the manifest is written,
//! or after everything else is removed. [`begin`] also keeps the first half of the agreement with
//! deletion that [`reclaim`] explains: first the marker, then the look at the parent.
//!
//! A run that resumes a dead one's backup adds a marker of the next number ([`resume`]): each is put
//! only if it is absent, so of several runs one goes on. The highest says who is at it now; a backup
//! is wanted as long as all of them are there. Whoever clears up after the dead removes the markers
//! *first*, then looks at what is left: so it sees the marker of a run that saw the dead one's.

use crate::process;
use crate::reclaim::{self, Survey};
use crate::{Repository, RepositoryError, Result};
use bytes::Bytes;
use jiff::Timestamp;
use septet_format::keys::{self, Key};
use septet_format::{BackupId, FORMAT_VERSION, JSON_BYTES_MAX, Manifest, Pending, Process, Source, VolumeName};
use septet_store::StoreErrorKind;
use std::collections::BTreeMap;

/// The markers of one volume.
#[derive(Debug, Default)]
pub struct Markers {
    /// Those that can be read, of each backup the last.
    pub pending: Vec<Pending>,
    /// The backups whose markers can't, and why.
    pub unreadable: Vec<(BackupId, RepositoryError)>,
}

/// A marker, not written yet: `by` makes the first attempt at the backup, at the time `created`.
pub fn marker(
    repository: &Repository,
    by: Process,
    created: Timestamp,
    (volume, backup): (&VolumeName, &BackupId),
    parent: Option<BackupId>,
) -> Pending {
    Pending {
        format: FORMAT_VERSION,
        repository: repository.id(),
        volume: volume.clone(),
        backup: backup.clone(),
        parent,
        attempt: 0,
        by,
        source: Source::default(),
        created,
        beat: 0,
        snapshot: None,
    }
}

/// Writes the marker and only then looks: the id must be unused, and the parent must (still) be
/// there. Gives the parent's manifest. After an error no marker of ours is left.
pub fn begin(repository: &Repository, marker: &Pending) -> Result<Option<Manifest>> {
    create(repository, marker)?;
    check_begun(repository, marker).inspect_err(|_| {
        // A marker that can't be removed now is found by `sweep` later.
        let _ = remove_own(repository, marker);
    })
}

/// Goes on with the backup of a run that is known to be dead: `marker` is that run's successor. What
/// it was uploading is given up. The same promises as of [`begin`]; `Withdrawn` if what was left has
/// been cleared away in the meantime.
pub fn resume(repository: &Repository, marker: &Pending) -> Result<Option<Manifest>> {
    create(repository, marker)?;
    check_resumed(repository, marker).inspect_err(|_| {
        let _ = remove_own(repository, marker);
    })
}

/// Writes the marker, unless there is one for this id: then the error says whose.
pub fn create(repository: &Repository, marker: &Pending) -> Result<()> {
    let Pending { volume, backup, .. } = marker;
    match repository.store().put_if_absent(&marker.key(), Bytes::from(marker.encode())) {
        Err(error) if error.kind() == StoreErrorKind::AlreadyExists => Err(match read(repository, volume, backup)? {
            Some(Pending { backup, by, created, .. }) => {
                RepositoryError::Pending { backup, host: by.machine.name, pid: by.pid, created }
            }
            None => error.into(),
        }),
        put => Ok(put?),
    }
}

fn check_begun(repository: &Repository, marker: &Pending) -> Result<Option<Manifest>> {
    let Pending { volume, backup, .. } = marker;
    let taken = |why| Err(RepositoryError::BackupExists { volume: volume.clone(), backup: backup.clone(), why });
    let objects = repository.store().list(&keys::backup_prefix(volume, backup))?;
    let has = |key: String| objects.iter().any(|object| object.key == key);
    if has(keys::manifest(volume, backup, 0)) {
        return taken("exists already");
    }
    // Writing over what a deleted backup of this id has left would destroy the backups that need it.
    if objects.len() > usize::from(has(marker.key())) {
        return taken("was deleted, or never finished, and parts of it are still there");
    }
    parent_of(repository, marker)
}

fn check_resumed(repository: &Repository, marker: &Pending) -> Result<Option<Manifest>> {
    let Pending { volume, backup, .. } = marker;
    if repository.exists(volume, backup)? || !is_wanted(repository, marker)? {
        return Err(RepositoryError::Withdrawn { volume: volume.clone(), backup: backup.clone() });
    }
    repository.store().abort_unfinished(&keys::backup_prefix(volume, backup))?;
    parent_of(repository, marker)
}

fn parent_of(repository: &Repository, marker: &Pending) -> Result<Option<Manifest>> {
    let Pending { volume, parent: Some(parent), .. } = marker else { return Ok(None) };
    match repository.manifest(volume, parent) {
        Err(RepositoryError::UnknownBackup { .. }) => {
            Err(RepositoryError::ParentGone { volume: volume.clone(), parent: parent.clone() })
        }
        manifest => manifest.map(Some),
    }
}

/// Removes the marker, and those of the runs that it resumed: the backup is committed, or nothing is
/// left of it.
pub fn remove(repository: &Repository, marker: &Pending) -> Result<()> {
    let Pending { volume, backup, attempt, .. } = marker;
    let keys: Vec<_> = (0..=*attempt).map(|attempt| keys::pending(volume, backup, attempt)).collect();
    Ok(repository.store().delete(&keys)?)
}

/// Removes this marker alone.
fn remove_own(repository: &Repository, marker: &Pending) -> Result<()> {
    Ok(repository.store().delete(&[marker.key()])?)
}

/// Whether nobody has taken away the marker, or one of those that it follows.
pub fn is_wanted(repository: &Repository, marker: &Pending) -> Result<bool> {
    let Pending { volume, backup, attempt, .. } = marker;
    for before in 0..*attempt {
        match repository.store().len(&keys::pending(volume, backup, before)) {
            Err(error) if error.kind() == StoreErrorKind::NotFound => return Ok(false),
            found => found?,
        };
    }
    Ok(read_one(repository, volume, backup, *attempt)?.as_ref() == Some(marker))
}

/// Whether this run and all that it resumed said that they read this very source.
pub(crate) fn all_read(repository: &Repository, marker: &Pending, snapshot: Option<&str>) -> Result<bool> {
    for attempt in 0..=marker.attempt {
        let of = read_one(repository, &marker.volume, &marker.backup, attempt)?;
        if of.is_none_or(|of| of.snapshot.as_deref() != snapshot) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads the last marker of a backup, if there is one.
pub fn read(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<Option<Pending>> {
    let objects = repository.store().list(&keys::backup_prefix(volume, backup))?;
    let numbers = objects.iter().filter_map(|object| number(&object.key));
    numbers.map(|(_, attempt)| attempt).max().map_or(Ok(None), |last| read_one(repository, volume, backup, last))
}

fn read_one(repository: &Repository, volume: &VolumeName, backup: &BackupId, attempt: u32) -> Result<Option<Pending>> {
    let key = keys::pending(volume, backup, attempt);
    let bytes = match repository.store().get(&key, JSON_BYTES_MAX as u64) {
        Err(error) if error.kind() == StoreErrorKind::NotFound => return Ok(None),
        got => got?,
    };
    let marker = Pending::decode(&bytes).map_err(|cause| repository.object_error(&key, cause))?;
    let names = (marker.repository, &marker.volume, &marker.backup, marker.attempt);
    let ours = names == (repository.id(), volume, backup, attempt);
    repository.ensure(ours, &key, "marker", || "it is that of another backup".to_owned())?;
    Ok(Some(marker))
}

/// The last markers of all backups of a volume.
pub fn list(repository: &Repository, volume: &VolumeName) -> Result<Markers> {
    let mut last: BTreeMap<BackupId, u32> = BTreeMap::new();
    // One request for a thousand names, instead of one for each backup, most of which have no marker.
    for object in repository.store().list(&keys::volume_prefix(volume))? {
        if let Some((backup, attempt)) = number(&object.key) {
            let known = last.entry(backup).or_default();
            *known = attempt.max(*known);
        }
    }
    let mut markers = Markers::default();
    for (backup, attempt) in last {
        match read_one(repository, volume, &backup, attempt) {
            Ok(marker) => markers.pending.extend(marker),
            Err(error @ RepositoryError::Object { .. }) => markers.unreadable.push((backup, error)),
            Err(error) if error.is_damage() => markers.unreadable.push((backup, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(markers)
}

/// Whose marker this is, and its number.
fn number(key: &str) -> Option<(BackupId, u32)> {
    match keys::parse(key)? {
        Key::Pending { backup, attempt, .. } => Some((backup, attempt)),
        _ => None,
    }
}

/// Whether the run that wrote the marker is known to have ended; what can't be known is false.
pub fn is_dead(marker: &Pending) -> bool {
    process::is_gone(&marker.by, &process::current())
}

/// Removes what dead runs have left of a volume, but for what `spared` has, which is to be resumed; tells
/// whose it was. Where the run had committed its backup, or others need what lies under its id, that stays.
pub fn sweep(repository: &Repository, volume: &VolumeName, spared: Option<&BackupId>) -> Result<Vec<BackupId>> {
    let dead = list(repository, volume)?.pending.into_iter();
    let dead: Vec<Pending> = dead.filter(|marker| Some(&marker.backup) != spared && is_dead(marker)).collect();
    if !dead.is_empty() {
        remove_all(repository, volume, &dead)?;
    }
    Ok(dead.into_iter().map(|marker| marker.backup).collect())
}

/// Ends a backup in the making, whoever makes it, if there is one: what it has written so far goes as
/// by [`sweep`]. Its run, should there still be one, fails when it finds its marker gone.
pub fn discard(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<()> {
    match read(repository, volume, backup)? {
        Some(marker) => remove_all(repository, volume, &[marker]),
        None => Ok(()),
    }
}

/// The markers go first: from then on nobody resumes what they stand for, and whoever already does has
/// left a marker that the survey sees. What a crash leaves behind then is found by any deletion.
fn remove_all(repository: &Repository, volume: &VolumeName, dead: &[Pending]) -> Result<()> {
    let prefixes: Vec<String> = dead.iter().map(|marker| keys::backup_prefix(volume, &marker.backup)).collect();
    for prefix in &prefixes {
        repository.store().abort_unfinished(prefix)?;
    }
    for marker in dead {
        remove(repository, marker)?;
    }
    let survey = Survey::take(repository, volume)?;
    let mut remains = reclaim::plan(&survey, &[]);
    remains.retain(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)));
    Ok(repository.store().delete(&remains)?)
}

#[cfg(test)]
mod tests;
