//! Writes a backup, or a part of it, to a file or a block device.

use std::path::Path;

use anyhow::bail;
use septet_format::Manifest;
use septet_ipc::message::Damage;
use septet_ipc::{Begin, RestoreJob};
use septet_volume::VolumeUrl;

use crate::backup::{pool_bytes, streams};
use crate::observer::Watched;
use crate::{BadRequest, Doing, Engine, Observer, Report, Result, RunError, place};

/// Writes a backup, or a part of it, to a volume.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The backup: an id, `VOLUME/ID` or `VOLUME@latest`.
    pub backup: String,
    /// The target, as [`volume`](crate::volume) gives it.
    pub target: VolumeUrl,
    /// Whether to create the target image.
    pub create: bool,
    /// The first byte to restore.
    pub offset_bytes: u64,
    /// The number of bytes to restore; none: up to the volume's end.
    pub length_bytes: Option<u64>,
    /// Whether to overwrite existing data.
    pub overwrite: bool,
    /// Whether the target is new and reads as zeros.
    pub zeroed: bool,
    /// Whether to skip and list damaged blocks instead of failing.
    pub keep_going: bool,
    /// The number of concurrent reads and writes; none: the store's default.
    pub streams: Option<u32>,
}

impl RestoreRequest {
    /// A restore of the whole of `backup` to `target`, with the defaults of the command line.
    pub fn new(backup: String, target: VolumeUrl) -> Self {
        Self {
            backup,
            target,
            create: false,
            offset_bytes: 0,
            length_bytes: None,
            overwrite: false,
            zeroed: false,
            keep_going: false,
            streams: None,
        }
    }
}

/// A backup that was restored.
#[derive(Debug)]
pub struct Restored {
    /// The backup.
    pub manifest: Manifest,
    /// The number of requested bytes of the volume.
    pub length_bytes: u64,
    /// The ranges that were not restored because they are damaged, in order. Neighbours with the same reason are
    /// merged.
    pub damaged: Vec<Damage>,
    /// The run.
    pub report: Report,
}

impl Engine<'_> {
    /// Restores a backup.
    ///
    /// # Errors
    /// The restore failed. A new file is removed then.
    pub fn restore(&self, request: &RestoreRequest, observer: &mut dyn Observer) -> Result<Restored> {
        let target = &request.target;
        let manifest = self.repository.find(&request.backup)?;
        let length_bytes = length(request, &manifest)?;
        check_target(request, &self.repo, &manifest)?;
        let begin = Begin::Restore(RestoreJob {
            repo: self.repo.clone(),
            repository: self.repository.id(),
            volume: manifest.volume.clone(),
            backup: manifest.reference(),
            target: target.to_string(),
            overwrite: request.overwrite,
            zeroed: request.zeroed,
            keep_going: request.keep_going,
            offset_bytes: request.offset_bytes,
            length_bytes,
            volume_bytes: manifest.volume_bytes,
            block_bytes: manifest.block_bytes,
            streams: streams(&self.repository, request.streams),
            pool_bytes: pool_bytes(self, Some(length_bytes)),
            create: request.create,
            tracking: manifest.tracking.clone().filter(|_| target.image().is_some()).map(Box::new),
        });
        if target.path().is_some_and(septet_volume::discard_abandoned) {
            observer.note(&format!("removed the partial file of an interrupted restore to {target}"));
        }
        let is_new = target.path().is_some_and(|path| !path.exists());
        observer.begins(&Doing::Restore { volume: &manifest.volume, backup: &manifest.backup });
        let mut watched = Watched::new(observer);
        match self.runner.run(&begin, &mut watched) {
            Ok(report) => {
                let report = Report { own: self.repository.counts(), ..report };
                Ok(Restored { manifest, length_bytes, damaged: merged(&report.damage), report })
            }
            Err(error) => Err(given_up(request, is_new, error, &mut watched).into()),
        }
    }
}

/// Tells the user what the failed restore left. Returns the run's error.
fn given_up(request: &RestoreRequest, is_new: bool, error: RunError, observer: &mut Watched) -> anyhow::Error {
    let target = &request.target;
    // An unfinished new file has a name of its own, so it can't be mistaken for the volume.
    target.path().map(septet_volume::discard_abandoned);
    if request.create {
        observer.note("an incomplete image IMAGE.septet-partial may remain: the next restore removes it");
        return error.with_what_is_left("the image was not created");
    }
    if is_new {
        return error.with_what_is_left("nothing incomplete was left behind");
    }
    let left = format!("{target} is partly written: restore it again before it is used");
    if observer.at_work && !matches!(error, RunError::Interrupted) {
        observer.note(&left);
    }
    error.with_what_is_left(&left)
}

fn length(request: &RestoreRequest, manifest: &Manifest) -> anyhow::Result<u64> {
    let rest = manifest.volume_bytes.checked_sub(request.offset_bytes);
    let rest = rest.ok_or_else(|| {
        BadRequest(format!("--offset {} is beyond the volume's {} bytes", request.offset_bytes, manifest.volume_bytes))
    })?;
    let length = request.length_bytes.unwrap_or(rest);
    if length > rest {
        let end = request.offset_bytes.saturating_add(length);
        return Err(BadRequest(format!(
            "bytes {}..{end} end beyond the volume's {} bytes",
            request.offset_bytes, manifest.volume_bytes
        ))
        .into());
    }
    Ok(length)
}

/// Refuses obvious mistakes before anything is opened for writing.
fn check_target(request: &RestoreRequest, repo: &str, manifest: &Manifest) -> anyhow::Result<()> {
    let target = &request.target;
    let Some(path) = target.path() else { return Ok(()) };
    if request.create {
        bail!(BadRequest(format!("{target}: --create is for rbd:POOL/IMAGE; a new file does not need it")));
    }
    let repository = std::fs::canonicalize(repo.strip_prefix("file://").unwrap_or(repo));
    if let (Some(real), Ok(repository)) = (place::real_path(path), repository)
        && real.starts_with(repository)
    {
        bail!("{target} is inside the repository: name a target outside it");
    }
    if !request.overwrite && septet_volume::same_file(path, Path::new(&manifest.source.name)) {
        bail!("{target} is the volume that this backup was made from: add --overwrite to overwrite it");
    }
    Ok(())
}

/// Damaged ranges in order. Neighbours with the same reason are merged.
fn merged(damage: &[Damage]) -> Vec<Damage> {
    let mut sorted = damage.to_vec();
    sorted.sort_by_key(|damage| damage.offset);
    let mut merged: Vec<Damage> = Vec::new();
    for next in sorted {
        match merged.last_mut() {
            Some(last) if last.offset + last.size == next.offset && last.reason == next.reason => {
                last.size += next.size
            }
            _ => merged.push(next),
        }
    }
    merged
}
