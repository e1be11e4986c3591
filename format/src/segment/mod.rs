//! A segment: blocks in whatever order they were done, then an index, then a footer.
//!
//! Blocks start on [`STORE_ALIGN`] boundaries and are padded with zeros to the next, so that a
//! segment is written and read with O_DIRECT, straight from and to shared memory. The index tells
//! whose blocks these are, alone: a lost map is rebuilt from it. The footer finds the index.

mod entry;
mod footer;
mod index;

pub use entry::{IndexEntry, crc32};
pub use footer::Footer;
pub use index::SegmentIndex;

/// Blocks and the index are written on multiples of this, and a segment's length is one.
pub const STORE_ALIGN: u64 = 4096;
/// Readers accept blocks, indexes and lengths on multiples of this: the unit of stored offsets.
pub const READ_ALIGN: u64 = crate::layout::OFFSET_UNIT_BYTES;
/// The length of the footer.
pub const FOOTER_BYTES: usize = crate::layout::footer::BYTES;
/// No offset within a segment can be larger: 2 TiB, the reach of 32 bits of 512-byte units.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 41;

/// The room that `stored_bytes` take in a segment that we write: rounded up to [`STORE_ALIGN`].
pub fn padded(stored_bytes: u32) -> u64 {
    u64::from(stored_bytes).next_multiple_of(STORE_ALIGN)
}

#[cfg(test)]
mod tests;
