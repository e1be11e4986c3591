//! The last 64 bytes of a segment: where its index is, and the index's hash.

use crate::FORMAT_VERSION;
use crate::error::{Result, check_version, ensure};
use crate::hash::BlockHash;
use crate::layout::footer as at;
use crate::layout::{array_at, index_entry, index_header, put, u32_at, u64_at};
use crate::segment::{READ_ALIGN, SEGMENT_BYTES_MAX, STORE_ALIGN};

const WHAT: &str = "segment footer";
const MAGIC: &[u8; 8] = b"SEPTETSF";

/// The place of a segment's index, checked against the segment's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The offset of the index. A multiple of [`READ_ALIGN`].
    pub index_offset_bytes: u64,
    /// The length of the index (header and entries) without padding. It is bounded by the length of the blocks: at most
    /// 56 bytes of entries for each 512 bytes of the segment.
    pub index_bytes: u64,
    /// The BLAKE3 hash of the index. Manifests call it the segment's hash.
    pub hash: BlockHash,
}

impl Footer {
    /// Packs the footer.
    pub fn encode(&self) -> [u8; at::BYTES] {
        let mut bytes = [0; at::BYTES];
        bytes[at::MAGIC].copy_from_slice(MAGIC);
        put(&mut bytes, at::INDEX_OFFSET, self.index_offset_bytes);
        put(&mut bytes, at::INDEX_BYTES, self.index_bytes);
        put(&mut bytes, at::VERSION, FORMAT_VERSION);
        bytes[at::INDEX_HASH].copy_from_slice(self.hash.as_bytes());
        bytes
    }

    /// Unpacks the last 64 bytes of a segment that is `object_bytes` long.
    pub fn decode(bytes: &[u8; at::BYTES], object_bytes: u64) -> Result<Self> {
        ensure(bytes[at::MAGIC] == *MAGIC, WHAT, || "this is not a segment, or its end is missing")?;
        check_version(WHAT, u32_at(bytes, at::VERSION))?;
        ensure(u32_at(bytes, at::RESERVED) == 0, WHAT, || "reserved bytes are not zero")?;
        let footer = Self {
            index_offset_bytes: u64_at(bytes, at::INDEX_OFFSET),
            index_bytes: u64_at(bytes, at::INDEX_BYTES),
            hash: BlockHash::from(array_at(bytes, at::INDEX_HASH)),
        };
        footer.check_shape(object_bytes)?;
        Ok(footer)
    }

    fn check_shape(&self, object_bytes: u64) -> Result<()> {
        let Self { index_offset_bytes, index_bytes, .. } = *self;
        let aligned = index_offset_bytes.is_multiple_of(READ_ALIGN);
        ensure(aligned && index_offset_bytes <= SEGMENT_BYTES_MAX, WHAT, || {
            format!("an index cannot start at {index_offset_bytes}")
        })?;
        let entries_bytes = index_bytes.checked_sub(index_header::BYTES as u64);
        let entry_bytes = index_entry::BYTES as u64;
        // Each block takes at least READ_ALIGN bytes, so the segment's length bounds its index.
        let most = index_offset_bytes / READ_ALIGN * entry_bytes;
        let whole = entries_bytes.is_some_and(|n| n.is_multiple_of(entry_bytes) && n <= most);
        ensure(whole, WHAT, || format!("an index cannot be {index_bytes} bytes long"))?;
        // The end is padded to the next multiple of the alignment that the segment's writer used.
        let end = index_offset_bytes + index_bytes + at::BYTES as u64;
        let ends = end.next_multiple_of(READ_ALIGN)..=end.next_multiple_of(STORE_ALIGN);
        let whole = ends.contains(&object_bytes) && object_bytes.is_multiple_of(READ_ALIGN);
        ensure(whole, WHAT, || {
            format!("the segment should be {} bytes long and is {object_bytes}", end.next_multiple_of(STORE_ALIGN))
        })
    }
}
