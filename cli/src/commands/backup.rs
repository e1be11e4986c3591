//! `septet backup`: finds out what to compare with, runs the ring, and clears away what a run that
//! failed has left.

use std::fs;
use std::path::Path;

use septet_format::{BLOCK_BYTES_DEFAULT, BackupId, Manifest, VolumeName};
use septet_ipc::shm::sweep;
use septet_ipc::{BackupJob, Compression, RbdOrigin};
use septet_repository::resume::{self, Interrupted};
use septet_repository::{Repository, pending};
use septet_store::PartRules;
use septet_volume::{Origin, RbdUrl};
use serde_json::Value;
use uuid::Uuid;

use super::attempt::Attempt;
use super::made::Made;
use super::{place, rbd};
use crate::args;
use crate::args::Global;
use crate::error::{Outcome, Usage, words};
use crate::report::{Reporter, size};
use crate::supervisor::Observer;

/// The least size of each pool of slots: the block in work stays in the cache.
const POOL_BYTES: u64 = 32 << 20;

/// How large each pool may become: a store that is far away wants much on its way at once, a small volume has not so much.
pub(super) fn pool_bytes(repository: &Repository, volume_bytes: Option<u64>) -> u64 {
    let PartRules { part_bytes, parts_in_flight, .. } = repository.store().part_rules();
    // Those on their way, and one that is being gathered.
    let wanted_bytes = part_bytes as u64 * (parts_in_flight as u64 + 1);
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
    let made = back_up(args, global, &mut reporter)?;
    reporter.profile(&made.report);
    let seconds = reporter.seconds();
    reporter.summary(made.summary(seconds), &made.lines(seconds));
    Ok(Outcome::Done)
}

/// Backs up a volume.
pub(super) fn back_up(args: &args::Backup, global: &Global, reporter: &mut Reporter) -> anyhow::Result<Made> {
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
    let history = History::new(&repository, &volume, args, reporter)?;
    let origin = rbd::identify(&source, args, global)?;
    let snapshot = snapshot(&source, origin.as_ref(), args, reporter);
    let interrupted = interrupted(&repository, &volume, args, &history, snapshot.as_deref())?;
    clear_up(&repository, &volume, interrupted.as_ref(), reporter)?;
    let origin_of = source_origin(&source, origin.as_ref());
    let mut job = BackupJob {
        source,
        source_kind: origin_of.kind.to_owned(),
        source_identity: origin_of.identity,
        machine: septet_repository::machine(),
        repo,
        repository: repository.id(),
        volume,
        backup: interrupted.as_ref().map_or(history.id, |interrupted| interrupted.marker.backup.clone()),
        attempt: 0,
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
        resume: None,
        rbd: None,
    };
    job.rbd = rbd::job(&job.source, origin, history.parent.as_ref(), args, reporter);
    if interrupted.as_ref().is_some_and(|interrupted| !interrupted.unchanged) {
        // What was stored may be of another moment than the parent and of another than now.
        rbd::distrust(&mut job);
    }
    let (volume, source, free_parent) = (job.volume.clone(), job.source.clone(), args.parent.is_none());
    let mut attempt = Attempt { repository: &repository, job, snapshot, interrupted, free_parent, global };
    let result = attempt.make(reporter);
    rbd::tidy(&repository, &volume, &source, result.as_ref().err(), global, reporter);
    result
}

/// What kind of source this is, and what tells it from every other. The id of an image is known here only if
/// its snapshot was named; otherwise the image is identified by its name.
fn source_origin(source: &str, origin: Option<&RbdOrigin>) -> Origin {
    match source.parse::<RbdUrl>() {
        Ok(RbdUrl { pool, namespace, image, .. }) => {
            let image = origin.map_or(image, |origin| origin.image_id.clone());
            let identity = [pool, namespace.unwrap_or_default(), image].join("/");
            Origin { kind: "image", identity }
        }
        Err(_) => septet_volume::origin(Path::new(source)),
    }
}

/// What tells the source from every other, if it does not change: the user's word, and a name that no other
/// has; or `origin`, a snapshot in Ceph; or that this backup makes a snapshot of its own there.
fn snapshot(source: &str, origin: Option<&RbdOrigin>, args: &args::Backup, reporter: &mut Reporter) -> Option<String> {
    if let Some(RbdOrigin { image_id, snapshot_id, .. }) = origin {
        return Some(format!("{source} {image_id} {snapshot_id}"));
    }
    if RbdUrl::is_meant(source) {
        return Some(source.to_owned());
    }
    let identity = args.snapshot.then(|| septet_volume::identity(Path::new(source)))?;
    if identity.is_none() {
        reporter.note(&format!("{source} has no name of its own: should this backup be interrupted, it is read again"));
    }
    identity
}

/// What a run that died has left, if this one would make the same backup.
fn interrupted(
    repository: &Repository,
    volume: &VolumeName,
    args: &args::Backup,
    history: &History,
    snapshot: Option<&str>,
) -> anyhow::Result<Option<Interrupted>> {
    if args.spool.is_some() {
        return Ok(None);
    }
    let parent = history.parent.as_ref().map(|parent| &parent.backup);
    Ok(resume::find(repository, volume, args.id.as_ref(), parent, snapshot)?)
}

/// Clears away what runs that died have left, but for what this one goes on with, and says so.
fn clear_up(
    repository: &Repository,
    volume: &VolumeName,
    interrupted: Option<&Interrupted>,
    reporter: &mut Reporter,
) -> anyhow::Result<()> {
    let pools = sweep();
    if pools > 0 {
        reporter.note(&format!("removed {pools} shared-memory objects of runs that died"));
    }
    for backup in pending::sweep(repository, volume, interrupted.map(|interrupted| &interrupted.marker.backup))? {
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
