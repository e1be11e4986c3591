//! Zeroes ranges, only by methods whose result the kernel guarantees. If none works, writes zeros.
//!
//! Holes of a file are zeros already. In a file that this target created, every byte that was not written is zero, even
//! if the file system cannot report holes. The first method punches a hole. In a file, a hole reads as zeros. On a
//! device, the kernel punches a hole only if the device promises zeros (write-zeroes, which may unmap), and otherwise
//! fails with EOPNOTSUPP. The second method is ZERO_RANGE of the file system or block layer. The last method writes
//! zeros. A plain discard is never used.

use std::sync::{OnceLock, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::retry_on_intr;

use super::aligned::AlignedBuf;
use super::extents::next_extent;
use super::located::VolumeKind;
use super::target::FileTarget;
use crate::error::ByteRange;
use crate::{ExtentKind, Target, VolumeError};

/// The most bytes that one call zeroes. The kernel may have to write them all, and the call cannot be killed meanwhile.
const STEP_BYTES: u64 = 256 << 20;
/// The length of one write of zeros.
const ZEROS_BYTES: usize = 1 << 20;

impl FileTarget {
    /// Makes the range read as zeros. It must be within the volume.
    pub(super) fn zero_range(&self, range: ByteRange) -> Result<(), VolumeError> {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start.saturating_add(STEP_BYTES));
            let extent = next_extent(&self.handle, ByteRange { start, end });
            if extent.kind == ExtentKind::Data {
                self.zero_data(ByteRange { start, end: extent.end_bytes() })?;
            }
            start = extent.end_bytes();
        }
        Ok(())
    }

    fn zero_data(&self, range: ByteRange) -> Result<(), VolumeError> {
        let unit = self.handle.unit_bytes;
        let first = range.start.next_multiple_of(unit).min(range.end);
        let last = match self.handle.kind {
            // The last page of a file is punched as a whole, because there are no bytes beyond the end.
            VolumeKind::File if range.end == self.bytes => range.end.next_multiple_of(unit),
            _ => range.end / unit * unit,
        };
        if first >= last || !self.deallocate(first, last - first) && !self.is_new() {
            return self.write_zeros(range);
        }
        self.write_zeros(ByteRange { start: range.start, end: first })?;
        self.write_zeros(ByteRange { start: last.min(range.end), end: range.end })
    }

    /// Zeroes the range without writing, if the file system or device supports that. The reason for a failure does not
    /// matter: a real error appears again when zeros are written.
    pub(super) fn deallocate(&self, offset_bytes: u64, size_bytes: u64) -> bool {
        let _beside_others = self.edges.read().unwrap_or_else(PoisonError::into_inner);
        let fd = self.handle.first_fd();
        [FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE].into_iter().any(|mode| {
            let mode = mode | FallocateFlags::KEEP_SIZE;
            retry_on_intr(|| fallocate(fd, mode, offset_bytes, size_bytes)).is_ok()
        })
    }

    fn write_zeros(&self, range: ByteRange) -> Result<(), VolumeError> {
        static ZEROS: OnceLock<AlignedBuf> = OnceLock::new();
        let zeros = ZEROS.get_or_init(|| AlignedBuf::new(ZEROS_BYTES)).as_slice();
        let mut start = range.start;
        while start < range.end {
            let bytes = usize::try_from(range.end - start).map_or(zeros.len(), |rest| rest.min(zeros.len()));
            self.write_at(start, &zeros[..bytes])?;
            start += bytes as u64;
        }
        Ok(())
    }
}
