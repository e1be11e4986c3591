//! The markers of unfinished backups: which process makes the backup, and on which parent.
//!
//! An attempt's marker is written before all other objects of the attempt. It is removed after the manifest is written,
//! or after everything else is removed. [`begin`] also does the backup's part of the protocol with deletion that
//! [`reclaim`] explains: it writes the marker first and checks the parent afterwards.
//!
//! A run that takes over attempt *k* writes the marker of attempt *k* + 1 ([`resume`]). A marker is written only if it
//! is absent, so exactly one of several runs resumes. This run then puts a tombstone under the key that attempt *k*
//! would commit. Only then does it start to work. So if attempt *k* is still alive, its commit fails. Everything that
//! attempt *k* writes until then has names of its own: tables carry the attempt in their names, and segments have
//! numbers from *k* × 2²⁰ on.
//!
//! A run that cleans up after a dead run also puts such a tombstone first. It removes objects only afterwards, and the
//! markers last. So a wrong verdict about which run is dead costs work but never data.

use crate::contents::{Contents, Under};
use crate::parallel::parallel;
use crate::process;
use crate::reclaim::{self, Survey};
use crate::tombstone::{self, Ended, LOOKS_MAX, READS_AT_ONCE};
use crate::{Repository, RepositoryError, Result, VolumeView};
use bytes::Bytes;
use jiff::Timestamp;
use septet_format::keys;
use septet_format::{
    BackupId, FORMAT_VERSION, JSON_BYTES_MAX, Manifest, Pending, Process, Record, Source, TombstoneReason, VolumeName,
};
use septet_store::{StoreErrorKind, both};

/// The markers of one volume.
#[derive(Debug, Default)]
pub struct Markers {
    /// The last marker of each backup, if it can be read.
    pub pending: Vec<Pending>,
    /// The backups with unreadable markers, and the errors.
    pub unreadable: Vec<(BackupId, RepositoryError)>,
}

/// Makes a marker without writing it: `by` makes the first attempt at the backup, at the time `created`.
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

/// Writes the marker and only then checks: the id must be unused, and the parent must (still) exist. Returns the
/// parent's manifest, which is not read again if it still is `known`. After an error none of this run's markers is
/// left.
pub fn begin(repository: &Repository, marker: &Pending, known: Option<&Manifest>) -> Result<Option<Manifest>> {
    create(repository, marker)?;
    check_begun(repository, marker, known).inspect_err(|_| {
        // If the marker can't be removed now, `sweep` finds it later.
        let _ = remove_own(repository, marker);
    })
}

/// Resumes the backup of a run that is considered dead. `marker` is the successor of that run's marker. That run can't
/// commit any more, and its unfinished uploads are aborted. The guarantees of [`begin`] hold too. `Withdrawn` if that
/// run has committed, or another run has ended it meanwhile.
pub fn resume(repository: &Repository, marker: &Pending, known: Option<&Manifest>) -> Result<Option<Manifest>> {
    create(repository, marker)?;
    check_resumed(repository, marker, known).inspect_err(|_| {
        let _ = remove_own(repository, marker);
    })
}

/// Like `resume`, but removes everything that was stored. The caller has ended its own previous attempt before.
/// `marker` is the successor of that attempt's marker.
pub fn start_over(repository: &Repository, marker: &Pending, known: Option<&Manifest>) -> Result<Option<Manifest>> {
    let parent = resume(repository, marker, known)?;
    let Pending { volume, backup, .. } = marker;
    let under = Under::list(repository, volume, backup)?;
    let segments = under.segments.iter().map(|number| keys::segment(volume, backup, *number));
    repository.store().delete(&segments.chain(under.tables).collect::<Vec<_>>())?;
    Ok(parent)
}

/// Writes the marker, unless one exists for this id. Then the error names the process that wrote it.
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

fn check_begun(repository: &Repository, marker: &Pending, known: Option<&Manifest>) -> Result<Option<Manifest>> {
    let (unused, parent) = both(|| check_unused(repository, marker), || parent_of(repository, marker, known));
    unused.and(parent)
}

