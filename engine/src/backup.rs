//! A backup: chooses the parent, runs the agents, and removes what interrupted runs stored.

use std::time::Duration;

use septet_format::{BLOCK_BYTES_DEFAULT, BackupId, Manifest, Source, Tracking, VolumeName};
use septet_repository::resume::{self, Interrupted};
use septet_repository::{Contents, PartRules, Repository, RepositoryError, VolumeView, sweep};
use septet_volume::{Origin, VolumeUrl};

use crate::companion::Companion;
use crate::plan::{History, Plan};
use crate::words::size;
use crate::{BackupRequest, BadRequest, Compare, Engine, Made, Observer, Result, Runner, attempt, place, tracking};

/// The size limit of each pool. A distant store needs many bytes in flight; a small volume does not have that many.
pub(super) fn pool_bytes(Engine { repository, runner, .. }: &Engine, volume_bytes: Option<u64>) -> u64 {
    let PartRules { part_bytes, parts_in_flight, .. } = repository.part_rules();
    // The parts in flight, and one that is being filled.
    let wanted_bytes = part_bytes as u64 * (parts_in_flight as u64 + 1);
    wanted_bytes.min(volume_bytes.unwrap_or(u64::MAX)).max(runner.pool_bytes_min())
}

/// The number of concurrent reads of the repository. The default depends on the store.
pub(super) fn streams(repository: &Repository, given: Option<u32>) -> u32 {
    let of_store = u32::try_from(repository.part_rules().parts_in_flight).unwrap_or(u32::MAX);
    given.unwrap_or(of_store.max(4))
}

/// Backs up a volume to a repository. Creates the repository if the place is empty.
///
/// # Errors
/// The backup failed. What the run had stored is then removed, or the next command can resume from it.
pub fn back_up(
    repo: &str,
    request: &BackupRequest,
    runner: &dyn Runner,
    timeout: Duration,
    observer: &mut dyn Observer,
) -> Result<Made> {
    if request.spool.is_none() {
        place::check_exists(&request.source)?;
    }
    let volume = volume_of(request);
    let (repository, contents) = Repository::open_or_create_and_list(repo, &volume)?;
    Ok(Engine::of(repository, repo, runner, timeout).back_up_to(volume, contents, request, observer)?)
}

impl Engine<'_> {
    /// Backs up a volume.
    ///
    /// # Errors
    /// The backup failed. What the run had stored is then removed, or the next command can resume from it.
    pub fn back_up(&self, request: &BackupRequest, observer: &mut dyn Observer) -> Result<Made> {
        let volume = volume_of(request);
        let contents = self.repository.contents(&volume)?;
        Ok(self.back_up_to(volume, contents, request, observer)?)
    }

    /// Backs up to a volume that has just been listed.
    fn back_up_to(
        &self,
        volume: VolumeName,
        contents: Contents,
        request: &BackupRequest,
        observer: &mut dyn Observer,
    ) -> anyhow::Result<Made> {
        let repository = &self.repository;
        let source = &request.source;
        // The companion connects while the run goes on.
        let mut companion = request.spool.is_none().then(|| Companion::start(source, self.timeout)).flatten();
        let view = repository.view_of(&volume, contents)?;
        if let Some(note) = repository.upload_note()? {
            observer.note(&note);
        }
        let history = history(self, &volume, &view, request, observer)?;
        let tracking = tracking::identify(companion.as_mut(), source, self.timeout)?;
        let snapshot = snapshot(source, tracking.as_ref(), request, observer);
        let interrupted = interrupted(repository, &view, request, &history, snapshot.as_deref())?;
        self.clear_up(&volume, &view, interrupted.as_ref(), observer)?;
        let base = tracking::base(request, history.parent.as_ref(), observer);
        let Origin { kind, identity } = source.origin(tracking.as_ref().map(|tracking| tracking.source_id.as_str()));
        let source = Source { name: source.to_string(), kind: kind.to_owned(), identity };
        let pool_bytes = pool_bytes(self, request.source.file_bytes());
        let repo = repository.url_for_writers(&self.repo)?;
        let plan = Plan {
            engine: self,
            request,
            repo,
            volume,
            history,
            pool_bytes,
            source,
            tracking,
            base,
            snapshot,
            interrupted,
        };
        let result = attempt::make(&plan, observer);
        if let Some(companion) = &mut companion {
            tracking::tidy(self, companion, &plan.volume, result.as_ref().err(), observer);
        }
        result
    }

    /// Removes what interrupted runs stored, except for the backup that this run resumes. Notes each removal.
    fn clear_up(
        &self,
        volume: &VolumeName,
        view: &VolumeView,
        interrupted: Option<&Interrupted>,
        observer: &mut dyn Observer,
    ) -> anyhow::Result<()> {
        let pools = self.runner.clear_up();
        if pools > 0 {
            observer.note(&format!("removed {pools} shared-memory objects of crashed runs"));
        }
        let spared = interrupted.map(|interrupted| &interrupted.marker.backup);
        for backup in sweep::sweep(&self.repository, volume, view, spared)? {
            observer.note(&format!("removed the leftovers of the interrupted backup {volume}/{backup}"));
        }
        Ok(())
    }
}

