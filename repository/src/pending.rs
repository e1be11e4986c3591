//! The markers of unfinished backups: which process makes the backup, and on which parent.
//!
//! An attempt's marker is written before all other objects of the attempt. It is removed after the manifest is written,
//! or after everything else is removed. [`begin`] also does the backup's part of the protocol with deletion that
//! [`crate::reclaim`] explains: it writes the marker first and checks the parent afterwards.
//!
//! A run that takes over attempt *k* writes the marker of attempt *k* + 1 ([`resume`]). A marker is written only if it
//! is absent, so exactly one of several runs resumes. This run then puts a tombstone under the key that attempt *k*
//! would commit. Only then does it start to work. So if attempt *k* is still alive, its commit fails. Everything that
//! attempt *k* writes until then has names of its own: tables carry the attempt in their names, and segments have
//! numbers from *k* × 2²⁰ on.
//!
//! A run that cleans up after a dead run ([`crate::sweep`]) also puts such a tombstone first.

use crate::contents::Under;
use crate::tombstone::{self, ATTEMPT_MAX};
use crate::{Repository, RepositoryError, Result, markers};
use bytes::Bytes;
use jiff::Timestamp;
use septet_format::{
    BackupId, FORMAT_VERSION, Manifest, Pending, Process, Record, Source, TombstoneReason, VolumeName, keys,
};
use septet_store::{StoreErrorKind, both};

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
/// parent's manifest, which is not read again if it still is `known`.
///
/// An attempt at an id that was abandoned before has a number above all of the earlier attempts
/// ([`VolumeView::first_attempt`](crate::VolumeView::first_attempt)). So none of its keys was used before, and no
/// request of an earlier run that is carried out late reaches its objects.
pub fn begin(repository: &Repository, marker: &Pending, known: Option<&Manifest>) -> Result<Option<Manifest>> {
    if marker.attempt > ATTEMPT_MAX {
        return Err(taken(marker, repository.exists(&marker.volume, &marker.backup)?));
    }
    create(repository, marker)?;
    check_begun(repository, marker, known).inspect_err(|error| {
        // If this fails too, a sweep finds the marker later.
        let _ = withdraw(repository, marker, error);
    })
}

/// Ends an attempt that could not begin.
fn withdraw(repository: &Repository, marker: &Pending, error: &RepositoryError) -> Result<()> {
    let Pending { volume, backup, attempt, .. } = marker;
    let is_used = matches!(error, RepositoryError::BackupExists { .. } | RepositoryError::Pending { .. });
    // The tombstone keeps the marker's key from being used again while a request to remove the marker is in flight.
    if !is_used {
        tombstone::abandon(repository, (volume, backup), *attempt, &Under::list(repository, volume, backup)?)?;
    }
    remove_own(repository, marker)
}

/// Resumes the backup of a run that is considered dead. `previous` is that run's marker, and `marker` its successor.
/// That run can't commit any more, and its unfinished uploads are aborted. The guarantees of [`begin`] hold too.
/// `Withdrawn` if that run has committed, or another run has ended it meanwhile. After any other error the new marker
/// stays: the next command resumes from it.
pub fn resume(
    repository: &Repository,
    previous: &Pending,
    marker: &Pending,
    known: Option<&Manifest>,
) -> Result<Option<Manifest>> {
    create(repository, marker)?;
    check_resumed(repository, previous, marker, known).inspect_err(|error| {
        if matches!(error, RepositoryError::Withdrawn { .. }) {
            let _ = remove_own(repository, marker);
        }
    })
}

/// Like `resume`, but removes everything that was stored. The caller has ended its own previous attempt before.
pub fn start_over(
    repository: &Repository,
    previous: &Pending,
    marker: &Pending,
    known: Option<&Manifest>,
) -> Result<Option<Manifest>> {
    let parent = resume(repository, previous, marker, known)?;
    let Pending { volume, backup, .. } = marker;
    let under = Under::list(repository, volume, backup)?;
    repository.store().delete(&under.stored(volume, backup))?;
    Ok(parent)
}

/// Writes the marker, unless one exists for this id. Then the error names the process that wrote it.
pub fn create(repository: &Repository, marker: &Pending) -> Result<()> {
    let Pending { volume, backup, .. } = marker;
    match repository.store().put_if_absent(&marker.key(), Bytes::from(marker.encode())) {
        Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {
            Err(match markers::read(repository, volume, backup)? {
                Some(Pending { backup, by, created, .. }) => {
                    RepositoryError::Pending { backup, host: by.machine.name, pid: by.pid, created }
                }
                None => error.into(),
            })
        }
        put => Ok(put?),
    }
}

fn check_begun(repository: &Repository, marker: &Pending, known: Option<&Manifest>) -> Result<Option<Manifest>> {
    let (unused, parent) = both(|| check_unused(repository, marker), || parent_of(repository, marker, known));
    unused.and(parent)
}

fn check_unused(repository: &Repository, marker: &Pending) -> Result<()> {
    let Pending { volume, backup, attempt, .. } = marker;
    let under = Under::list(repository, volume, backup)?;
    let others = under.attempts.iter().rev().find(|other| *other != attempt);
    if let Some(other) = others
        && let Some(Pending { backup, by, created, .. }) = markers::read_one(repository, volume, backup, *other)?
    {
        return Err(RepositoryError::Pending { backup, host: by.machine.name, pid: by.pid, created });
    }
    // Overwriting the objects of a deleted backup with this id would destroy the backups that need them.
    let is_empty = under.segments.is_empty() && under.tables.is_empty() && others.is_none();
    if is_empty && tombstone::all_abandoned(repository, volume, backup, &under, *attempt)? {
        return Ok(());
    }
    Err(taken(marker, repository.exists(volume, backup)?))
}

/// The error for an id that is in use.
fn taken(Pending { volume, backup, .. }: &Pending, exists: bool) -> RepositoryError {
    let why = match exists {
        true => "exists already",
        false => "was deleted or never completed, and parts of it still exist",
    };
    RepositoryError::BackupExists { volume: volume.clone(), backup: backup.clone(), why }
}

/// Checks the parent first: an attempt must not be ended if no run resumes it. Much may have happened since `previous`
/// was read. If it is no longer there, or a later attempt has ended, then the caller's verdict was about another run.
fn check_resumed(
    repository: &Repository,
    previous: &Pending,
    marker: &Pending,
    known: Option<&Manifest>,
) -> Result<Option<Manifest>> {
    let Pending { volume, backup, attempt, .. } = marker;
    let withdrawn = || RepositoryError::Withdrawn { volume: volume.clone(), backup: backup.clone() };
    let now = || markers::read_one(repository, volume, backup, previous.attempt);
    let (now, parent) = both(now, || parent_of(repository, marker, known));
    if now?.as_ref() != Some(previous) || attempt.checked_sub(1) != Some(previous.attempt) {
        return Err(withdrawn());
    }
    let parent = parent?;
    let under = Under::list(repository, volume, backup)?;
    if under.is_closed(*attempt) {
        return Err(withdrawn());
    }
    tombstone::take_over(repository, previous.attempt, marker, &under)?;
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
    repository.check_writable(&manifest)?;
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

pub(crate) fn remove_up_to(repository: &Repository, marker: &Pending, under: &Under) -> Result<()> {
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
        && let Some(Pending { by, .. }) = markers::read_one(repository, &volume, &backup, *later)?
    {
        return Ok(RepositoryError::TakenOver { volume, backup, host: by.machine.name, pid: by.pid });
    }
    Ok(RepositoryError::Deleted { volume, backup })
}

#[cfg(test)]
mod tests;
