//! A backup: finds out what to compare with, runs the agents, and clears away what a run that failed has left.

use std::time::Duration;

use septet_format::{BLOCK_BYTES_DEFAULT, BackupId, Manifest, Tracking, VolumeName};
use septet_ipc::BackupJob;
use septet_repository::resume::{self, Interrupted};
use septet_repository::{PartRules, Repository, pending};
use septet_volume::{Origin, RbdUrl, VolumeUrl};

use crate::attempt::Attempt;
use crate::companion::Companion;
use crate::words::size;
use crate::{BackupRequest, BadRequest, Compare, Engine, Made, Observer, Runner, place, tracking};

/// How large each pool may become: a store that is far away wants much on its way at once, a small volume has not so much.
pub(super) fn pool_bytes(Engine { repository, runner, .. }: &Engine, volume_bytes: Option<u64>) -> u64 {
    let PartRules { part_bytes, parts_in_flight, .. } = repository.part_rules();
    // Those on their way, and one that is being gathered.
    let wanted_bytes = part_bytes as u64 * (parts_in_flight as u64 + 1);
    wanted_bytes.min(volume_bytes.unwrap_or(u64::MAX)).max(runner.pool_bytes_min())
}

/// How many reads of the repository go on at once, if the user does not say.
pub(super) fn streams(repository: &Repository, given: Option<u32>) -> u32 {
    let of_store = u32::try_from(repository.part_rules().parts_in_flight).unwrap_or(u32::MAX);
    given.unwrap_or(of_store.max(4))
}

/// Backs up a volume to a repository, which is made if the place is empty.
///
/// # Errors
/// Whatever keeps the backup from being made; what the run had stored then is gone or can be gone on with.
pub fn back_up(
    repo: &str,
    request: &BackupRequest,
    runner: &dyn Runner,
    timeout: Duration,
    observer: &mut dyn Observer,
) -> anyhow::Result<Made> {
    if request.spool.is_none() {
        place::check_exists(&request.source)?;
    }
    Engine::open_or_create(repo, runner, timeout)?.back_up(request, observer)
}

impl Engine<'_> {
    /// Backs up a volume.
    ///
    /// # Errors
    /// Whatever keeps the backup from being made; what the run had stored then is gone or can be gone on with.
    pub fn back_up(&self, request: &BackupRequest, observer: &mut dyn Observer) -> anyhow::Result<Made> {
        let repository = &self.repository;
        let source = &request.source;
        // It connects while the run goes on.
        let mut companion = request.spool.is_none().then(|| Companion::start(source, self.timeout)).flatten();
        let volume = request.volume.clone().unwrap_or_else(|| default_volume(source));
        if let Some(note) = repository.upload_note()? {
            observer.note(&note);
        }
        let history = History::new(self, &volume, request, observer)?;
        let tracking = tracking::identify(companion.as_mut(), source, self.timeout)?;
        let snapshot = snapshot(source, tracking.as_ref(), request, observer);
        let interrupted = interrupted(repository, &volume, request, &history, snapshot.as_deref())?;
        self.clear_up(&volume, interrupted.as_ref(), observer)?;
        let origin = source_origin(source, tracking.as_ref());
        let base = tracking::base(request, history.parent.as_ref(), observer);
        // What was stored may be of another moment than the parent and of another than now.
        let distrusted = interrupted.as_ref().is_some_and(|interrupted| !interrupted.unchanged);
        let job = BackupJob {
            source: source.to_string(),
            source_kind: origin.kind.to_owned(),
            source_identity: origin.identity,
            machine: septet_repository::machine(),
            repo: self.repo.clone(),
            repository: repository.id(),
            volume: volume.clone(),
            backup: interrupted.as_ref().map_or(history.id, |interrupted| interrupted.marker.backup.clone()),
            attempt: 0,
            parent: history.parent.as_ref().map(|parent| parent.backup.clone()),
            sequence: history.sequence,
            metadata: request.metadata.clone(),
            block_bytes: history.block_bytes,
            compression: request.compression,
            streams: request.streams,
            pool_bytes: pool_bytes(self, file_bytes(source)),
            segment_bytes: request.segment_bytes,
            volume_bytes: None,
            resume: None,
            tracking: tracking.map(Box::new),
            base: base.filter(|_| !distrusted),
            audit_ppm: if source.image().is_some() { request.audit_ppm } else { 0 },
            spool: request.spool.as_ref().map(|spool| spool.to_string_lossy().into_owned()),
        };
        let free_parent = !matches!(request.compare, Compare::With(_));
        let mut attempt = Attempt { engine: self, job, snapshot, interrupted, failed: None, free_parent };
        let result = attempt.make(observer);
        if let Some(companion) = &mut companion {
            tracking::tidy(self, companion, &volume, result.as_ref().err(), observer);
        }
        result
    }

    /// Clears away what runs that died have left, but for what this one goes on with, and says so.
    fn clear_up(
        &self,
        volume: &VolumeName,
        interrupted: Option<&Interrupted>,
        observer: &mut dyn Observer,
    ) -> anyhow::Result<()> {
        let pools = self.runner.clear_up();
        if pools > 0 {
            observer.note(&format!("removed {pools} shared-memory objects of runs that died"));
        }
        let spared = interrupted.map(|interrupted| &interrupted.marker.backup);
        for backup in pending::sweep(&self.repository, volume, spared)? {
            observer.note(&format!("removed what the interrupted backup {volume}/{backup} had left"));
        }
        Ok(())
    }
}

