//! Tombstones: they decide that an attempt at a backup can't commit any more.
//!
//! An attempt of number *k* commits by a `put_if_absent` of `manifest-k.json`. A run that takes the backup over, gives
//! it up or deletes it first puts a tombstone under that key, or under the next one if the backup exists. It also uses
//! `put_if_absent`. So exactly one of "attempt *k* has committed" and "attempt *k* was ended" is true. This holds even
//! if a server carries out a write late, and whether or not the run that was considered dead is dead.

use crate::contents::{Contents, Under};
use crate::parallel::parallel;
use crate::{Repository, RepositoryError, Result, process};
use jiff::Timestamp;
use septet_format::keys::{self, GENERATION_MAX};
use septet_format::{BackupId, Manifest, Pending, Record, Tombstone, TombstoneReason, VolumeName};
use septet_store::StoreErrorKind;
use std::time::{Duration, SystemTime};

/// How long a tombstone stays when nothing else of its backup is left. A request is carried out within this time after
/// its run decided on it, or never.
const STAYS: Duration = Duration::from_secs(24 * 60 * 60);

/// The generation of the last tombstone of a backup of which nothing else is left.
const LAST: u32 = GENERATION_MAX;

/// The number of the last attempt. The generations above it are reserved for tombstones.
pub(crate) const ATTEMPT_MAX: u32 = GENERATION_MAX - 95;

/// How often a look is repeated because other runs changed what was seen.
pub(crate) const LOOKS_MAX: u32 = 16;

/// The number of small objects that are read at a time.
pub(crate) const READS_AT_ONCE: usize = 64;

/// The result of ending the attempts at a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// None of them has committed, and none can any more.
    Abandoned,
    /// One of them had committed, so the backup exists.
    Exists,
    /// A later attempt has taken the backup over.
    TakenOver,
}

/// What is stored under the key that was to be occupied.
enum Occupied {
    /// The tombstone of this run.
    Ours,
    /// The tombstone of another run.
    Tombstone(TombstoneReason),
    /// A manifest, or an unreadable object that may be one.
    Manifest,
}

impl Repository {
    /// A tombstone that this run puts now.
    fn tombstone(
        &self,
        (volume, backup): (&VolumeName, &BackupId),
        generation: u32,
        reason: TombstoneReason,
    ) -> Tombstone {
        let name = (volume.clone(), backup.clone(), generation);
        let tool = concat!("septet ", env!("CARGO_PKG_VERSION"));
        Tombstone::new(self.id(), name, reason, process::current(), Timestamp::now(), tool)
    }

