//! What lies under a manifest's key: a backup's manifest or a tombstone.
//!
//! With a [`Manifest`] the backup exists, and it names everything that the backup needs. A [`Tombstone`]
//! occupies the key so that no manifest can come there any more. Both are written only if the key is
//! absent, and never changed. They are JSON, so that people and `jq` can read them, in an envelope that
//! carries their hash. What a decoded manifest says has been checked: sizes are in bounds, counts add up,
//! and no row of its segment table comes twice.

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

/// Everything there is to know about one backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the manifest and of all that it names.
    pub format: u32,
    /// The features that whoever reads the backup must know.
    pub needs_to_read: Features,
    /// The features that whoever builds upon the backup or deletes from its volume must know.
    pub needs_to_write: Features,
    /// The repository in which it lies.
    pub repository: Uuid,
    /// The volume that was backed up.
    pub volume: VolumeName,
    /// This backup.
    pub backup: BackupId,
    /// The manifest's generation, the same as in its key.
    pub generation: u32,
    /// The backup that it was compared with; `None` for a full one.
    pub parent: Option<BackupId>,
    /// One more than the highest in this volume, from 1: "newest" depends on no clock.
    pub sequence: u64,
    /// When the backup began.
    pub created: Timestamp,
    /// The machine on which the backup was made.
    pub machine: Machine,
    /// What was read.
    pub source: Source,
    /// What wrote it, like `septet 0.1.0`.
    pub tool: String,
    /// The volume's length.
    pub volume_bytes: u64,
    /// The length of a block.
    pub block_bytes: u32,
    /// What the writer compressed with, `lz4` or `none`: for people, as each block says its own.
    pub compression: String,
    /// What blocks are hashed with: `blake3`.
    pub hash: String,
    /// What became of the blocks.
    pub blocks: BlockCounts,
    /// How many bytes of the volume were read.
    pub bytes_read: u64,
    /// How many bytes this backup's own segments and tables have.
    pub bytes_stored: u64,
    /// How long it took.
    #[serde(serialize_with = "finite")]
    pub seconds: f64,
    /// The table of hashes.
    pub checksums: TableRef,
    /// The table of locations.
    pub map: TableRef,
    /// Every segment that the map names, by the backup that wrote it: oldest first, own last.
    pub sources: Vec<SourceBackup>,
    /// What was read, if the source keeps track of its changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Tracking>,
    /// What later versions add that older ones may ignore.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, serde_json::Value>,
}

/// What became of the blocks of a volume: together, all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCounts {
    /// Read, and stored by this backup.
    pub data: u64,
    /// Read, and found to be zeros.
    pub zero: u64,
    /// Never read: the source said that nothing is there.
    pub hole: u64,
    /// The same as in the parent.
    pub unchanged: u64,
}

/// A table that a manifest vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRef {
    /// The generation in its key.
    pub generation: u32,
    /// Its length.
    pub bytes: u64,
    /// The hash over its shape and the hashes of its decoded chunks.
    pub root: BlockHash,
}

/// A generation of a backup, and its tables: whoever is told of them reads all three at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRef {
    /// The backup.
    pub backup: BackupId,
    /// The generation of its manifest.
    pub generation: u32,
    /// What that manifest says of the table of hashes.
    pub checksums: TableRef,
    /// What that manifest says of the table of locations.
    pub map: TableRef,
}

/// The segments of one backup that a manifest's map names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBackup {
    /// The repository in which the segments were made; the manifest's own unless it is a copy.
    pub repository: Uuid,
    /// The volume whose backup wrote them; another than the manifest's own needs the feature `shared`.
    pub volume: VolumeName,
    /// The backup that wrote them.
    pub backup: BackupId,
    /// The segments; each is a row of the segment table.
    pub segments: Vec<SegmentRef>,
}

/// One row of a manifest's segment table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// The segment's number in the backup that wrote it.
    pub number: u32,
    /// The segment's length.
    pub bytes: u64,
    /// The hash of the segment's index, which vouches for all of it.
    pub hash: BlockHash,
    /// How many of its bytes this manifest's map names, padding included.
    pub live_bytes: u64,
}

impl BlockCounts {
    /// All blocks together; `None` when no volume has so many.
    pub fn total(&self) -> Option<u64> {
        let Self { data, zero, hole, unchanged } = *self;
        data.checked_add(zero)?.checked_add(hole)?.checked_add(unchanged)
    }
}

impl SourceBackup {
    /// What one of the segments is called.
    pub fn segment_key(&self, segment: &SegmentRef) -> String {
        keys::segment(&self.volume, &self.backup, segment.number)
    }

    /// The name of one of its segments.
    pub fn segment_id(&self, segment: &SegmentRef) -> SegmentId {
        SegmentId { volume: self.volume.clone(), backup: self.backup.clone(), number: segment.number }
    }
}

impl Manifest {
    /// What the manifest is called.
    pub fn key(&self) -> String {
        keys::manifest(&self.volume, &self.backup, self.generation)
    }

    /// What its table of hashes is called.
    pub fn checksums_key(&self) -> String {
        keys::checksums(&self.volume, &self.backup, self.checksums.generation)
    }

    /// What its table of locations is called.
    pub fn map_key(&self) -> String {
        keys::map(&self.volume, &self.backup, self.map.generation)
    }

    /// What another process must be told to read this generation.
    pub fn reference(&self) -> BackupRef {
        let Self { backup, generation, checksums, map, .. } = self;
        BackupRef { backup: backup.clone(), generation: *generation, checksums: *checksums, map: *map }
    }

    /// Refuses a backup that this version may read, and must neither build upon nor delete.
    pub fn check_writable(&self) -> Result<()> {
        self.needs_to_write.check(WHAT)
    }

    /// How the volume is cut into blocks.
    pub fn geometry(&self) -> Result<Geometry> {
        Geometry::new(self.volume_bytes, self.block_bytes)
    }

    /// The segment table: what [`crate::Location::segment`] counts.
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

/// JSON knows no infinity; a clock that gives one is no reason to lose a backup.
fn finite<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(if seconds.is_finite() { *seconds } else { 0.0 })
}

#[cfg(test)]
mod tests;