/// Identifies a source that does not change. This is a source that the user calls a snapshot, if its name is unique; a
/// snapshot of an image, by `tracking`; or an image of which this backup makes its own snapshot.
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
        observer.note(&format!(
            "{source} cannot be identified: if this backup is interrupted, the next one reads it again"
        ));
    }
    identity
}

/// Finds an interrupted run's backup, if this run would make the same backup.
fn interrupted(
    repository: &Repository,
    view: &VolumeView,
    request: &BackupRequest,
    history: &History,
    snapshot: Option<&str>,
) -> anyhow::Result<Option<Interrupted>> {
    if request.spool.is_some() {
        return Ok(None);
    }
    let parent = history.parent.as_ref().map(|parent| &parent.backup);
    Ok(resume::find(repository, view, request.id.as_ref(), parent, snapshot)?)
}

/// What the volume's earlier backups determine for the next one.
fn history(
    Engine { repository, runner, .. }: &Engine,
    volume: &VolumeName,
    view: &VolumeView,
    request: &BackupRequest,
    observer: &mut dyn Observer,
) -> anyhow::Result<History> {
    let listing = &view.backups;
    for (backup, error) in &listing.damaged {
        let why = if error.is_damage() { "is damaged" } else { "can't be read by this version" };
        observer.note(&format!("backup {volume}/{backup} {why} and was skipped: {error}"));
    }
    let id = match &request.id {
        Some(id) if listing.has(id) => {
            let (volume, backup) = (volume.clone(), id.clone());
            return Err(RepositoryError::BackupExists { volume, backup, why: "exists already" }.into());
        }
        Some(id) => id.clone(),
        None => BackupId::generate(runner.now(), runner.random()),
    };
    let parent = match &request.compare {
        Compare::Nothing => None,
        Compare::With(parent) => match listing.manifests.iter().find(|manifest| manifest.backup == *parent) {
            Some(manifest) => Some(manifest.clone()),
            None => Some(repository.manifest(volume, parent)?),
        },
        Compare::Newest => listing.manifests.last().cloned(),
    };
    let sequence = listing.next_sequence();
    let block_bytes = block_bytes(request.block_bytes, parent.as_ref())?;
    let first_attempt = view.first_attempt(&id);
    Ok(History { id, first_attempt, parent, sequence, block_bytes })
}
/// All backups of a volume's chain have the same block size. Only a full backup may change it.
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

/// The volume's name in the repository: the requested name, or one made from the source.
fn volume_of(request: &BackupRequest) -> VolumeName {
    request.volume.clone().unwrap_or_else(|| VolumeName::sanitize(&request.source.short_name()))
}
