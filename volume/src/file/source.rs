//! The source that is a regular file or a block device.
//!
//! Blocks are read with O_DIRECT. The kernel first writes back dirty pages of the range, so the read returns earlier
//! buffered writes. An unaligned end of the volume is read through the page cache. So is everything if O_DIRECT is not
//! available (tmpfs). These pages are then dropped from the cache.

use std::num::NonZeroU64;
use std::path::Path;

use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::{Errno, pread, retry_on_intr};

use super::extents;
use super::handle::Handle;
use super::located::{Located, VolumeKind, name, open_error};
use super::probe;
use crate::{Extent, Source, VolumeError};

/// A regular file or block device to back up.
#[derive(Debug)]
pub struct FileSource {
    handle: Handle,
    bytes: u64,
}

impl FileSource {
    /// Opens a regular file or block device for reading.
    pub fn open(path: &Path) -> Result<Self, VolumeError> {
        let volume = name(path);
        let located = Located::find(path)?.ok_or_else(|| VolumeError::NotFound { volume: volume.clone() })?;
        let handle = Handle::open(located, OFlags::RDONLY).map_err(|errno| open_error(volume, errno))?;
        let bytes = handle.size_bytes()?;
        if !handle.direct() {
            // This is only advice: reads succeed without it.
            let _ = fadvise(&handle.buffered_fd, 0, None, Advice::Sequential);
        }
        Ok(Self { handle, bytes })
    }

    /// Whether reads bypass the page cache (O_DIRECT).
    pub fn direct(&self) -> bool {
        self.handle.direct()
    }

    /// Reads until `buf` is full or the volume ends. Returns the number of bytes.
    fn read_some(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset_bytes + done as u64;
            let rest = &mut buf[done..];
            let read = match self.handle.direct_part(at, rest) {
                Some((fd, bytes)) => retry_on_intr(|| pread(fd, &mut rest[..bytes], at)),
                None => self.read_buffered(at, rest),
            };
            match read {
                Ok(0) => break,
                Ok(bytes) => done += bytes,
                Err(Errno::INVAL) if self.handle.direct() => self.handle.give_up_direct(),
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }

    fn read_buffered(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let fd = &self.handle.buffered_fd;
        let bytes = retry_on_intr(|| pread(fd, &mut *buf, offset_bytes))?;
        let _ = fadvise(fd, offset_bytes, NonZeroU64::new(bytes as u64), Advice::DontNeed);
        Ok(bytes)
    }

    pub(super) fn volume(&self) -> &str {
        &self.handle.volume
    }

    pub(super) fn shrank(&self, to_bytes: u64) -> VolumeError {
        VolumeError::Shrank { volume: self.volume().to_owned(), from_bytes: self.bytes, to_bytes }
    }
}

impl Source for FileSource {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn describe(&self) -> String {
        match self.handle.kind {
            VolumeKind::File => format!("{} (regular file)", self.volume()),
            VolumeKind::Device { sector_bytes, .. } => {
                format!("{} (block device, {sector_bytes}-byte sectors)", self.volume())
            }
        }
    }

    fn next_extent(&self, offset_bytes: u64, end_bytes: u64) -> Result<Extent, VolumeError> {
        let range = self.handle.checked_range(offset_bytes, end_bytes, self.bytes)?;
        Ok(extents::next_extent(&self.handle, range))
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), VolumeError> {
        let end_bytes = offset_bytes.saturating_add(buf.len() as u64);
        self.handle.checked_range(offset_bytes, end_bytes, self.bytes)?;
        match self.read_some(offset_bytes, buf) {
            Ok(bytes) if bytes == buf.len() => Ok(()),
            Ok(bytes) => Err(self.shrank(offset_bytes + bytes as u64)),
            Err(errno) => {
                let (read, shrank) = (|at, piece: &mut [u8]| self.read_some(at, piece), |to| self.shrank(to));
                probe::read_around(self.volume(), offset_bytes, buf, errno, read, shrank)
            }
        }
    }

    fn check_size(&self) -> Result<Option<u64>, VolumeError> {
        match self.handle.size_bytes()? {
            bytes if bytes < self.bytes => Err(self.shrank(bytes)),
            bytes => Ok((bytes > self.bytes).then_some(bytes)),
        }
    }
}
