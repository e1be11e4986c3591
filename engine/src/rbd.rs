//! What a backup and a restore of an RBD image need beside the ring: what to read and to compare with, and
//! the removal of snapshots that nobody needs any more.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use septet_format::{BackupId, Manifest, VolumeName};
use septet_ipc::agent::SUPERVISOR_VARIABLE;
use septet_ipc::{BackupJob, RbdBackup, RbdOrigin, RbdRestore};
use septet_repository::{Repository, pending};
use septet_volume::RbdUrl;

use crate::supervisor::ceph;
use crate::{BackupRequest, BadRequest, Engine, Observer};

/// The name of the manifest's extension that says what image was backed up.
const EXTENSION: &str = "rbd";
/// A snapshot that is not removed in this time is left to the next backup; after a failure, for which
/// Ceph may be the cause, in less.
const TIDY_TIMEOUT_MAX: Duration = Duration::from_secs(60);
const TIDY_TIMEOUT_FAILED: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(2);

/// What a user's snapshot is by Ceph's own ids, which no other has; none for any other source.
pub(super) fn identify(source: &str, request: &BackupRequest, timeout: Duration) -> anyhow::Result<Option<RbdOrigin>> {
    let named = source.parse::<RbdUrl>().ok().and_then(|url| url.snapshot);
    if named.is_none() || request.spool.is_some() {
        return Ok(None);
    }
    let mut command = Command::new(ceph::program());
    let lines = answer(command.args(["identify", source]), timeout).map_err(anyhow::Error::msg)?;
    let origin = lines.iter().map(|line| serde_json::from_str(line)).next().transpose();
    origin.with_context(|| format!("{} gave an invalid answer", ceph::program().display()))
}

/// What the reader is told of an image; none for any other source.
pub(super) fn job(
    source: &str,
    origin: Option<RbdOrigin>,
    parent: Option<&Manifest>,
    request: &BackupRequest,
    observer: &mut dyn Observer,
) -> Option<Box<RbdBackup>> {
    if let Some(spool) = &request.spool {
        return Some(Box::new(RbdBackup { spool: Some(spool.to_string_lossy().into_owned()), ..RbdBackup::default() }));
    }
    if !RbdUrl::is_meant(source) {
        return None;
    }
    let base = parent.and_then(backed_up);
    if parent.is_some() && base.is_none() {
        observer.note("the last backup was not made from an RBD image: the whole image is read and compared");
    }
    Some(Box::new(RbdBackup { audit_ppm: request.audit_ppm, base, origin, spool: None }))
}

/// What Ceph says of changes is not to be asked any more.
pub(super) fn distrust(job: &mut BackupJob) {
    if let Some(rbd) = &mut job.rbd {
        rbd.base = None;
    }
}

/// What the volumewriter is told of an image; none for any other target.
pub(super) fn restore(target: &str, create: bool, manifest: &Manifest) -> Result<Option<Box<RbdRestore>>, BadRequest> {
    if RbdUrl::is_meant(target) {
        return Ok(Some(Box::new(RbdRestore { create, origin: backed_up(manifest) })));
    }
    if create {
        return Err(BadRequest(format!("{target}: --create is for rbd:POOL/IMAGE; a new file does not need it")));
    }
    Ok(None)
}

/// Removes the snapshots that this volume's backups have left, but for the one that the next backup is
/// to be compared with, and those of backups that are under way. What fails is left to the next backup.
pub(super) fn tidy(
    engine: &Engine,
    volume: &VolumeName,
    source: &str,
    failed: Option<&anyhow::Error>,
    observer: &mut dyn Observer,
) {
    if !RbdUrl::is_meant(source) {
        return;
    }
    let timeout_max = if failed.is_some() { TIDY_TIMEOUT_FAILED } else { TIDY_TIMEOUT_MAX };
    let timeout = engine.timeout.min(timeout_max);
    let result = kept(&engine.repository, volume).and_then(|keep| {
        let mut command = Command::new(ceph::program());
        command.args([
            "tidy",
            source,
            "--repository",
            &engine.repository.id().to_string(),
            "--volume",
            volume.as_str(),
        ]);
        answer(command.args(keep.iter().flat_map(|backup| ["--keep", backup.as_str()])), timeout)
    });
    match result {
        Ok(notes) => notes.iter().for_each(|text| observer.note(text)),
        // One cause is told once.
        Err(why) if failed.is_some_and(|error| error.to_string().contains(&why)) => {}
        Err(why) => observer.note(&format!("the next backup removes the snapshots of earlier ones: {why}")),
    }
}

fn kept(repository: &Repository, volume: &VolumeName) -> Result<Vec<BackupId>, String> {
    let newest = repository.newest(volume).map_err(|error| error.to_string())?;
    let under_way = pending::list(repository, volume).map_err(|error| error.to_string())?;
    let alive = under_way.pending.into_iter().filter(|marker| !pending::is_dead(marker));
    let unknown = under_way.unreadable.into_iter().map(|(backup, _)| backup);
    let mut keep: Vec<_> = alive.map(|marker| marker.backup).chain(unknown).collect();
    keep.extend(newest.map(|manifest| manifest.backup));
    Ok(keep)
}

/// The lines that `septet-rbd` prints; or why it does not.
fn answer(command: &mut Command, timeout: Duration) -> Result<Vec<String>, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ceph::set_environment(command, timeout);
    command.env(SUPERVISOR_VARIABLE, std::process::id().to_string());
    let mut child = command.spawn().map_err(|error| ceph::not_started(&error).to_string())?;
    let until = Instant::now() + timeout;
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if Instant::now() > until {
            // One that can't be killed does no harm: it is asked or tries, and holds nothing.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(format!("Ceph has not answered for {} s", timeout.as_secs()));
        }
        std::thread::sleep(POLL);
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(ceph::missing_library(&said).unwrap_or_else(|| said.lines().last().unwrap_or_default().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn backed_up(manifest: &Manifest) -> Option<RbdOrigin> {
    manifest.extensions.get(EXTENSION).and_then(|value| serde_json::from_value(value.clone()).ok())
}