fn check_unused(repository: &Repository, marker: &Pending) -> Result<()> {
    let Pending { volume, backup, .. } = marker;
    let objects = repository.store().list(&keys::backup_prefix(volume, backup))?;
    if objects.iter().all(|object| object.key == marker.key()) {
        return Ok(());
    }
    // Overwriting the objects of a deleted backup with this id would destroy the backups that need them.
    let why = match repository.exists(volume, backup)? {
        true => "exists already",
        false => "was deleted, or never finished, and parts of it are still there",
    };
    Err(RepositoryError::BackupExists { volume: volume.clone(), backup: backup.clone(), why })
}

/// Checks the parent first: an attempt must not be ended if no run resumes it.
fn check_resumed(repository: &Repository, marker: &Pending, known: Option<&Manifest>) -> Result<Option<Manifest>> {
    let Pending { volume, backup, attempt, .. } = marker;
    let withdrawn = || RepositoryError::Withdrawn { volume: volume.clone(), backup: backup.clone() };
    let before = attempt.checked_sub(1).ok_or_else(withdrawn)?;
    let parent = parent_of(repository, marker, known)?;
    let under = Under::list(repository, volume, backup)?;
    tombstone::take_over(repository, before, marker, &under)?;
    repository.store().abort_unfinished(&keys::backup_prefix(volume, backup))?;
    Ok(parent)
}

/// Returns the manifest of the marker's parent. A manifest is never overwritten. So if no generation higher than that
/// of `known` exists, `known` still holds.
fn parent_of(repository: &Repository, marker: &Pending, known: Option<&Manifest>) -> Result<Option<Manifest>> {
    let Pending { volume, parent: Some(parent), .. } = marker else { return Ok(None) };
    let under = Under::list(repository, volume, parent)?;
    let holds = |known: &&Manifest| known.backup == *parent && under.generations.last() == Some(&known.generation);
    let manifest = match known.filter(holds) {
        Some(known) => Ok(known.clone()),
        None => repository.manifest_under(volume, parent, &under),
    };
    let manifest = manifest.map_err(|error| match error {
        RepositoryError::UnknownBackup { .. } => {
            RepositoryError::ParentGone { volume: volume.clone(), parent: parent.clone() }
        }
        error => error,
    })?;
    manifest.check_writable().map_err(|cause| repository.object_error(&manifest.key(), cause))?;
    Ok(Some(manifest))
}

/// Removes the marker, and those of the runs that it took over. The backup is committed, or nothing is left of it.
pub fn remove(repository: &Repository, marker: &Pending) -> Result<()> {
    if marker.attempt == 0 {
        return remove_own(repository, marker);
    }
    let under = Under::list(repository, &marker.volume, &marker.backup)?;
    remove_up_to(repository, marker, &under)
}

fn remove_up_to(repository: &Repository, marker: &Pending, under: &Under) -> Result<()> {
    let Pending { volume, backup, attempt, .. } = marker;
    let attempts = under.attempts.range(..=*attempt);
    let keys: Vec<_> = attempts.map(|attempt| keys::pending(volume, backup, *attempt)).collect();
    Ok(repository.store().delete(&keys)?)
}

/// Removes only this marker.
pub(crate) fn remove_own(repository: &Repository, marker: &Pending) -> Result<()> {
    Ok(repository.store().delete(&[marker.key()])?)
}

/// Fails unless this attempt may still commit, judged by one look at the objects under the backup's id. The error says
/// which run ended it. A run checks this shortly before it commits. A tombstone that is put after this check stays for
/// a day, so a commit that is carried out later finds it.
pub fn check_current(repository: &Repository, volume: &VolumeName, backup: &BackupId, attempt: u32) -> Result<()> {
    let under = Under::list(repository, volume, backup)?;
    if under.attempts.last() == Some(&attempt) && !under.is_closed(attempt) {
        return Ok(());
    }
    Err(ended_by(repository, volume, backup, attempt, &under)?)
}

