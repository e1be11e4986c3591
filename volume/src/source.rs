//! The trait for a volume that a backup reads.
//!
//! The size is fixed when the source is opened. If the volume shrinks, this is an error. If it grows, this is reported
//! and the volume is read to its old end. Several threads may call all methods at once.

use crate::{Extent, VolumeError};

/// A volume that can be read in any order, by several threads.
pub trait Source: Send + Sync {
    /// The volume's size when it was opened.
    fn bytes(&self) -> u64;

    /// A description for display: `/dev/vdb (block device, 4096-byte sectors)`.
    fn describe(&self) -> String;

    /// The extent that starts at `offset_bytes` and ends at or before `end_bytes`.
    ///
    /// Everything is [`Data`](crate::ExtentKind::Data) if the storage cannot report holes. Two neighbours may have the
    /// same kind. Fails if the range is not within the volume.
    fn next_extent(&self, offset_bytes: u64, end_bytes: u64) -> Result<Extent, VolumeError>;

    /// Fills `buf` with the bytes at `offset_bytes`.
    ///
    /// Fastest if `buf` is 4096-aligned in memory and offset and length are multiples of 4096. The length may be
    /// unaligned at the volume's end. Correct in any case.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), VolumeError>;

    /// The best length of one read in bytes. 0 means one block of any size.
    fn read_bytes_best(&self) -> u64 {
        0
    }

    /// Called after the last read. Fails if the volume has shrunk. Returns its new size if it has grown.
    fn check_size(&self) -> Result<Option<u64>, VolumeError>;
}
