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
    /// The directory with a stream of changes that is to be backed up instead of a volume.
    pub spool: Option<PathBuf>,
    /// The share of blocks, in parts per million, that are read and compared although the source calls them unchanged.
    pub audit_ppm: u32,
    /// Whether the source is a snapshot and does not change. Then a resumed backup does not read again what is already
    /// stored.
    pub snapshot: bool,
    /// The volume's name in the repository; none: made from the source.
    pub volume: Option<VolumeName>,
    /// The backup's id; none: the time and a random number.
    pub id: Option<BackupId>,
    /// The backup to compare with.
    pub compare: Compare,
    /// The block size; none: the parent's, or the default.
    pub block_bytes: Option<u32>,
    /// Data of the caller's own that is stored with the backup.
    pub metadata: Option<Value>,
    /// How blocks are stored.
    pub compression: Compression,
    /// The number of concurrent reads.
    pub streams: u32,
    /// The size at which a segment is closed.
    pub segment_bytes: u64,
}

impl BackupRequest {
    /// A backup of `source` with the defaults of the command line, compared with the newest backup of the volume.
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

/// The backup with which a new one is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The newest backup of the volume, if one exists.
    Newest,
    /// This backup of the volume.
    With(BackupId),
    /// No backup: every block is stored.
    Nothing,
}

/// A backup that was made, and the run that completed it.
#[derive(Debug)]
pub struct Made {
    /// The backup.
    pub manifest: Manifest,
    /// The run.
    pub report: Report,
    /// The size of the segments that an interrupted run had already stored, bytes.
    pub taken_over_bytes: u64,
}
