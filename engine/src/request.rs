//! The request for a backup, and its result.

use std::path::PathBuf;

use septet_format::{BackupId, Manifest, VolumeName};
use septet_ipc::Compression;
use septet_volume::VolumeUrl;
use serde_json::Value;

use crate::Report;

/// Backs up a volume.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// What to back up, as [`volume`](crate::volume) gives it.
    pub source: VolumeUrl,
    /// Where a stream of changes was laid out that is to be backed up in the place of a volume.
    pub spool: Option<PathBuf>,
    /// Of the blocks that the source calls unchanged, so many in a million are read and compared all the same.
    pub audit_ppm: u32,
    /// Whether the source is a snapshot and does not change: then a backup that goes on after an interruption does not
    /// read what is stored already.
    pub snapshot: bool,
    /// The volume's name in the repository; none: made from the source.
    pub volume: Option<VolumeName>,
    /// The backup's id; none: the time and a random number.
    pub id: Option<BackupId>,
    /// What to compare with.
    pub compare: Compare,
    /// The block size; none: the parent's, or the default.
    pub block_bytes: Option<u32>,
    /// What whoever asks for the backup wants to find with it again.
    pub metadata: Option<Value>,
    /// How blocks are stored.
    pub compression: Compression,
    /// How many reads go on at once.
    pub streams: u32,
    /// A segment is closed when it holds this much.
    pub segment_bytes: u64,
}

impl BackupRequest {
    /// A backup of `source`, compared with the newest one of the volume, with what the command line has as defaults.
    pub fn new(source: VolumeUrl) -> Self {
        Self {
            source,
            spool: None,
            audit_ppm: 0,
            snapshot: false,
            volume: None,
            id: None,
            compare: Compare::Newest,
            block_bytes: None,
            metadata: None,
            compression: Compression::Lz4,
            streams: 4,
            segment_bytes: 256 << 20,
        }
    }
}

/// What a backup is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The newest backup of the volume, if there is one.
    Newest,
    /// This backup of the volume.
    With(BackupId),
    /// Nothing: every block is stored.
    Nothing,
}

/// A backup that was made, and the run that ended it.
#[derive(Debug)]
pub struct Made {
    /// The backup.
    pub manifest: Manifest,
    /// The run.
    pub report: Report,
    /// Segments that a run which was interrupted had stored already, bytes.
    pub taken_over_bytes: u64,
}
