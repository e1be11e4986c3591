//! Writes a large file from pieces of memory and bypasses the page cache if the file system supports that.
//!
//! O_DIRECT needs aligned addresses, offsets and lengths. An unaligned piece (the tail of an object) goes through the
//! page cache. No page is written both ways, so the two do not conflict. On a file system without O_DIRECT everything
//! goes through the page cache. After each part the kernel is then asked to write the part out and to drop it, so that
//! a backup does not evict the host's own data from memory.

use crate::PIECE_ALIGN_BYTES;
use bytes::Bytes;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::Advice;
use rustix::io::Errno;
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, Ordering};

/// The most slices that one system call takes.
const SLICES_MAX: usize = 1024;

/// A file that several threads write parts to.
pub(super) struct Writer {
    buffered: OwnedFd,
    direct: Option<OwnedFd>,
    direct_refused: AtomicBool,
}

/// Neighbouring slices that are written in the same way.
struct Run<'body> {
    direct: bool,
    offset_bytes: u64,
    slices: Vec<&'body [u8]>,
}

impl Writer {
    pub(super) fn new(buffered: OwnedFd, direct: Option<OwnedFd>) -> Self {
        Writer { buffered, direct, direct_refused: AtomicBool::new(false) }
    }

    pub(super) fn write_at(&self, offset_bytes: u64, body: &[Bytes]) -> Result<(), Errno> {
        for run in runs(offset_bytes, body) {
            self.write_run(&run)?;
        }
        if self.direct().is_none() {
            self.forget();
        }
        Ok(())
    }

    /// Truncates the file to its length (a part that was put again may be shorter) and makes it durable.
    pub(super) fn finish(&self, bytes: u64) -> Result<(), Errno> {
        if u64::try_from(rustix::fs::fstat(&self.buffered)?.st_size) != Ok(bytes) {
            rustix::fs::ftruncate(&self.buffered, bytes)?;
        }
        rustix::fs::fdatasync(&self.buffered)?;
        self.forget();
        Ok(())
    }

    fn direct(&self) -> Option<&OwnedFd> {
        self.direct.as_ref().filter(|_| !self.direct_refused.load(Ordering::Relaxed))
    }

    fn write_run(&self, run: &Run<'_>) -> Result<(), Errno> {
        if let (true, Some(direct)) = (run.direct, self.direct()) {
            match write_all(direct, run.offset_bytes, &run.slices) {
                // The file system needs a larger alignment, or does not support O_DIRECT.
                Err(Errno::INVAL) => self.direct_refused.store(true, Ordering::Relaxed),
                done => return done,
            }
        }
        write_all(&self.buffered, run.offset_bytes, &run.slices)
    }

    /// Starts writing out dirty pages, and drops clean pages from memory.
    fn forget(&self) {
        // This is only advice: a failure does no harm.
        let _ = rustix::fs::fadvise(&self.buffered, 0, None, Advice::DontNeed);
    }
}

fn runs(mut offset_bytes: u64, body: &[Bytes]) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for piece in body {
        let (head, tail) = piece.split_at(aligned_bytes(offset_bytes, piece));
        for (direct, slice) in [(true, head), (false, tail)] {
            if slice.is_empty() {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.direct == direct => run.slices.push(slice),
                _ => runs.push(Run { direct, offset_bytes, slices: vec![slice] }),
            }
            offset_bytes += slice.len() as u64;
        }
    }
    runs
}

/// How many bytes from the beginning of a piece may be written with O_DIRECT.
fn aligned_bytes(offset_bytes: u64, piece: &[u8]) -> usize {
    let aligned = is_aligned(offset_bytes, piece);
    if aligned { piece.len() - piece.len() % PIECE_ALIGN_BYTES } else { 0 }
}

/// Whether both the offset in the file and the address in memory are multiples of the alignment.
pub(super) fn is_aligned(offset_bytes: u64, memory: &[u8]) -> bool {
    offset_bytes.is_multiple_of(PIECE_ALIGN_BYTES as u64) && memory.as_ptr().addr().is_multiple_of(PIECE_ALIGN_BYTES)
}

/// Writes all slices, one after the other, in as few calls as possible.
pub(super) fn write_all(file: impl AsFd, mut offset_bytes: u64, slices: &[&[u8]]) -> Result<(), Errno> {
    let mut slices: Vec<IoSlice<'_>> =
        slices.iter().filter(|slice| !slice.is_empty()).map(|slice| IoSlice::new(slice)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match rustix::io::pwritev(&file, &rest[..rest.len().min(SLICES_MAX)], offset_bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(bytes) => {
                IoSlice::advance_slices(&mut rest, bytes);
                offset_bytes += bytes as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