/// The length of a source that is a file.
fn file_bytes(source: &VolumeUrl) -> Option<u64> {
    std::fs::metadata(source.path()?).ok().filter(std::fs::Metadata::is_file).map(|file| file.len())
}

/// What kind of source this is, and what tells it from every other. The id of an image is known here only if
/// its snapshot was named; otherwise the image is identified by its name.
fn source_origin(source: &VolumeUrl, tracking: Option<&Tracking>) -> Origin {
    match source {
        VolumeUrl::Path(path) => septet_volume::origin(path),
        VolumeUrl::Image(RbdUrl { pool, namespace, image, .. }) => {
            let image = tracking.map_or(image, |tracking| &tracking.source_id);
            let identity = format!("{pool}/{}/{image}", namespace.as_deref().unwrap_or_default());
            Origin { kind: "image", identity }
        }
    }
}

/// What tells the source from every other, if it does not change: the user's word, and a name that no other
/// has; or `tracking`, a user's snapshot; or that this backup makes a snapshot of its own.
fn snapshot(
    source: &VolumeUrl,
    tracking: Option<&Tracking>,
    request: &BackupRequest,
    observer: &mut dyn Observer,
) -> Option<String> {
    if let Some(Tracking { source_id, snapshot_id, .. }) = tracking {
        return Some(format!("{source} {source_id} {snapshot_id}"));
    }
    let Some(path) = source.path() else { return Some(source.to_string()) };
    let identity = request.snapshot.then(|| septet_volume::identity(path))?;
    if identity.is_none() {
        observer.note(&format!("{source} has no name of its own: should this backup be interrupted, it is read again"));
    }
    identity
}

/// What a run that died has left, if this one would make the same backup.
fn interrupted(
    repository: &Repository,
    volume: &VolumeName,
    request: &BackupRequest,
    history: &History,
    snapshot: Option<&str>,
) -> anyhow::Result<Option<Interrupted>> {
    if request.spool.is_some() {
        return Ok(None);
    }
    let parent = history.parent.as_ref().map(|parent| &parent.backup);
    Ok(resume::find(repository, volume, request.id.as_ref(), parent, snapshot)?)
}

/// What the volume's earlier backups decide for the next.
struct History {
    id: BackupId,
    parent: Option<Manifest>,
    sequence: u64,
    block_bytes: u32,
}

impl History {
    fn new(
        Engine { repository, runner, .. }: &Engine,
        volume: &VolumeName,
        request: &BackupRequest,
        observer: &mut dyn Observer,
    ) -> anyhow::Result<Self> {
        let listing = repository.backups(volume)?;
        for (backup, error) in &listing.damaged {
            observer.note(&format!("backup {volume}/{backup} is damaged and was passed over: {error}"));
        }
        let id = match &request.id {
            Some(id) if listing.has(id) => anyhow::bail!("backup {volume}/{id} exists already: choose another --id"),
            Some(id) => id.clone(),
            None => BackupId::generate(runner.now(), runner.random()),
        };
        let parent = match &request.compare {
            Compare::Nothing => None,
            Compare::With(parent) => Some(repository.manifest(volume, parent)?),
            Compare::Newest => listing.manifests.last().cloned(),
        };
        let sequence = listing.next_sequence();
        let block_bytes = block_bytes(request.block_bytes, parent.as_ref())?;
        Ok(Self { id, parent, sequence, block_bytes })
    }
}

/// A volume's chain keeps its block size; only a full backup may have another.
fn block_bytes(wanted: Option<u32>, parent: Option<&Manifest>) -> anyhow::Result<u32> {
    match (wanted, parent) {
        (None, None) => Ok(BLOCK_BYTES_DEFAULT),
        (None, Some(parent)) => Ok(parent.block_bytes),
        (Some(wanted), Some(parent)) if wanted != parent.block_bytes => Err(BadRequest(format!(
            "backup {} has blocks of {} and can't be compared with blocks of {}: leave --block-size out, or add --full",
            parent.backup,
            size(u64::from(parent.block_bytes)),
            size(u64::from(wanted))
        ))
        .into()),
        (Some(wanted), _) => Ok(wanted),
    }
}

/// `/dev/vg/data` → `vg-data`, `/images/db.img` → `db.img`, `rbd:pool/image@snapshot` → `pool-image`.
fn default_volume(source: &VolumeUrl) -> VolumeName {
    let path = match source {
        VolumeUrl::Path(path) => path,
        VolumeUrl::Image(RbdUrl { pool, namespace, image, .. }) => {
            let parts = [Some(pool), namespace.as_ref(), Some(image)];
            return VolumeName::sanitize(&parts.into_iter().flatten().cloned().collect::<Vec<_>>().join("-"));
        }
    };
    let device = path.to_str().and_then(|path| path.strip_prefix("/dev/")).filter(|name| !name.starts_with("shm/"));
    let name = match device {
        Some(device) => device.replace('/', "-"),
        None => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    VolumeName::sanitize(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_named_after_its_source() {
        for (source, name) in [
            ("/dev/vdb", "vdb"),
            ("/dev/vg/data", "vg-data"),
            ("/images/db.img", "db.img"),
            ("/dev/shm/db.img", "db.img"),
            ("/images/my disk.img", "my_disk.img"),
            ("rbd:volumes/disk-1@monday?user=backup", "volumes-disk-1"),
            ("rbd:volumes/tenant/disk-1", "volumes-tenant-disk-1"),
        ] {
            assert_eq!(default_volume(&source.parse().unwrap()).as_str(), name);
        }
    }
}