    /// Puts a tombstone, unless the key is taken.
    fn occupy(
        &self,
        volume: &VolumeName,
        backup: &BackupId,
        generation: u32,
        reason: TombstoneReason,
    ) -> Result<Occupied> {
        if generation > GENERATION_MAX {
            return Err(RepositoryError::TooManyAttempts { volume: volume.clone(), backup: backup.clone() });
        }
        let tombstone = self.tombstone((volume, backup), generation, reason);
        for _ in 0..LOOKS_MAX {
            match self.store().put_if_absent(&tombstone.key(), tombstone.encode().into()) {
                Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {}
                put => return put.map(|()| Occupied::Ours).map_err(Into::into),
            }
            match self.record(volume, backup, generation) {
                // The response to an earlier request may have been lost.
                Ok(Some(Record::Tombstone(found))) if found == tombstone => return Ok(Occupied::Ours),
                Ok(Some(Record::Tombstone(found))) => return Ok(Occupied::Tombstone(found.reason)),
                Ok(Some(Record::Backup(_))) | Err(RepositoryError::Object { .. }) => return Ok(Occupied::Manifest),
                // It was removed in between.
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.damaged(
            &tombstone.key(),
            "tombstone",
            "the store refuses the key as taken, but finds no object there",
        ))
    }
}

/// Occupies the keys of all attempts up to `before`, the lowest first, so that only the caller's attempt continues.
/// `Withdrawn` if one of them has committed or was ended by another run.
pub(crate) fn take_over(repository: &Repository, before: u32, next: &Pending, under: &Under) -> Result<()> {
    let Pending { volume, backup, .. } = next;
    let withdrawn = || RepositoryError::Withdrawn { volume: volume.clone(), backup: backup.clone() };
    // An attempt before the previous one may have committed since the caller looked.
    if matches!(top(repository, volume, backup, under)?.0, Top::Manifest(_) | Top::Unreadable) {
        return Err(withdrawn());
    }
    let open = under.attempts.range(..before).filter(|attempt| !under.generations.contains(attempt));
    for attempt in open.copied().chain([before]) {
        match repository.occupy(volume, backup, attempt, TombstoneReason::TakenOver)? {
            Occupied::Ours => {}
            Occupied::Tombstone(_) | Occupied::Manifest => {
                return Err(withdrawn());
            }
        }
    }
    Ok(())
}

/// Ends all attempts up to `last`, the lowest first, unless one of them has committed. `under` was listed when `last`
/// was the last attempt.
pub(crate) fn abandon(
    repository: &Repository,
    (volume, backup): (&VolumeName, &BackupId),
    last: u32,
    under: &Under,
) -> Result<Ended> {
    match top(repository, volume, backup, under)?.0 {
        Top::Manifest(_) | Top::Unreadable => return Ok(Ended::Exists),
        Top::Tombstone(_) | Top::Nothing => {}
    }
    let open = under.attempts.range(..last).copied().chain([last]);
    for attempt in open.filter(|attempt| !under.generations.contains(attempt)) {
        match repository.occupy(volume, backup, attempt, TombstoneReason::Abandoned)? {
            Occupied::Manifest => return Ok(Ended::Exists),
            // This tombstone did not exist when the attempts were listed, so there may be a later attempt now.
            Occupied::Tombstone(TombstoneReason::TakenOver) => return Ok(Ended::TakenOver),
            Occupied::Tombstone(_) | Occupied::Ours => {}
        }
    }
    Ok(Ended::Abandoned)
}

/// Deletes a backup by a tombstone. Returns its manifest if it could be read. Of the objects that the backup needs,
/// only the manifest is removed here.
pub fn delete(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<Option<Manifest>> {
    for _ in 0..LOOKS_MAX {
        let under = Under::list(repository, volume, backup)?;
        let Some(newest) = under.generations.last() else { return Ok(None) };
        let (found, damaged) = top(repository, volume, backup, &under)?;
        let manifest = match found {
            Top::Nothing | Top::Tombstone(_) if damaged.is_empty() => return Ok(None),
            Top::Manifest(manifest) => Some(*manifest),
            _ => None,
        };
        if let Some(manifest) = &manifest {
            repository.check_writable(manifest)?;
        }
        // A damaged manifest need not be understood to be deleted. One that only a later version understands must be.
        let mut ended: Vec<String> = manifest.iter().map(Manifest::key).collect();
        for (generation, error) in damaged {
            if !error.is_damage() {
                return Err(error);
            }
            ended.push(keys::manifest(volume, backup, generation));
        }
        if let Occupied::Ours = repository.occupy(volume, backup, newest + 1, TombstoneReason::Deleted)? {
            repository.store().delete(&ended)?;
            return Ok(manifest);
        }
    }
    Err(RepositoryError::Busy { volume: volume.clone(), backup: backup.clone() })
}

/// Deletes several backups of a volume. Returns the manifests that could be read. None is deleted if only a later version
/// can read one of them, or may change any backup of the volume.
pub fn delete_all(repository: &Repository, volume: &VolumeName, backups: &[BackupId]) -> Result<Vec<Manifest>> {
    let mut all = repository.backups(volume)?;
    for manifest in &all.manifests {
        repository.check_writable(manifest)?;
    }
    let is_named = |backup: &BackupId| backups.contains(backup);
    if let Some(at) = all.damaged.iter().position(|(backup, error)| is_named(backup) && !error.is_damage()) {
        return Err(all.damaged.swap_remove(at).1);
    }
    let deleted = parallel(READS_AT_ONCE, backups, |backup| delete(repository, volume, backup));
    Ok(deleted.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Whether all records of an id are tombstones of attempts before `attempt` that were abandoned: no backup of this id
/// was ever deleted.
pub(crate) fn all_abandoned(
    repository: &Repository,
    volume: &VolumeName,
    backup: &BackupId,
    under: &Under,
    attempt: u32,
) -> Result<bool> {
    for generation in &under.generations {
        let is_abandoned = match repository.record(volume, backup, *generation) {
            Ok(Some(Record::Tombstone(found))) => found.reason != TombstoneReason::Deleted,
            Ok(_) => false,
            Err(error) if is_unreadable(&error) => false,
            Err(error) => return Err(error),
        };
        if !is_abandoned || *generation >= attempt {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The content of the newest readable generation.
pub(crate) enum Top {
    Nothing,
    Manifest(Box<Manifest>),
    Tombstone(TombstoneReason),
    /// There are generations, but none is readable.
    Unreadable,
}

/// Reads the newest readable generation. Also returns the errors of those above it.
pub(crate) fn top(
    repository: &Repository,
    volume: &VolumeName,
    backup: &BackupId,
    under: &Under,
) -> Result<(Top, Vec<(u32, RepositoryError)>)> {
    let mut under = std::borrow::Cow::Borrowed(under);
    'look: for _ in 0..LOOKS_MAX {
        let mut errors = Vec::new();
        for generation in under.generations.iter().rev() {
            match repository.record(volume, backup, *generation) {
                Ok(Some(Record::Backup(manifest))) => return Ok((Top::Manifest(Box::new(manifest)), errors)),
                Ok(Some(Record::Tombstone(found))) => return Ok((Top::Tombstone(found.reason), errors)),
                // It has just been removed, so there is a newer one, or none any more.
                Ok(None) => {
                    under = std::borrow::Cow::Owned(Under::list(repository, volume, backup)?);
                    continue 'look;
                }
                Err(error) if is_unreadable(&error) => {
                    let is_damage = error.is_damage();
                    errors.push((*generation, error));
                    if !is_damage {
                        // Only a later version knows which generation holds. The older one need not.
                        return Ok((Top::Unreadable, errors));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let nothing = if errors.is_empty() { Top::Nothing } else { Top::Unreadable };
        return Ok((nothing, errors));
    }
    Err(RepositoryError::Busy { volume: volume.clone(), backup: backup.clone() })
}

/// Whether the object exists but is invalid or has another version.
pub(crate) fn is_unreadable(error: &RepositoryError) -> bool {
    matches!(error, RepositoryError::Object { .. }) || error.is_damage()
}

/// The keys of older generations that are manifests. No backup needs them. They stay if any generation is unreadable,
/// unless the backup was deleted.
pub(crate) fn outdated(repository: &Repository, volume: &VolumeName, contents: &Contents) -> Result<Vec<String>> {
    let several: Vec<_> = contents.backups.iter().filter(|(_, under)| under.generations.len() > 1).collect();
    let found = parallel(READS_AT_ONCE, &several, |(backup, under)| outdated_of(repository, volume, backup, under));
    Ok(found.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

fn outdated_of(repository: &Repository, volume: &VolumeName, backup: &BackupId, under: &Under) -> Result<Vec<String>> {
    let (found, errors) = top(repository, volume, backup, under)?;
    if !errors.is_empty() || matches!(found, Top::Nothing | Top::Unreadable) {
        return Ok(Vec::new());
    }
    let was_deleted = matches!(found, Top::Tombstone(TombstoneReason::Deleted));
    let mut outdated = Vec::new();
    for generation in under.generations.iter().rev().skip(1) {
        match repository.record(volume, backup, *generation) {
            Ok(Some(Record::Backup(manifest))) => outdated.push(manifest.key()),
            Ok(_) => {}
            Err(error) if error.is_damage() && was_deleted => {
                outdated.push(keys::manifest(volume, backup, *generation));
            }
            Err(error) if is_unreadable(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    }
    Ok(outdated)
}

/// Removes tombstones that are older than a day by the store's own clock. These are tombstones of attempts that were
/// taken over by one that has committed since, and of backups of which nothing else is left. Returns their keys.
///
/// When nothing else of a backup is left, requests to delete its objects may still be in flight. So its tombstones are
/// first replaced by one under a generation that no attempt can have ([`LAST`]). A day later this one is removed. Only
/// then the id is free again, and nothing that is carried out late can reach an object of a new backup.
pub(crate) fn expire(repository: &Repository, volume: &VolumeName, contents: &Contents) -> Result<Vec<String>> {
    let candidates: Vec<_> = contents.backups.iter().filter(|(_, under)| may_have_expired(under)).collect();
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let Some(now) = repository.store().now()? else { return Ok(Vec::new()) };
    let mut expired = Vec::new();
    let mut replaced = Vec::new();
    for (backup, under) in candidates {
        let prefix = keys::backup_prefix(volume, backup);
        let objects: Vec<_> = contents.objects.iter().filter(|object| object.key.starts_with(&prefix)).collect();
        let is_record = |key: &str| matches!(keys::parse(key), Some(keys::Key::Manifest { .. }));
        let mut records = objects.iter().filter(|object| is_record(&object.key));
        if !records.all(|object| is_old(object.modified, now)) {
            continue;
        }
        let is_alone = objects.iter().all(|object| is_record(&object.key));
        let mut old = expired_of(repository, volume, backup, under, is_alone)?;
        let is_last = old.len() == 1 && under.generations.contains(&LAST);
        if old.len() == under.generations.len() && !is_last {
            replaced.push(backup);
            // From a run that died before it removed the others: the day begins again.
            old.retain(|key| *key != keys::manifest(volume, backup, LAST));
        }
        expired.extend(old);
    }
    let last = parallel(READS_AT_ONCE, &replaced, |backup| {
        let tombstone = repository.tombstone((volume, backup), LAST, TombstoneReason::Deleted);
        // No manifest is ever put under this key, so it may be overwritten.
        Ok(repository.store().put(&tombstone.key(), tombstone.encode().into())?)
    });
    last.into_iter().collect::<Result<()>>()?;
    repository.store().delete(&expired)?;
    Ok(expired)
}

/// Removes the tombstones of a volume of which nothing else is left, whatever their age. Only for a volume whose name
/// and ids are never used again, and whose runs have all succeeded: none of their requests is in flight.
pub fn forget(repository: &Repository, volume: &VolumeName) -> Result<()> {
    let contents = Contents::of_volume(repository, volume)?;
    let mut tombstones = Vec::new();
    for (backup, under) in &contents.backups {
        tombstones.extend(expired_of(repository, volume, backup, under, true)?);
    }
    if tombstones.len() == contents.objects.len() {
        repository.store().delete(&tombstones)?;
    }
    Ok(())
}

/// A backup that exists has tables.
fn may_have_expired(under: &Under) -> bool {
    under.attempts.is_empty()
        && (under.generations.len() > 1 || (under.tables.is_empty() && !under.generations.is_empty()))
}

fn is_old(modified: Option<SystemTime>, now: SystemTime) -> bool {
    modified.and_then(|modified| now.duration_since(modified).ok()).is_some_and(|age| age > STAYS)
}

/// The tombstones of one backup, the lowest first, if all may be removed. If the highest generation is a manifest, all
/// tombstones below it.
fn expired_of(
    repository: &Repository,
    volume: &VolumeName,
    backup: &BackupId,
    under: &Under,
    is_alone: bool,
) -> Result<Vec<String>> {
    let (mut tombstones, mut newest_is_manifest) = (Vec::new(), false);
    for generation in &under.generations {
        newest_is_manifest = match repository.record(volume, backup, *generation) {
            Ok(Some(Record::Tombstone(tombstone))) => {
                tombstones.push(tombstone.key());
                false
            }
            Ok(Some(Record::Backup(_))) => true,
            // Another run is changing it, or it is unknown which generation holds.
            Ok(None) => return Ok(Vec::new()),
            Err(error) if is_unreadable(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
    }
    let all_tombstones = tombstones.len() == under.generations.len();
    Ok(if newest_is_manifest || (all_tombstones && is_alone) { tombstones } else { Vec::new() })
}
