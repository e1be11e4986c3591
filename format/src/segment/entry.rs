//! The entry of one block in its segment's index.

use crate::codec::Codec;
use crate::error::{Result, ensure};
use crate::geometry::Geometry;
use crate::hash::{BlockHash, agrees};
use crate::layout::index_entry as at;
use crate::layout::{OFFSET_UNIT_BYTES, array_at, put, u32_at, u64_at};
use crate::location::check_stored_bytes;
use crate::segment::{READ_ALIGN, padded};

const WHAT: &str = "segment index entry";

/// Where a block is stored in a segment, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The block's number in its volume.
    pub block: u64,
    /// The hash of the block's content. Never zero, because zeros are not stored.
    pub hash: BlockHash,
    /// The offset of the stored bytes in the segment. A multiple of [`READ_ALIGN`].
    pub offset_bytes: u64,
    /// How many bytes are stored, without padding.
    pub stored_bytes: u32,
    /// How to decode them.
    pub codec: Codec,
    /// The CRC-32 of the stored bytes. It finds a flipped bit that does not change the decoded content. 0 for a raw
    /// block, whose hash covers every stored byte.
    pub crc32: u32,
}

/// The IEEE CRC-32 (that of zlib and Ethernet) of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

impl IndexEntry {
    /// The end of the block in a segment that we write, padding included.
    pub fn end_bytes(&self) -> u64 {
        self.offset_bytes.saturating_add(padded(self.stored_bytes))
    }

    /// Checks the bytes that were read from this entry's offset, with or without padding. Checks the CRC-32 of a
    /// compressed block, and that the padding is zero. The hash of the block's content proves the rest.
    pub fn check_stored(&self, bytes: &[u8]) -> Result<()> {
        let split = usize::try_from(self.stored_bytes).ok();
        let Some((stored, padding)) = split.and_then(|at| bytes.split_at_checked(at)) else {
            return crate::error::damaged(WHAT, format!("block {} is truncated", self.block));
        };
        ensure(self.codec == Codec::Raw || agrees(crc32(stored), self.crc32), WHAT, || {
            format!("the stored bytes of block {} do not match their CRC-32", self.block)
        })?;
        ensure(padding.iter().all(|byte| *byte == 0), WHAT, || {
            format!("the padding after block {} is not zero", self.block)
        })
    }

    /// Packs the entry of a block of `content_bytes`.
    pub(super) fn encode(&self, content_bytes: u32) -> [u8; at::BYTES] {
        let mut bytes = [0; at::BYTES];
        put(&mut bytes, at::BLOCK, self.block);
        bytes[at::HASH].copy_from_slice(self.hash.as_bytes());
        put(&mut bytes, at::OFFSET, self.offset_bytes / OFFSET_UNIT_BYTES);
        put(&mut bytes, at::STORED_BYTES, self.stored_bytes);
        put(&mut bytes, at::CODEC, u8::from(self.codec));
        put(&mut bytes, at::CRC32, self.crc32);
        put(&mut bytes, at::CONTENT_BYTES, content_bytes);
        bytes
    }

    /// Unpacks and checks one entry. The block must not start before `floor`, where the previous block ends, and must
    /// not end after `ceiling`.
    pub(super) fn decode(bytes: &[u8], geometry: &Geometry, floor: u64, ceiling: u64) -> Result<Self> {
        let entry = Self {
            block: u64_at(bytes, at::BLOCK),
            hash: BlockHash::from(array_at(bytes, at::HASH)),
            offset_bytes: u64::from(u32_at(bytes, at::OFFSET)) * OFFSET_UNIT_BYTES,
            stored_bytes: u32_at(bytes, at::STORED_BYTES),
            codec: Codec::try_from(bytes[at::CODEC.start])?,
            crc32: u32_at(bytes, at::CRC32),
        };
        let Self { block, offset_bytes, stored_bytes, codec, .. } = entry;
        ensure(block < geometry.blocks(), WHAT, || {
            format!("block {block} is beyond the volume's {} blocks", geometry.blocks())
        })?;
        ensure(codec != Codec::Raw || entry.crc32 == 0, WHAT, || format!("raw block {block} has a CRC-32"))?;
        ensure(!entry.hash.is_zero(), WHAT, || format!("block {block} has no hash"))?;
        let content_bytes = u32_at(bytes, at::CONTENT_BYTES);
        ensure(content_bytes == geometry.len_bytes(block), WHAT, || {
            format!("block {block} has {content_bytes} bytes, not {}", geometry.len_bytes(block))
        })?;
        check_stored_bytes(WHAT, codec, stored_bytes, content_bytes)?;
        let end_bytes = offset_bytes + u64::from(stored_bytes).next_multiple_of(READ_ALIGN);
        ensure(offset_bytes >= floor && end_bytes <= ceiling, WHAT, || {
            format!("block {block} overlaps its neighbour or the index")
        })?;
        Ok(entry)
    }
}
