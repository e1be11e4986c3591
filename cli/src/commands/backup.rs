//! `septet backup`: finds out what to compare with, runs the ring, and clears away what a run that
//! failed has left.

use std::fs;
use std::path::Path;

use anyhow::Context;
use septet_format::{BLOCK_BYTES_DEFAULT, BackupId, Manifest, VolumeName, keys};
use septet_ipc::shm::sweep;
use septet_ipc::{BackupJob, Begin, Compression, FailureKind};
use septet_repository::{Repository, pending, reclaim};
use septet_store::PartRules;
use septet_volume::RbdUrl;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{place, rbd};
use crate::args;
use crate::args::Global;
use crate::error::{Interrupted, Outcome, Usage, words};
use crate::report::{Reporter, rate, size};
use crate::supervisor::{self, Observer, Report, RunError};

/// The least size of each pool of slots: the block in work stays in the cache.
const POOL_BYTES: u64 = 32 << 20;

/// The size of each pool: a store that is far away wants much on its way at once, a small volume has not so much.
pub(super) fn pool_bytes(repository: &Repository, volume_bytes: Option<u64>) -> u64 {
    let PartRules { part_bytes, parts_in_flight, .. } = repository.store().part_rules();
    // Those on their way, one that is being gathered, and blocks in work.
    let wanted_bytes = part_bytes as u64 * (parts_in_flight as u64 + 2);
    wanted_bytes.min(volume_bytes.unwrap_or(u64::MAX)).max(POOL_BYTES)
}

/// How many reads of the repository go on at once, if the user does not say.
pub(super) fn streams(repository: &Repository, given: Option<u32>) -> u32 {
    let of_store = u32::try_from(repository.store().part_rules().parts_in_flight).unwrap_or(u32::MAX);
    given.unwrap_or(of_store.max(4))
}

/// It travels with the job, in one line, and is a part of the manifest.
const METADATA_BYTES_MAX: u64 = 256 << 10;

/// Backs up a volume.
pub(crate) fn run(args: &args::Backup, global: &Global) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let (manifest, report) = back_up(args, global, &mut reporter)?;
    reporter.profile(&report);
    reporter.summary(summary(&manifest, &report), &lines(&manifest, &report));
    Ok(Outcome::Done)
}

/// Backs up a volume; the manifest it got.
pub(super) fn back_up(
    args: &args::Backup,
    global: &Global,
    reporter: &mut Reporter,
) -> anyhow::Result<(Manifest, Report)> {
    let source = match &args.spool {
        // It is laid out elsewhere, and only called so.
        Some(_) => args.source.to_string_lossy().into_owned(),
        None => place::volume(&args.source, &args.ceph)?,
    };
    let repo = place::repository_within(&args.repo.repo, global.timeout, args.upload_check)?;
    let volume = args.volume.clone().unwrap_or_else(|| default_volume(&source));
    if args.spool.is_none() {
        place::check_exists(&source)?;
    }
    let repository = Repository::open_or_create(&repo)?;
    if let Some(note) = repository.store().note()? {
        reporter.note(&note);
    }
    clear_up(&repository, &volume, reporter)?;
    let history = History::new(&repository, &volume, args, reporter)?;
    let mut job = BackupJob {
        source,
        repo,
        repository: repository.id(),
        volume,
        backup: history.id,
        parent: history.parent.as_ref().map(|parent| parent.backup.clone()),
        sequence: history.sequence,
        metadata: args.metadata.as_deref().map(metadata).transpose()?,
        block_bytes: history.block_bytes,
        compression: match args.compression {
            args::Compression::Lz4 => Compression::Lz4,
            args::Compression::None => Compression::None,
        },
        streams: args.streams,
        pool_bytes: pool_bytes(
            &repository,
            std::fs::metadata(&args.source).ok().filter(std::fs::Metadata::is_file).map(|file| file.len()),
        ),
        segment_bytes: args.segment_size,
        volume_bytes: None,
        rbd: None,
    };
    job.rbd = rbd::job(&job.source, history.parent.as_ref(), args, reporter);
    let mut result = attempt(&repository, &job, global, reporter);
    if args.parent.is_none() && job.parent.is_some() && is_damage(&result) {
        let why = result.err().map(|error| format!("{error:#}")).unwrap_or_default();
        reporter
            .note(&format!("the newest backup can't be compared with ({why}): this one is full; see septet verify"));
        job.parent = None;
        rbd::distrust(&mut job);
        result = attempt(&repository, &job, global, reporter);
    } else if let Some(why) = untrusted(&result) {
        reporter.note(&format!("{why}: all of it is read and compared now"));
        rbd::distrust(&mut job);
        result = attempt(&repository, &job, global, reporter);
    }
    rbd::tidy(&repository, &job.volume, &job.source, result.as_ref().err(), global, reporter);
    result
}

