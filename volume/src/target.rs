//! What a restore writes.
//!
//! The caller writes or zeroes every byte of the volume, by one call each, in any order and from several threads. Only
//! [`Target::finish`] makes the result durable.

use crate::VolumeError;

/// A volume that can be written in any order, by several threads.
pub trait Target: Send + Sync {
    /// The size of the volume that is written. The rest of a larger device is not touched.
    fn bytes(&self) -> u64;

    /// Announces that the whole range will be written, so that room for it can be allocated at once. This is only a
    /// hint: if there is no room, the write fails.
    fn reserve(&self, _offset_bytes: u64, _size_bytes: u64) {}

    /// Writes all of `buf` at `offset_bytes`; any alignment, fastest when all is 4096-aligned.
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), VolumeError>;

    /// Makes the range read back as zeros for certain; without writing them if that is possible.
    fn zero(&self, offset_bytes: u64, size_bytes: u64) -> Result<(), VolumeError>;

    /// Flushes to stable storage. Only now a new file gets its name.
    fn finish(&self) -> Result<(), VolumeError>;
}
