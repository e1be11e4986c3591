//! The only module that maps memory and hands out references into it.
//!
//! Rust can't check what another process does to shared memory. The protocol guarantees it instead: each part of a pool
//! has one holder at a time. The owner writes the part before it names the part in a command. From then on everybody
//! only reads it. It is written again only after the last holder has released it. [`Region`] is such a part, and the
//! only way to the bytes.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io::Error;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::HUGE_BYTES;

/// A whole pool, mapped into this process until its last [`Region`] is dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    /// The reserved address range. `start` was chosen inside it.
    taken: NonNull<c_void>,
    taken_bytes: usize,
    /// Aligned to a huge page.
    start: NonNull<c_void>,
    bytes: usize,
    writable: bool,
}

// SAFETY: the mapping is plain memory that belongs to no thread; who may touch which part of it,
// and when, is the protocol's rule (see the module's header), the same for threads as for processes.
unsafe impl Send for Mapping {}
// SAFETY: as above; `Mapping` itself has no state that changes.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of the object. Rejects an object that is shorter (`EINVAL`): accessing the missing part
    /// would cause a SIGBUS.
    pub(super) fn new(fd: BorrowedFd<'_>, bytes: usize, writable: bool) -> Result<Arc<Self>, Errno> {
        let size = u64::try_from(fstat(fd)?.st_size).map_err(|_| Errno::INVAL)?;
        if bytes == 0 || size < bytes as u64 {
            return Err(Errno::INVAL);
        }
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let taken_bytes = bytes.checked_add(HUGE_BYTES).ok_or(Errno::NOMEM)?;
        // SAFETY: the kernel chooses a fresh address range, so nothing of ours is mapped over.
        let taken = unsafe { mmap_anonymous(null_mut(), taken_bytes, ProtFlags::empty(), MapFlags::PRIVATE)? };
        let taken = NonNull::new(taken).ok_or(Errno::NOMEM)?;
        let skipped = taken.addr().get().next_multiple_of(HUGE_BYTES) - taken.addr().get();
        // SAFETY: `skipped` is less than `HUGE_BYTES`, and the reserved range is that much longer than `bytes`.
        let start = unsafe { taken.byte_add(skipped) };
        let mapping = Self { taken, taken_bytes, start, bytes, writable };
        // SAFETY: this replaces a part of the range that was just reserved, which no other code knows yet.
        unsafe { mmap(start.as_ptr(), bytes, protection, MapFlags::SHARED | MapFlags::FIXED, fd, 0)? };
        Ok(Arc::new(mapping))
    }

    /// Moves a range of the object to huge pages, and allocates huge pages where it has no memory yet. If the kernel
    /// has no free huge pages, it makes room for some. It does not do that when memory is just touched.
    pub(super) fn collapse(&self, range: Range<usize>) -> Result<(), Errno> {
        if range.start > range.end || range.end > self.bytes {
            return Err(Errno::INVAL);
        }
        // SAFETY: the range is within the one that `new` mapped, and its content does not change.
        let done =
            unsafe { libc::madvise(self.start.as_ptr().byte_add(range.start), range.len(), libc::MADV_COLLAPSE) };
        if done == 0 { Ok(()) } else { Err(Errno::from_io_error(&Error::last_os_error()).unwrap_or(Errno::INVAL)) }
    }

    /// How many bytes of it lie on huge pages, according to the kernel.
    #[cfg(test)]
    pub(super) fn on_huge_pages(self: &Arc<Self>) -> usize {
        let whole = Region::new(self, 0..self.bytes).unwrap();
        assert!(whole.bytes(self.bytes).iter().step_by(4096).all(|&byte| byte == 0), "touched, and new");
        let ours = format!("{:x}-", self.start.addr());
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|line| !line.starts_with(&ours));
        let line = lines.find_map(|line| line.strip_prefix("ShmemPmdMapped:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` reserved. Every `Region` holds an `Arc` of this mapping, so no reference
        // into it is left. If the call fails, the range only stays mapped.
        let _ = unsafe { munmap(self.taken.as_ptr(), self.taken_bytes) };
    }
}

/// A part of a mapping that has one holder.
#[derive(Debug)]
pub(super) struct Region {
    mapping: Arc<Mapping>,
    range: Range<usize>,
}

impl Region {
    /// The part of `mapping` at `range`. `None` if it is not entirely inside.
    ///
    /// The caller is the pool's allocator, or holds a command that names this part. In both cases the protocol
    /// guarantees that nobody else writes the part while the region lives.
    pub(super) fn new(mapping: &Arc<Mapping>, range: Range<usize>) -> Option<Self> {
        (range.start <= range.end && range.end <= mapping.bytes).then(|| Self { mapping: Arc::clone(mapping), range })
    }

    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// The first `len` bytes, at most the whole region.
    pub(super) fn bytes(&self, len: usize) -> &[u8] {
        let len = len.min(self.range.len());
        // SAFETY: `new` checked the range; the mapping lives as long as `self`; nobody writes this
        // part while the region lives (see the module's header).
        unsafe { std::slice::from_raw_parts(self.at_start(), len) }
    }

    /// The same for writing. Empty if the pool belongs to another process.
    pub(super) fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        let len = if self.mapping.writable { len.min(self.range.len()) } else { 0 };
        // SAFETY: as in `bytes`; `&mut self` and the allocator's guarantee make it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.at_start(), len) }
    }

    /// Splits the region at `at` (at most its length).
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let middle = self.range.start + at.min(self.range.len());
        let tail = middle..self.range.end;
        self.range.end = middle;
        Self { mapping: Arc::clone(&self.mapping), range: tail }
    }

    fn at_start(&self) -> *mut u8 {
        // SAFETY: `range.start` is inside the mapping: `new` checked it.
        unsafe { self.mapping.start.as_ptr().cast::<u8>().add(self.range.start) }
    }
}