/// Clears away what runs that died have left, and says so.
fn clear_up(repository: &Repository, volume: &VolumeName, reporter: &mut Reporter) -> anyhow::Result<()> {
    let pools = sweep();
    if pools > 0 {
        reporter.note(&format!("removed {pools} shared-memory objects of runs that died"));
    }
    for backup in pending::sweep(repository, volume)? {
        reporter.note(&format!("removed what the interrupted backup {volume}/{backup} had left"));
    }
    Ok(())
}

/// What the user wants to find with the backup again.
fn metadata(path: &Path) -> anyhow::Result<Value> {
    let name = path.display();
    let length = fs::metadata(path).map(|metadata| metadata.len());
    let length = length.map_err(|error| anyhow::anyhow!("--metadata {name}: {}", words(&error)))?;
    if length > METADATA_BYTES_MAX {
        return Err(
            Usage(format!("--metadata {name}: {} are more than {}", size(length), size(METADATA_BYTES_MAX))).into()
        );
    }
    let text = fs::read(path).map_err(|error| anyhow::anyhow!("--metadata {name}: {}", words(&error)))?;
    match serde_json::from_slice(&text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        _ => Err(Usage(format!("--metadata {name} is not a JSON object")).into()),
    }
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
        repository: &Repository,
        volume: &VolumeName,
        args: &args::Backup,
        reporter: &mut Reporter,
    ) -> anyhow::Result<Self> {
        let listing = repository.backups(volume)?;
        for (backup, error) in &listing.damaged {
            reporter.note(&format!("backup {volume}/{backup} is damaged and was passed over: {error}"));
        }
        let id = match &args.id {
            Some(id) if listing.has(id) => anyhow::bail!("backup {volume}/{id} exists already: choose another --id"),
            Some(id) => id.clone(),
            None => BackupId::generate(jiff::Timestamp::now(), random()),
        };
        let parent = match &args.parent {
            _ if args.full => None,
            Some(parent) => Some(repository.manifest(volume, parent)?),
            None => listing.manifests.last().cloned(),
        };
        let sequence = listing.next_sequence();
        let block_bytes = block_bytes(args.block_size, parent.as_ref())?;
        Ok(Self { id, parent, sequence, block_bytes })
    }
}

/// A volume's chain keeps its block size; only a full backup may have another.
fn block_bytes(wanted: Option<u32>, parent: Option<&Manifest>) -> anyhow::Result<u32> {
    match (wanted, parent) {
        (None, None) => Ok(BLOCK_BYTES_DEFAULT),
        (None, Some(parent)) => Ok(parent.block_bytes),
        (Some(wanted), Some(parent)) if wanted != parent.block_bytes => Err(Usage(format!(
            "backup {} has blocks of {} and can't be compared with blocks of {}: leave --block-size out, or add --full",
            parent.backup,
            size(u64::from(parent.block_bytes)),
            size(u64::from(wanted))
        ))
        .into()),
        (Some(wanted), _) => Ok(wanted),
    }
}

/// One run of the ring, from the marker that says it is under way to its removal.
fn attempt(
    repository: &Repository,
    job: &BackupJob,
    global: &Global,
    reporter: &mut Reporter,
) -> anyhow::Result<(Manifest, Report)> {
    let marker = pending::marker(repository, job.volume.clone(), job.backup.clone(), job.parent.clone());
    pending::begin(repository, &marker)?;
    let details = json!({ "backup": job.backup, "volume": job.volume, "parent": job.parent });
    reporter.start(&format!("backing up {}", job.volume), details);
    let run = supervisor::run(&Begin::Backup(job.clone()), global, reporter);
    let report = match run {
        Ok(report) => report,
        Err(error) => {
            let whole = remove_remains(repository, job)
                .with_context(|| format!("{error}; and then clearing away what it left"))?;
            if whole {
                reporter.note(&format!("backup {}/{} was whole before that, and stays", job.volume, job.backup));
            }
            return Err(failed(error, "nothing half-made was left behind"));
        }
    };
    check_wanted(repository, &job.volume, &job.backup)?;
    pending::remove(repository, &job.volume, &job.backup)?;
    Ok((repository.manifest(&job.volume, &job.backup)?, report))
}

