//! What a restore writes.
//!
//! Every byte of the volume is either written or zeroed by the caller, each by one call, in any order
//! and from several threads. Only after [`Target::finish`] is anything promised about stable storage.

use crate::VolumeError;

/// A volume that can be written in any order, by several threads.
pub trait Target: Send + Sync {
    /// The size of the volume that is written; what lies beyond it on a larger device is left alone.
    fn bytes(&self) -> u64;

    /// Says that all of the range will be written, so that room for it may be found at once. A help only: where
    /// there is none, the writing says so.
    fn reserve(&self, _offset_bytes: u64, _size_bytes: u64) {}

    /// Writes all of `buf` at `offset_bytes`; any alignment, fastest when all is 4096-aligned.
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), VolumeError>;

    /// Makes the range read back as zeros for certain, without writing them where that is possible.
    fn zero(&self, offset_bytes: u64, size_bytes: u64) -> Result<(), VolumeError>;

    /// Flushes to stable storage; a new file takes its name with this, and not before.
    fn finish(&self) -> Result<(), VolumeError>;
}
