//! The trait for a volume that a restore writes.
//!
//! The caller writes or zeroes every byte of the volume exactly once, in any order and from several threads. Only
//! [`Target::finish`] makes the result durable.

use crate::VolumeError;

/// A volume that can be written in any order, by several threads.
pub trait Target: Send + Sync {
    /// The size of the volume that is written. The rest of a larger device is not changed.
    fn bytes(&self) -> u64;

    /// Announces that the whole range will be written, so that space for it can be allocated at once. This is only a
    /// hint: if there is not enough space, the write reports it.
    fn reserve(&self, _offset_bytes: u64, _size_bytes: u64) {}

    /// Writes all of `buf` at `offset_bytes`. Any alignment is allowed. Fastest if everything is 4096-aligned.
    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), VolumeError>;

    /// Guarantees that the range reads as zeros. Avoids writing zeros if possible.
    fn zero(&self, offset_bytes: u64, size_bytes: u64) -> Result<(), VolumeError>;

    /// Flushes everything to stable storage. Then a new file gets its final name.
    fn finish(&self) -> Result<(), VolumeError>;
}
