//! A segment: blocks in the order in which they were finished, then an index, then a footer.
//!
//! Blocks start at multiples of [`STORE_ALIGN`] and are padded with zeros to the next multiple. So a segment can be
//! written and read with O_DIRECT, straight from and to shared memory. The index alone identifies the blocks and their
//! backup, so a lost map can be rebuilt from it. The footer says where the index is.

mod entry;
mod footer;
mod index;

pub use entry::{IndexEntry, crc32};
pub use footer::Footer;
pub use index::SegmentIndex;

/// Writers place blocks and the index at multiples of this. A segment's length is a multiple, too.
pub const STORE_ALIGN: u64 = 4096;
/// Readers accept blocks, indexes and lengths at multiples of this. It is the unit of stored offsets.
pub const READ_ALIGN: u64 = crate::layout::OFFSET_UNIT_BYTES;
/// The length of the footer.
pub const FOOTER_BYTES: usize = crate::layout::footer::BYTES;
/// The largest offset within a segment: 2 TiB, because offsets are 32-bit numbers of 512-byte units.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 41;

/// The length of `stored_bytes` with padding in a segment that we write: rounded up to [`STORE_ALIGN`].
pub fn padded(stored_bytes: u32) -> u64 {
    u64::from(stored_bytes).next_multiple_of(STORE_ALIGN)
}

#[cfg(test)]
mod tests;
