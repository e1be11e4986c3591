//! What a backup reads.
//!
//! The size is fixed when the source is opened; a volume that shrinks is an error, one that grows is
//! reported and read to its old end. All calls may come from several threads at once.

use crate::{Extent, VolumeError};

/// A volume that can be read in any order, by several threads.
pub trait Source: Send + Sync {
    /// The volume's size when it was opened.
    fn bytes(&self) -> u64;

    /// What was opened, in words for people: `/dev/vdb (block device, 4096-byte sectors)`.
    fn describe(&self) -> String;

    /// The extent that starts at `offset_bytes` and ends at or before `end_bytes`.
    ///
    /// All is [`Data`](crate::ExtentKind::Data) where the storage can't tell. Two neighbours may be of
    /// one kind. Fails when the range doesn't lie within the volume.
    fn next_extent(&self, offset_bytes: u64, end_bytes: u64) -> Result<Extent, VolumeError>;

    /// Fills `buf` with the bytes at `offset_bytes`.
    ///
    /// Fastest when `buf` is 4096-aligned in memory and the offset and length are multiples of 4096,
    /// save for the length at the volume's end; right in any case.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), VolumeError>;

    /// How much is best read by one call, bytes; 0: a block, whatever its size.
    fn read_bytes_best(&self) -> u64 {
        0
    }

    /// After the last read: an error if the volume is now smaller, its new size if it grew.
    fn check_size(&self) -> Result<Option<u64>, VolumeError>;
}
