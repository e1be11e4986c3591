//! A backup's manifest: with it the backup exists, and it names everything the backup needs.
//!
//! Written last and only if absent, never changed. It is JSON, so that people and `jq` can read it,
//! in an envelope that carries its hash. What a decoded manifest says has been checked: sizes are
//! in bounds, counts add up, and no row of its segment table comes twice.

mod check;
mod envelope;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

pub use envelope::MANIFEST_BYTES_MAX;

use crate::error::Result;
use crate::{BackupId, BlockHash, Geometry, VolumeName};

const WHAT: &str = "manifest";

/// Everything there is to know about one backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the manifest and of all that it names.
    pub format: u32,
    /// The repository that it belongs to.
    pub repository: Uuid,
    /// The volume that was backed up.
    pub volume: VolumeName,
    /// This backup.
    pub backup: BackupId,
    /// The backup that it was compared with; `None` for a full one.
    pub parent: Option<BackupId>,
    /// One more than the highest in this volume, from 1: "newest" depends on no clock.
    pub sequence: u64,
    /// When the backup began.
    pub created: Timestamp,
    /// What was read, as the user named it.
    pub source: String,
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
    pub checksums: ObjectRef,
    /// The table of locations.
    pub map: ObjectRef,
    /// Every segment that the map names, by the backup that wrote it: oldest first, own last.
    pub sources: Vec<SourceBackup>,
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

/// A whole object that a manifest vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its length.
    pub bytes: u64,
    /// The BLAKE3 hash of all its bytes.
    pub hash: BlockHash,
}

/// The segments of one backup that a manifest's map names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBackup {
    /// The volume whose backup wrote them; in format 1 always the manifest's own.
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

impl Manifest {
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
