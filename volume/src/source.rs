//! What a backup reads.
//!
//! The size is fixed when the source is opened. A volume that shrinks is an error. A volume that grows is reported and
//! read to its old end. Several threads may call all methods at once.

use crate::{Extent, VolumeError};

/// A volume that can be read in any order, by several threads.
pub trait Source: Send + Sync {
    /// The volume's size when it was opened.
    fn bytes(&self) -> u64;

    /// A description for people: `/dev/vdb (block device, 4096-byte sectors)`.
    fn describe(&self) -> String;

    /// The extent that starts at `offset_bytes` and ends at or before `end_bytes`.
    ///
    /// Everything is [`Data`](crate::ExtentKind::Data) if the storage cannot tell. Two neighbours may have the same
    /// kind. Fails if the range is not within the volume.
    fn next_extent(&self, offset_bytes: u64, end_bytes: u64) -> Result<Extent, VolumeError>;

    /// Fills `buf` with the bytes at `offset_bytes`.
    ///
    /// Fastest if `buf` is 4096-aligned in memory and offset and length are multiples of 4096, except the length at the
    /// volume's end. Correct in any case.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), VolumeError>;

    /// The best length of one read, bytes; 0: one block, whatever its size.
    fn read_bytes_best(&self) -> u64 {
        0
    }

    /// Called after the last read. Fails if the volume has shrunk; returns its new size if it has grown.
    fn check_size(&self) -> Result<Option<u64>, VolumeError>;
}
