//! Writes to a file target: aligned ranges directly, unaligned edges and groups of short ranges through the page cache.
//!
//! No page is written both ways at once. A short range consists of whole pages that no other call writes. An edge is
//! written, flushed and dropped from the cache while no direct write runs. So no cached page remains that could hide or
//! overwrite a direct write.

use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::sync::PoisonError;

use rustix::fs::{Advice, fadvise, fdatasync};
use rustix::io::{Errno, pwrite, retry_on_intr};

use super::aligned::{AlignedBuf, is_aligned};
use super::target::FileTarget;

/// The largest piece that is copied for a direct write.
const SCRATCH_BYTES: usize = 1 << 20;

/// Writes the whole units of a range.
type WriteUnits = fn(&FileTarget, u64, &[u8]) -> Result<(), Errno>;

impl FileTarget {
    /// Writes all of `buf`. The range must be within the volume.
    pub(super) fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), Errno> {
        self.write_by(offset_bytes, buf, Self::write_middle)
    }

    /// The same through the page cache. For one of many short ranges that are close together. The kernel combines them
    /// into few large writes. A direct write would wait for the disk and for an allocation each time. No other call may
    /// write to the same pages at the same time.
    pub(super) fn write_cached(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), Errno> {
        self.write_by(offset_bytes, buf, |target, offset_bytes, buf| {
            let _beside_others = target.edges.read().unwrap_or_else(PoisonError::into_inner);
            write_all(&target.handle.buffered_fd, offset_bytes, buf)
        })
    }

    /// Makes the kernel start writing the cached pages of the range to the disk, so that they do not accumulate.
    pub(super) fn begin_to_write_out(&self, offset_bytes: u64, size_bytes: u64) {
        // DONTNEED starts writing dirty pages and does not wait for them.
        let size_bytes = NonZeroU64::new(size_bytes);
        let _ = fadvise(&self.handle.buffered_fd, offset_bytes, size_bytes, Advice::DontNeed);
    }

    fn write_by(&self, offset_bytes: u64, buf: &[u8], write_units: WriteUnits) -> Result<(), Errno> {
        if !self.handle.direct() {
            return write_all(&self.handle.buffered_fd, offset_bytes, buf);
        }
        let (head, rest) = buf.split_at(self.head_bytes(offset_bytes, buf.len()));
        let middle_at = offset_bytes + head.len() as u64;
        let (middle, tail) = rest.split_at(rest.len() - self.tail_bytes(rest.len()));
        self.write_edge(offset_bytes, head)?;
        write_units(self, middle_at, middle)?;
        self.write_edge(middle_at + middle.len() as u64, tail)
    }

    /// How many of the bytes are before the first unit boundary.
    fn head_bytes(&self, offset_bytes: u64, bytes: usize) -> usize {
        let head = offset_bytes.next_multiple_of(self.handle.unit_bytes) - offset_bytes;
        usize::try_from(head).map_or(bytes, |head| head.min(bytes))
    }

    /// How many bytes are after the last unit boundary, in a range that starts at a boundary.
    fn tail_bytes(&self, bytes: usize) -> usize {
        usize::try_from(self.handle.unit_bytes).map_or(bytes, |unit| bytes % unit)
    }

    fn write_edge(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), Errno> {
        if buf.is_empty() {
            return Ok(());
        }
        let _alone = self.edges.write().unwrap_or_else(PoisonError::into_inner);
        let fd = &self.handle.buffered_fd;
        write_all(fd, offset_bytes, buf)?;
        fdatasync(fd)?;
        let _ = fadvise(fd, offset_bytes, NonZeroU64::new(buf.len() as u64), Advice::DontNeed);
        Ok(())
    }

    fn write_middle(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), Errno> {
        let _beside_others = self.edges.read().unwrap_or_else(PoisonError::into_inner);
        if is_aligned(buf) {
            return self.write_units(offset_bytes, buf);
        }
        let mut scratch = AlignedBuf::new(buf.len().min(SCRATCH_BYTES));
        let mut at = offset_bytes;
        for piece in buf.chunks(SCRATCH_BYTES) {
            let copy = &mut scratch.as_mut_slice()[..piece.len()];
            copy.copy_from_slice(piece);
            self.write_units(at, copy)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn write_units(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), Errno> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset_bytes + done as u64;
            // A short write may end within a unit. O_DIRECT cannot continue there.
            let Some((fd, bytes)) = self.handle.direct_part(at, &buf[done..]) else {
                return write_all(&self.handle.buffered_fd, at, &buf[done..]);
            };
            match retry_on_intr(|| pwrite(fd, &buf[done..done + bytes], at)) {
                Ok(0) => return Err(Errno::NOSPC),
                Ok(bytes) => done += bytes,
                Err(Errno::INVAL) => self.handle.give_up_direct(),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

fn write_all(fd: impl AsFd, offset_bytes: u64, buf: &[u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < buf.len() {
        match retry_on_intr(|| pwrite(&fd, &buf[done..], offset_bytes + done as u64))? {
            0 => return Err(Errno::NOSPC),
            bytes => done += bytes,
        }
    }
    Ok(())
}
