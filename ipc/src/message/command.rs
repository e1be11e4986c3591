//! A command: one extent of the volume on its way round the ring, and what is known of it.
//!
//! Each step takes a command, adds to it and passes it on. Where bytes are carried, `shm_id`
//! names the slot that holds them; where none are (a hole, a run of unchanged blocks), one
//! command stands for an extent of any size.

use std::ops::Range;

use septet_format::{BackupId, BlockHash, Codec, Geometry};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::ids::SlotId;

/// What is known of an extent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A question: what does this extent consist of? Answered by extents that cover it.
    Map,
    /// An answer to it: may hold data, so it must be read.
    Present,
    /// To be read, or read and to be stored.
    #[default]
    Data,
    /// Reads as zeros, and was never read.
    Hole,
    /// Was read, and is all zeros.
    Zero,
    /// The same as in the parent, by the volume's own change tracking; was never read.
    Kept,
    /// Was read, and is the same as in the parent.
    Unchanged,
    /// Could not be had from the repository as it was stored.
    Damaged,
}

impl State {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
    fn is_data(&self) -> bool {
        *self == Self::Data
    }
}

/// A command as it stands on the wire; what is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Where the extent starts in the volume, bytes.
    pub offset: u64,
    /// How long it is, bytes.
    pub size: u64,
    /// What is known of it; `data` where nothing is said.
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
    /// How many bytes the slot (and the store) holds, where that is not `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<u32>,
    /// CRC-32 of the stored bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32: Option<u32>,
    /// The backup whose segment it is stored in, where that is not the one in the making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// The number of the segment in which the block is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u32>,
    /// Where in that segment, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_offset: Option<u64>,
    /// Why it is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Command {
    /// A command for the extent at `offset`, with nothing else known.
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
            backup: None,
            segment: None,
            segment_offset: None,
            reason: None,
        }
    }

    /// The end of the extent; a command whose end passes `u64::MAX` never leaves the decoder.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }

    /// The extent, if it consists of whole blocks of the volume.
    ///
    /// # Errors
    /// An extent that nobody may ask a volume or a backup for.
    pub fn whole_blocks(&self, geometry: &Geometry) -> Result<Range<u64>, Failure> {
        let range = self.offset..self.end();
        if geometry.is_whole_blocks(&range) {
            return Ok(range);
        }
        Err(Failure::protocol(format!("bytes {}..{} are not whole blocks of the volume", range.start, range.end)))
    }

    /// How many bytes its slot holds.
    pub fn stored_bytes(&self) -> u64 {
        self.stored.map_or(self.size, u64::from)
    }
}