/// Takes a backup back that was deleted by force while it was made. Whoever does that removes the
/// marker, and then the manifest if it is there; here the manifest came first and then the look at
/// the marker: so one of both sees the other.
fn check_wanted(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> anyhow::Result<()> {
    if pending::read(repository, volume, backup)?.is_some() {
        return Ok(());
    }
    repository.store().delete(&[keys::manifest(volume, backup)])?;
    reclaim::run(repository, volume, &[])?;
    anyhow::bail!("backup {volume}/{backup} was deleted while it was being made")
}

/// Removes what a run has left; true if it had committed before it failed: then only the marker goes.
fn remove_remains(repository: &Repository, job: &BackupJob) -> anyhow::Result<bool> {
    let prefix = keys::backup_prefix(&job.volume, &job.backup);
    let store = repository.store();
    store.abort_unfinished(&prefix)?;
    let whole = repository.exists(&job.volume, &job.backup)?;
    if !whole {
        let marker = keys::pending(&job.volume, &job.backup);
        let objects = store.list(&prefix)?.into_iter().map(|object| object.key);
        // The marker last: while it is there, the next run finds what is left.
        store.delete(&objects.filter(|key| *key != marker).collect::<Vec<_>>())?;
    }
    pending::remove(repository, &job.volume, &job.backup)?;
    Ok(whole)
}

/// The error of a run, as the commands report it; `interrupted` says what an interruption left.
pub(super) fn failed(error: RunError, interrupted: &'static str) -> anyhow::Error {
    match error {
        RunError::Interrupted => Interrupted(interrupted).into(),
        RunError::Failed(failure) => failure.into(),
        other @ (RunError::Start(_) | RunError::Sandbox(_)) => other.into(),
    }
}

fn is_damage(result: &anyhow::Result<(Manifest, Report)>) -> bool {
    let failure = result.as_ref().err().and_then(|error| error.downcast_ref::<septet_ipc::Failure>());
    failure.is_some_and(|failure| failure.kind == FailureKind::Damaged)
}

/// What the audit found, if it found that the storage's word can't be trusted.
fn untrusted(result: &anyhow::Result<(Manifest, Report)>) -> Option<String> {
    let failure = result.as_ref().err()?.downcast_ref::<septet_ipc::Failure>()?;
    (failure.kind == FailureKind::Untrusted).then(|| failure.cause.clone())
}

/// `/dev/vg/data` → `vg-data`, `/images/db.img` → `db.img`, `rbd:pool/image@snapshot` → `pool-image`.
fn default_volume(source: &str) -> VolumeName {
    if let Ok(url) = source.parse::<RbdUrl>() {
        let parts = [Some(url.pool), url.namespace, Some(url.image)];
        return VolumeName::sanitize(&parts.into_iter().flatten().collect::<Vec<_>>().join("-"));
    }
    let name = match source.strip_prefix("/dev/") {
        Some(device) if !device.starts_with("shm/") => device.replace('/', "-"),
        _ => Path::new(source).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    VolumeName::sanitize(&name)
}

fn random() -> u32 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    u32::try_from(high >> 32).unwrap_or_default()
}

fn summary(manifest: &Manifest, report: &Report) -> Value {
    json!({
        "backup": manifest.backup,
        "volume": manifest.volume,
        "parent": manifest.parent,
        "bytes_volume": manifest.volume_bytes,
        "bytes_read": manifest.bytes_read,
        "bytes_stored": manifest.bytes_stored,
        "block_bytes": manifest.block_bytes,
        "blocks": manifest.blocks,
        "objects": own_objects(manifest),
        "requests": report.counts().requests,
        "seconds": report.seconds,
        "cpu_seconds": report.usage.cpu_seconds,
        "memory_peak_bytes": report.usage.memory_peak_bytes,
        "agents": report.agents,
    })
}

/// What the backup added to the repository: its segments, and checksums, map and manifest.
fn own_objects(manifest: &Manifest) -> usize {
    let own = manifest.sources.iter().filter(|source| source.backup == manifest.backup);
    own.map(|source| source.segments.len()).sum::<usize>() + 3
}

fn lines(manifest: &Manifest, report: &Report) -> Vec<String> {
    let kind = match &manifest.parent {
        Some(parent) => format!("since {parent}"),
        None => "full".to_owned(),
    };
    let blocks = &manifest.blocks;
    vec![
        format!("{}/{}  {} ({kind})", manifest.volume, manifest.backup, size(manifest.volume_bytes)),
        format!(
            "read {} and stored {} in {:.1} s ({})",
            size(manifest.bytes_read),
            size(manifest.bytes_stored),
            report.seconds,
            rate(manifest.volume_bytes, report.seconds)
        ),
        format!(
            "blocks: {} stored, {} unchanged, {} zero, {} never read",
            blocks.data, blocks.unchanged, blocks.zero, blocks.hole
        ),
        counted(own_objects(manifest), report.counts().requests),
    ]
}

/// What a run has made of objects and requests; a directory is not asked by requests.
fn counted(objects: usize, requests: u64) -> String {
    match requests {
        0 => format!("objects: {objects} added"),
        requests => format!("objects: {objects} added, {requests} requests"),
    }
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
            assert_eq!(default_volume(source).as_str(), name);
        }
    }
}
