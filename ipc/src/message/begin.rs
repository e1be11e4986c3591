//! The job of a run: the `begin` message, the first one that every agent gets.
//!
//! `begin` goes once round the ring. Each agent opens what the job needs, and adds what only this agent knows (the
//! reader: the volume's size) before it passes `begin` on. So all later agents, and finally the master, know it too.
//! The job holds no secrets: credentials come through the environment, and only to the agents that need them.

use std::ops::RangeInclusive;

use septet_format::{BackupId, BackupRef, Geometry, Machine, Tracking, VolumeName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::failure::Failure;

/// The job of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// Back up a volume.
    Backup(BackupJob),
    /// Write a backup to a volume.
    Restore(RestoreJob),
    /// Read and check every segment that the given backups reference.
    Verify(VerifyJob),
    /// Delete backups, and the objects that nothing references any more.
    Delete(DeleteJob),
}

/// How blocks are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// LZ4 where it saves space.
    Lz4,
    /// Uncompressed.
    None,
}

/// The job of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupJob {
    /// What to read: a path or the URL of an image.
    pub source: String,
    /// The kind of source: `file`, `device` or `image`.
    pub source_kind: String,
    /// Identifies the source among all sources. Empty if unknown. The reader of an image replaces the image's name in
    /// it by the image's id.
    pub source_identity: String,
    /// The machine that makes the backup.
    pub machine: Machine,
    /// The repository: a directory, or a URL without secrets.
    pub repo: String,
    /// The repository's id.
    pub repository: Uuid,
    /// The volume's name in the repository.
    pub volume: VolumeName,
    /// The id of the new backup.
    pub backup: BackupId,
    /// The number of this attempt at the backup, and the generation of what it commits. Its segments are numbered from
    /// `attempt` × 2²⁰.
    pub attempt: u32,
    /// The backup to compare with. None for a full backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<BackupRef>,
    /// The backup's position in the volume's history.
    pub sequence: u64,
    /// Given by the user, to find the backup again by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
    /// The block size, bytes.
    pub block_bytes: u32,
    /// How to store blocks.
    pub compression: Compression,
    /// The maximum number of concurrent reads.
    pub streams: u32,
    /// The maximum size of each pool of shared memory, bytes.
    pub pool_bytes: u64,
    /// A segment is closed when it holds this many bytes.
    pub segment_bytes: u64,
    /// The volume's size, bytes. Added by the reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_bytes: Option<u64>,
    /// If set, the backup resumes an interrupted run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// The snapshot that is read, if the source tracks its changes. Added by the reader. If it is known earlier, the
    /// reader reads no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Box<Tracking>>,
    /// What the parent read. If none, the source is not asked what changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Box<Tracking>>,
    /// How many of a million blocks that the source reports as unchanged are read and compared anyway.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub audit_ppm: u32,
    /// The folder to which a stream of changes was unpacked. If set, the folder is read and no volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<String>,
}

/// How a backup resumes an interrupted run: it reuses the segments of earlier attempts that are complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Whether the volume is known to be unchanged since. If so, blocks that are already stored are not read again.
    pub unchanged: bool,
}

/// The job of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreJob {
    /// The repository that holds the backup.
    pub repo: String,
    /// The repository's id.
    pub repository: Uuid,
    /// The volume that was backed up.
    pub volume: VolumeName,
    /// The backup to restore.
    pub backup: BackupRef,
    /// What to write: a path or the URL of an image.
    pub target: String,
    /// Whether an existing target may be overwritten.
    pub overwrite: bool,
    /// Whether the target reads as zeros where nothing was written.
    #[serde(default)]
    pub zeroed: bool,
    /// Whether damaged blocks are skipped and listed instead of ending the run.
    pub keep_going: bool,
    /// The first byte to restore.
    pub offset_bytes: u64,
    /// How many bytes to restore.
    pub length_bytes: u64,
    /// The volume's size according to the manifest, bytes.
    pub volume_bytes: u64,
    /// The block size according to the manifest, bytes.
    pub block_bytes: u32,
    /// The maximum number of concurrent reads, and of concurrent writes.
    pub streams: u32,
    /// The size of each pool of shared memory, bytes.
    pub pool_bytes: u64,
    /// Whether the target is an image that has to be created.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create: bool,
    /// What the backup read. It tells how to create such an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Box<Tracking>>,
}

/// A check of everything that the given backups of one volume reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyJob {
    /// The repository that holds the backups.
    pub repo: String,
    /// The repository's id.
    pub repository: Uuid,
    /// The volume.
    pub volume: VolumeName,
    /// The backups to check.
    pub backups: Vec<BackupId>,
    /// The block size, bytes: the largest among the backups.
    pub block_bytes: u32,
    /// The maximum number of concurrent reads.
    pub streams: u32,
    /// The size of each pool of shared memory, bytes.
    pub pool_bytes: u64,
    /// The part to check. None: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

/// A part of what can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The size of the part, in millionths.
    pub ppm: u32,
    /// Selects the part: consecutive rounds check different parts.
    pub round: u64,
}

/// A deletion of some backups of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteJob {
    /// The repository that holds the backups.
    pub repo: String,
    /// The repository's id.
    pub repository: Uuid,
    /// The volume.
    pub volume: VolumeName,
    /// The backups to delete.
    pub backups: Vec<BackupId>,
}

/// The initial size of a backup's pool, bytes: room for the 32 MiB that the master keeps in flight, and for slots that
/// are released but not yet returned. At this size only a slow store makes an agent wait for a slot.
const POOL_BYTES_FIRST: u64 = 40 << 20;

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl BackupJob {
    /// The initial and the maximum size of a pool that must have `least` bytes. The initial size is a quarter of the
    /// maximum or more: the datawriter may hold that much until it is a full part.
    pub fn pool(&self, least: u64) -> RangeInclusive<u64> {
        let most = self.pool_bytes.max(least);
        POOL_BYTES_FIRST.min(most).max(least).max(most / 4)..=most
    }
}

impl Begin {
    /// The repository's location.
    pub fn repo(&self) -> &str {
        match self {
            Self::Backup(job) => &job.repo,
            Self::Restore(job) => &job.repo,
            Self::Verify(job) => &job.repo,
            Self::Delete(job) => &job.repo,
        }
    }

    /// Refuses an invalid block size before a pool is created for it.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let block_bytes = match self {
            Self::Backup(job) => {
                return Geometry::for_writing(0, job.block_bytes).map(drop).map_err(Failure::protocol);
            }
            Self::Restore(job) => job.block_bytes,
            Self::Verify(job) => job.block_bytes,
            Self::Delete(_) => return Ok(()),
        };
        Geometry::new(0, block_bytes).map(drop).map_err(Failure::protocol)
    }
}
