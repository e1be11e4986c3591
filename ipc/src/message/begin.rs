//! What a run is to do: the `begin` message, the first one that every agent gets.
//!
//! `begin` goes once round the ring. Each agent opens what it needs by it, and adds what only it
//! knows (the reader: the volume's size) before it passes it on; so all that stand behind it, and
//! in the end the master, know it too. It holds no secrets: credentials come by the environment,
//! and only to the agents that need them.

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
    /// Read and check every segment that some backups name.
    Verify(VerifyJob),
    /// Delete backups and what nothing needs any more.
    Delete(DeleteJob),
}

/// How blocks are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// LZ4 where it saves something.
    Lz4,
    /// As they are.
    None,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupJob {
    /// What to read: a path, or the URL of an image.
    pub source: String,
    /// What kind of source that is: `file`, `device` or `image`.
    pub source_kind: String,
    /// What tells it from every other source; empty if unknown. The reader of an image replaces the name in it by the
    /// image's id.
    pub source_identity: String,
    /// The machine on which the backup is made.
    pub machine: Machine,
    /// Where to store: a directory or a URL without secrets.
    pub repo: String,
    /// The repository's id.
    pub repository: Uuid,
    /// The volume's name in the repository.
    pub volume: VolumeName,
    /// The id of the backup that is made.
    pub backup: BackupId,
    /// Which attempt at the backup this is: the generation of what it commits. Its segments have numbers from
    /// `attempt` × 2²⁰ on.
    pub attempt: u32,
    /// The backup that it is compared with; none for a full one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<BackupRef>,
    /// The backup's place in the volume's history.
    pub sequence: u64,
    /// What whoever asked for the backup wants to find with it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
    /// The block size, bytes.
    pub block_bytes: u32,
    /// How to store blocks.
    pub compression: Compression,
    /// How many reads go on at once.
    pub streams: u32,
    /// How large each pool of shared memory may become, bytes.
    pub pool_bytes: u64,
    /// A segment is closed when it holds this much, bytes.
    pub segment_bytes: u64,
    /// The volume's size, bytes: added by the reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_bytes: Option<u64>,
    /// What an interrupted run has left that this one goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// What is read, where the source keeps track of its changes: added by the reader. If it is known before, the
    /// reader reads nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Box<Tracking>>,
    /// What the parent read; none: the source is not asked what changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Box<Tracking>>,
    /// How many in a million of the blocks that the source calls unchanged are read and compared all the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub audit_ppm: u32,
    /// A folder in which a stream of changes was laid out: that is read, and no volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<String>,
}

/// A backup that goes on where a run that died has left it: the segments of earlier attempts are taken over, as far as
/// they are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Whether the volume is known to be as it was: then what is stored already is not read.
    pub unchanged: bool,
}

/// A restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreJob {
    /// Where the backup is.
    pub repo: String,
    /// The repository's id.
    pub repository: Uuid,
    /// The volume it was made of.
    pub volume: VolumeName,
    /// The backup to restore.
    pub backup: BackupRef,
    /// What to write: a path, or the URL of an image.
    pub target: String,
    /// Whether an existing target may be written over.
    pub overwrite: bool,
    /// Whether the target reads as zeros where nothing is written.
    #[serde(default)]
    pub zeroed: bool,
    /// Whether damaged blocks are left out and listed, instead of ending the run.
    pub keep_going: bool,
    /// The first byte to restore.
    pub offset_bytes: u64,
    /// How many bytes to restore.
    pub length_bytes: u64,
    /// The volume's size, bytes, as the manifest gives it.
    pub volume_bytes: u64,
    /// The block size, bytes, as the manifest gives it.
    pub block_bytes: u32,
    /// How many reads, and how many writes, go on at once.
    pub streams: u32,
    /// The size of each pool of shared memory, bytes.
    pub pool_bytes: u64,
    /// Whether the target is an image that is to be made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create: bool,
    /// What the backup read: how to make such an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Box<Tracking>>,
}

/// A check of all that some backups of one volume name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyJob {
    /// Where the backups are.
    pub repo: String,
    /// The repository's id.
    pub repository: Uuid,
    /// The volume.
    pub volume: VolumeName,
    /// Which of its backups.
    pub backups: Vec<BackupId>,
    /// The block size, bytes: the largest among the backups.
    pub block_bytes: u32,
    /// How many reads go on at once.
    pub streams: u32,
    /// The size of each pool of shared memory, bytes.
    pub pool_bytes: u64,
    /// What part of it; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

/// A part of what there is to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// How much: so many in a million.
    pub ppm: u32,
    /// Which: rounds that follow one another have different parts.
    pub round: u64,
}

/// A deletion of some backups of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteJob {
    /// Where the backups are.
    pub repo: String,
    /// The repository's id.
    pub repository: Uuid,
    /// The volume.
    pub volume: VolumeName,
    /// Which of its backups.
    pub backups: Vec<BackupId>,
}

/// What a pool of a backup has at first, bytes: room for the 32 MiB that the master has under way, and for slots that are
/// free and not home yet. Who still waits for a slot waits for the store.
const POOL_BYTES_FIRST: u64 = 40 << 20;

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl BackupJob {
    /// What a pool has at first and what it may grow to, bytes, if it must have `least`. A quarter is there from the
    /// beginning: so much may lie in the datawriter and wait to be a part.
    pub fn pool(&self, least: u64) -> RangeInclusive<u64> {
        let most = self.pool_bytes.max(least);
        POOL_BYTES_FIRST.min(most).max(least).max(most / 4)..=most
    }
}

impl Begin {
    /// Where the repository is.
    pub fn repo(&self) -> &str {
        match self {
            Self::Backup(job) => &job.repo,
            Self::Restore(job) => &job.repo,
            Self::Verify(job) => &job.repo,
            Self::Delete(job) => &job.repo,
        }
    }

    /// Refuses a block size that can't be, before a pool is made for it.
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
