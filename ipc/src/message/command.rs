//! A command: one extent of the volume on its way round the ring, and what is known about it.
//!
//! Each agent takes a command, adds to it and passes it on. If the command carries bytes, `shm_id` names the slot that
//! holds them. If it carries none (a hole, a run of unchanged blocks), one command covers an extent of any size.

use std::ops::Range;

use septet_format::{BackupId, BlockHash, Codec, Geometry, VolumeName};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::ids::SlotId;

/// What is known about an extent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A question: what does this extent consist of? The answer is a list of extents that cover it.
    Map,
    /// An answer to `Map`: the extent may hold data, so it must be read.
    Present,
    /// The extent has to be read, or was read and has to be stored.
    #[default]
    Data,
    /// Reads as zeros. It was not read.
    Hole,
    /// Was read and is all zeros.
    Zero,
    /// The same as in the parent, according to the volume's own change tracking. It was not read.
    Kept,
    /// Was read and is the same as in the parent.
    Unchanged,
    /// The repository could not return it as it was stored.
    Damaged,
}

impl State {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
    fn is_data(&self) -> bool {
        *self == Self::Data
    }
}

/// A command as it is on the wire. Unknown fields are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Where the extent starts in the volume, bytes.
    pub offset: u64,
    /// How long it is, bytes.
    pub size: u64,
    /// What is known about it. `data` if the field is missing.
    #[serde(default, skip_serializing_if = "State::is_data")]
    pub state: State,
    /// The slot that holds its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_id: Option<SlotId>,
    /// BLAKE3 of the block's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<BlockHash>,
    /// How the bytes in the slot (and in the store) are coded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<Codec>,
    /// The number of bytes in the slot (and in the store) if it differs from `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<u32>,
    /// CRC-32 of the stored bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32: Option<u32>,
    /// The volume whose segment holds the block, if it is not the volume of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeName>,
    /// The backup whose segment holds the block, if it is not the backup being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// The number of the segment that holds the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u32>,
    /// The block's offset in that segment, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_offset: Option<u64>,
    /// Why the extent is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Command {
    /// A command for the extent at `offset` with nothing else set.
    pub fn new(offset: u64, size: u64, state: State) -> Self {
        Self {
            offset,
            size,
            state,
            shm_id: None,
            hash: None,
            codec: None,
            stored: None,
            crc32: None,
            volume: None,
            backup: None,
            segment: None,
            segment_offset: None,
            reason: None,
        }
    }

    /// The end of the extent. It can't overflow: the decoder rejects a command whose end exceeds `u64::MAX`.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }

    /// The extent, checked to consist of whole blocks of the volume.
    ///
    /// # Errors
    /// The extent does not consist of whole blocks of the volume.
    pub fn whole_blocks(&self, geometry: &Geometry) -> Result<Range<u64>, Failure> {
        let range = self.offset..self.end();
        if geometry.is_whole_blocks(&range) {
            return Ok(range);
        }
        Err(Failure::protocol(format!("bytes {}..{} are not whole blocks of the volume", range.start, range.end)))
    }

    /// The number of bytes in its slot.
    pub fn stored_bytes(&self) -> u64 {
        self.stored.map_or(self.size, u64::from)
    }
}
