//! Sources that know what changed since a backup: the questions that the next backup asks them, and the removal of
//! snapshots that it no longer needs.

use std::time::Duration;

use septet_format::{BackupId, Manifest, Tracking, VolumeName};
use septet_ipc::message::{Answer, Question};
use septet_repository::{Repository, markers};
use septet_volume::VolumeUrl;

use crate::companion::Companion;
use crate::{BackupRequest, Engine, Observer};

/// The maximum duration of the removal of snapshots. The next backup removes those that are left. The limit is lower
/// after a failure, because the storage may be the cause.
const TIDY_TIMEOUT_MAX: Duration = Duration::from_secs(60);
const TIDY_TIMEOUT_FAILED: Duration = Duration::from_secs(5);

/// Asks the storage for the ids of a snapshot that the user named. The storage never reuses these ids. None for any
/// other source.
pub(super) fn identify(
    companion: Option<&mut Companion>,
    source: &VolumeUrl,
    timeout: Duration,
) -> anyhow::Result<Option<Tracking>> {
    let is_snapshot = source.image().is_some_and(|image| image.snapshot.is_some());
    let Some(companion) = companion.filter(|_| is_snapshot) else { return Ok(None) };
    match companion.ask(&Question::Identify, timeout).map_err(anyhow::Error::msg)? {
        Answer::Tracking(tracking) => Ok(Some(*tracking)),
        answer => anyhow::bail!("{source}: cannot identify the snapshot: unexpected answer {answer:?}"),
    }
}

/// The tracking state of the parent, if the source is to be asked what changed since.
pub(super) fn base(
    request: &BackupRequest,
    parent: Option<&Manifest>,
    observer: &mut dyn Observer,
) -> Option<Tracking> {
    if request.spool.is_some() || request.source.image().is_none() {
        return None;
    }
    let base = parent.and_then(|parent| parent.tracking.clone());
    if parent.is_some() && base.is_none() {
        observer.note("the last backup was not made from an RBD image: the whole image is read and compared");
    }
    base
}

/// Removes the snapshots that this volume's backups left. The snapshot of the newest backup stays, because the next
/// backup is compared with it. The snapshots of unfinished backups stay too. The next backup retries failed removals.
pub(super) fn tidy(
    engine: &Engine,
    companion: &mut Companion,
    volume: &VolumeName,
    failed: Option<&anyhow::Error>,
    observer: &mut dyn Observer,
) {
    let timeout_max = if failed.is_some() { TIDY_TIMEOUT_FAILED } else { TIDY_TIMEOUT_MAX };
    let timeout = engine.timeout.min(timeout_max);
    let repository = engine.repository.id();
    let result = kept(&engine.repository, volume)
        .and_then(|keep| companion.ask(&Question::Tidy { repository, volume: volume.clone(), keep }, timeout));
    match result {
        Ok(Answer::Notes(notes)) => notes.iter().for_each(|text| observer.note(text)),
        Ok(answer) => observer.note(&format!("snapshots of earlier backups may remain: unexpected answer {answer:?}")),
        // The backup's error already says this.
        Err(why) if failed.is_some_and(|error| error.to_string().contains(&why)) => {}
        Err(why) => observer.note(&format!("the next backup removes the snapshots of earlier ones: {why}")),
    }
}

fn kept(repository: &Repository, volume: &VolumeName) -> Result<Vec<BackupId>, String> {
    let newest = repository.newest(volume).map_err(|error| error.to_string())?;
    let under_way = markers::list(repository, volume).map_err(|error| error.to_string())?;
    let alive = under_way.pending.into_iter().filter(|marker| !markers::is_dead(marker));
    let unknown = under_way.unreadable.into_iter().map(|(backup, _)| backup);
    let mut keep: Vec<_> = alive.map(|marker| marker.backup).chain(unknown).collect();
    keep.extend(newest.map(|manifest| manifest.backup));
    Ok(keep)
}