/// Why an attempt can't commit, and which run ended it, if that is known.
pub(crate) fn ended_by(
    repository: &Repository,
    volume: &VolumeName,
    backup: &BackupId,
    attempt: u32,
    under: &Under,
) -> Result<RepositoryError> {
    let (volume, backup) = (volume.clone(), backup.clone());
    for generation in under.generations.range(attempt..) {
        match repository.record(&volume, &backup, *generation) {
            Ok(Some(Record::Tombstone(found))) => {
                let (host, pid) = (found.by.machine.name, found.by.pid);
                return Ok(match found.reason {
                    TombstoneReason::TakenOver => RepositoryError::TakenOver { volume, backup, host, pid },
                    _ => RepositoryError::Deleted { volume, backup },
                });
            }
            Ok(Some(Record::Backup(_))) => {
                return Ok(RepositoryError::BackupExists { volume, backup, why: "exists already" });
            }
            Ok(None) => {}
            Err(error) if tombstone::is_unreadable(&error) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(later) = under.attempts.last().filter(|later| **later > attempt)
        && let Some(Pending { by, .. }) = read_one(repository, &volume, &backup, *later)?
    {
        return Ok(RepositoryError::TakenOver { volume, backup, host: by.machine.name, pid: by.pid });
    }
    Ok(RepositoryError::Deleted { volume, backup })
}

/// Reads the last marker of a backup, if it has one.
pub fn read(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<Option<Pending>> {
    let under = Under::list(repository, volume, backup)?;
    under.attempts.last().map_or(Ok(None), |last| read_one(repository, volume, backup, *last))
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
    repository.ensure(ours, &key, "marker", || "it is that of another backup".to_owned())?;
    Ok(Some(marker))
}

/// The last markers of all backups of a volume.
pub fn list(repository: &Repository, volume: &VolumeName) -> Result<Markers> {
    Markers::in_listing(repository, volume, &Contents::of_volume(repository, volume)?)
}

impl Markers {
    /// The last markers of all backups that a listing of the volume contains.
    pub(crate) fn in_listing(repository: &Repository, volume: &VolumeName, contents: &Contents) -> Result<Self> {
        let last = contents.backups.iter().filter_map(|(backup, under)| Some((backup, *under.attempts.last()?)));
        let last: Vec<_> = last.collect();
        let read = parallel(READS_AT_ONCE, &last, |(backup, attempt)| read_one(repository, volume, backup, *attempt));
        let mut markers = Self::default();
        for ((backup, _), read) in last.into_iter().zip(read) {
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

/// Removes what dead runs left of a volume, except for the backup `spared`, which is to be resumed. Returns the
/// affected backups. If the run had committed its backup, or other backups need objects under its id, these objects
/// stay. Expired tombstones are removed too.
pub fn sweep(
    repository: &Repository,
    volume: &VolumeName,
    view: &VolumeView,
    spared: Option<&BackupId>,
) -> Result<Vec<BackupId>> {
    let VolumeView { contents, markers, .. } = view;
    let dead = markers.pending.iter().filter(|marker| Some(&marker.backup) != spared && is_dead(marker));
    let swept = clear_away(repository, volume, contents, dead.cloned().collect())?;
    tombstone::expire(repository, volume, contents)?;
    Ok(swept)
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
/// next sweep finds what is left. `contents` must have been listed before the markers were read. Returns the backups
/// that no other run has taken over meanwhile.
fn clear_away(
    repository: &Repository,
    volume: &VolumeName,
    contents: &Contents,
    dead: Vec<Pending>,
) -> Result<Vec<BackupId>> {
    let (mut cleared, mut prefixes) = (Vec::new(), Vec::new());
    for marker in dead {
        let Some(under) = contents.backups.get(&marker.backup) else { continue };
        match tombstone::abandon(repository, (volume, &marker.backup), marker.attempt, under)? {
            Ended::TakenOver => continue,
            Ended::Exists => {}
            Ended::Abandoned => {
                let prefix = keys::backup_prefix(volume, &marker.backup);
                repository.store().abort_unfinished(&prefix)?;
                prefixes.push(prefix);
            }
        }
        cleared.push((marker, under));
    }
    if !prefixes.is_empty() {
        let mut remains = reclaim::plan(&Survey::take(repository, volume)?, &[]);
        remains.retain(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)));
        repository.store().delete(&remains)?;
    }
    for (marker, under) in &cleared {
        remove_up_to(repository, marker, under)?;
    }
    Ok(cleared.into_iter().map(|(marker, _)| marker.backup).collect())
}

#[cfg(test)]
mod tests;
