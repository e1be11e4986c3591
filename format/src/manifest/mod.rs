//! The object under a manifest's key: a backup's manifest or a tombstone.
//!
//! A [`Manifest`] makes a backup exist and names everything that the backup needs. A [`Tombstone`] occupies the key, so
//! that no manifest can be written there any more. Both are written only if the key is absent, and never changed. They
//! are JSON, so that people and `jq` can read them, in an envelope that contains their hash. The fields of a decoded
//! manifest have been checked: sizes are within bounds, counts add up, and no row of its segment table is repeated.

mod check;
mod envelope;
mod tombstone;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

pub use envelope::{MANIFEST_BYTES_MAX, Record};
pub use tombstone::{Tombstone, TombstoneReason};

use crate::error::Result;
use crate::{BackupId, BlockHash, Features, Geometry, Machine, SegmentId, Source, Tracking, VolumeName, keys};

const WHAT: &str = "manifest";

/// The description of one backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the manifest and of all objects that it names.
    pub format: u32,
    /// The features that a program must know to read the backup.
    pub needs_to_read: Features,
    /// The features that a program must know to use the backup as a parent or to delete from its volume.
    pub needs_to_write: Features,
    /// The repository that contains the manifest.
    pub repository: Uuid,
    /// The volume that was backed up.
    pub volume: VolumeName,
    /// The backup's id.
    pub backup: BackupId,
    /// The manifest's generation, the same as in its key.
    pub generation: u32,
    /// The backup that it was compared with. `None` for a full backup.
    pub parent: Option<BackupId>,
    /// Counts the backups of the volume from 1: one more than the highest at the time. So "newest" does not depend on a
    /// clock.
    pub sequence: u64,
    /// When the backup began.
    pub created: Timestamp,
    /// The machine on which the backup was made.
    pub machine: Machine,
    /// What was read.
    pub source: Source,
    /// The program that wrote it, like `septet 0.1.0`.
    pub tool: String,
    /// The volume's length.
    pub volume_bytes: u64,
    /// The block size.
    pub block_bytes: u32,
    /// The writer's compression setting, `lz4` or `none`. Only for display: each block has its own codec.
    pub compression: String,
    /// The hash function for blocks: `blake3`.
    pub hash: String,
    /// How many blocks were stored, were zeros, were holes, or were unchanged.
    pub blocks: BlockCounts,
    /// How many bytes of the volume were read.
    pub bytes_read: u64,
    /// The total length of this backup's own segments and tables.
    pub bytes_stored: u64,
    /// How long the backup took.
    #[serde(serialize_with = "finite")]
    pub seconds: f64,
    /// The table of checksums.
    pub checksums: TableRef,
    /// The table of locations.
    pub map: TableRef,
    /// Every segment that the map names, grouped by the backup that wrote it. The oldest backup comes first, this one
    /// last.
    pub sources: Vec<SourceBackup>,
    /// The state of the source that was read, if the source tracks its changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Tracking>,
    /// Fields of later versions that older ones may ignore.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, serde_json::Value>,
}

/// The blocks of a volume, counted by what the backup did with them. The sum is the number of all blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCounts {
    /// Read, and stored by this backup.
    pub data: u64,
    /// Read, and found to be zeros.
    pub zero: u64,
    /// Not read: the source reported a hole.
    pub hole: u64,
    /// The same as in the parent.
    pub unchanged: u64,
}

/// A manifest's reference to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRef {
    /// The generation in its key.
    pub generation: u32,
    /// Its length.
    pub bytes: u64,
    /// The hash over the table's shape and the hashes of its decoded chunks.
    pub root: BlockHash,
}

/// A generation of a backup, and its tables. A process that gets this can read the manifest and both tables at the same
/// time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRef {
    /// The backup.
    pub backup: BackupId,
    /// The generation of its manifest.
    pub generation: u32,
    /// The manifest's reference to the table of checksums.
    pub checksums: TableRef,
    /// The manifest's reference to the table of locations.
    pub map: TableRef,
}

/// The segments of one backup that are named in a manifest's map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBackup {
    /// The repository in which the segments were written. The manifest's own unless the backup is a copy.
    pub repository: Uuid,
    /// The volume whose backup wrote them. If it is not the manifest's own, the feature `shared` is needed.
    pub volume: VolumeName,
    /// The backup that wrote them.
    pub backup: BackupId,
    /// The segments. Each is a row of the segment table.
    pub segments: Vec<SegmentRef>,
}

/// One row of a manifest's segment table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// The segment's number in the backup that wrote it.
    pub number: u32,
    /// The segment's length.
    pub bytes: u64,
    /// The hash of the segment's index. It proves the whole segment.
    pub hash: BlockHash,
    /// How many of the segment's bytes this manifest's map refers to, padding included.
    pub live_bytes: u64,
}

impl BlockCounts {
    /// The sum of all counts. `None` if it overflows.
    pub fn total(&self) -> Option<u64> {
        let Self { data, zero, hole, unchanged } = *self;
        data.checked_add(zero)?.checked_add(hole)?.checked_add(unchanged)
    }
}

impl SourceBackup {
    /// The key of one of the segments.
    pub fn segment_key(&self, segment: &SegmentRef) -> String {
        keys::segment(&self.volume, &self.backup, segment.number)
    }

    /// The name of one of its segments.
    pub fn segment_id(&self, segment: &SegmentRef) -> SegmentId {
        SegmentId { volume: self.volume.clone(), backup: self.backup.clone(), number: segment.number }
    }
}

impl Manifest {
    /// The key of the manifest.
    pub fn key(&self) -> String {
        keys::manifest(&self.volume, &self.backup, self.generation)
    }

    /// The key of its table of checksums.
    pub fn checksums_key(&self) -> String {
        keys::checksums(&self.volume, &self.backup, self.checksums.generation)
    }

    /// The key of its table of locations.
    pub fn map_key(&self) -> String {
        keys::map(&self.volume, &self.backup, self.map.generation)
    }

    /// What another process needs to read this generation.
    pub fn reference(&self) -> BackupRef {
        let Self { backup, generation, checksums, map, .. } = self;
        BackupRef { backup: backup.clone(), generation: *generation, checksums: *checksums, map: *map }
    }

    /// Returns an error if this version must not use the backup as a parent or delete it.
    pub fn check_writable(&self) -> Result<()> {
        self.needs_to_write.check(WHAT)
    }

    /// How the volume is divided into blocks.
    pub fn geometry(&self) -> Result<Geometry> {
        Geometry::new(self.volume_bytes, self.block_bytes)
    }

    /// The rows of the segment table. [`crate::Location::segment`] is a row's number.
    pub fn segment_rows(&self) -> impl Iterator<Item = (u32, &SourceBackup, &SegmentRef)> {
        let rows = |source: &SourceBackup| source.segments.len();
        debug_assert!(u32::try_from(self.sources.iter().map(rows).sum::<usize>()).is_ok());
        let pairs = self.sources.iter().flat_map(|s| s.segments.iter().map(move |row| (s, row)));
        (0..).zip(pairs).map(|(row, (source, segment))| (row, source, segment))
    }

    /// How many rows the segment table has.
    pub fn rows(&self) -> usize {
        self.sources.iter().map(|source| source.segments.len()).sum()
    }
}

/// JSON has no infinity. A wrong clock must not make a backup fail.
fn finite<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(if seconds.is_finite() { *seconds } else { 0.0 })
}

#[cfg(test)]
mod tests;
