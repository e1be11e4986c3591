//! An open file or device: one descriptor with O_DIRECT, if possible, and one through the page cache.
//!
//! Ranges that are aligned to the handle's unit use O_DIRECT. The rest uses the other descriptor. If opening with
//! O_DIRECT fails or O_DIRECT turns out not to work, everything is buffered from then on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{OFlags, SeekFrom, fstat, seek};
use rustix::io::Errno;

use super::aligned::{ALIGN_BYTES, is_aligned};
use super::located::{Located, VolumeKind};
use crate::VolumeError;
use crate::error::{ByteRange, reason};

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) volume: String,
    pub(super) kind: VolumeKind,
    direct_fd: Option<OwnedFd>,
    pub(super) buffered_fd: OwnedFd,
    direct: AtomicBool,
    /// Offsets and lengths of direct access are multiples of this: a page, or a sector if that is larger.
    pub(super) unit_bytes: u64,
}

impl Handle {
    /// Opens with `flags`. Only the first descriptor gets O_EXCL, because two such descriptors would exclude each
    /// other.
    pub(super) fn open(located: Located, flags: OFlags) -> Result<Self, Errno> {
        let direct_fd = match located.open(flags | OFlags::DIRECT) {
            Ok(fd) => Some(fd),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => None,
            Err(errno) => return Err(errno),
        };
        let excluded = if direct_fd.is_some() { OFlags::EXCL } else { OFlags::empty() };
        let buffered_fd = located.open(flags.difference(excluded))?;
        let unit_bytes = match located.kind {
            VolumeKind::File => ALIGN_BYTES as u64,
            VolumeKind::Device { sector_bytes, .. } => sector_bytes.max(ALIGN_BYTES as u64),
        };
        Ok(Self {
            volume: located.volume,
            kind: located.kind,
            direct: AtomicBool::new(direct_fd.is_some()),
            direct_fd,
            buffered_fd,
            unit_bytes,
        })
    }

    /// Whether O_DIRECT is used.
    pub(super) fn direct(&self) -> bool {
        self.direct.load(Ordering::Relaxed)
    }

    /// Called when O_DIRECT has failed in use. It is not tried again.
    pub(super) fn give_up_direct(&self) {
        self.direct.store(false, Ordering::Relaxed);
    }

    /// The descriptor that holds a device exclusively.
    pub(super) fn first_fd(&self) -> BorrowedFd<'_> {
        self.direct_fd.as_ref().unwrap_or(&self.buffered_fd).as_fd()
    }

    /// The direct descriptor, and how many bytes from the start of `buf` it can read or write at `offset_bytes`.
    pub(super) fn direct_part(&self, offset_bytes: u64, buf: &[u8]) -> Option<(&OwnedFd, usize)> {
        let fd = self.direct_fd.as_ref().filter(|_| self.direct())?;
        let unit = usize::try_from(self.unit_bytes).ok()?;
        let bytes = buf.len() / unit * unit;
        let aligned = offset_bytes.is_multiple_of(self.unit_bytes) && is_aligned(buf);
        (aligned && bytes > 0).then_some((fd, bytes))
    }

    /// The current size.
    pub(super) fn size_bytes(&self) -> Result<u64, VolumeError> {
        let size = match self.kind {
            VolumeKind::File => {
                fstat(&self.buffered_fd).and_then(|stat| u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW))
            }
            VolumeKind::Device { .. } => seek(&self.buffered_fd, SeekFrom::End(0)),
        };
        size.map_err(|errno| self.io_error("find its size", errno))
    }

    pub(super) fn io_error(&self, action: &'static str, errno: Errno) -> VolumeError {
        VolumeError::Io { volume: self.volume.clone(), action, reason: reason(errno) }
    }

    /// The range from `start` to `end`. An error if it is not within a volume of `bytes`.
    pub(super) fn checked_range(&self, start: u64, end: u64, bytes: u64) -> Result<ByteRange, VolumeError> {
        let range = ByteRange { start, end };
        if start > end || end > bytes {
            return Err(VolumeError::OutOfRange { volume: self.volume.clone(), range, bytes });
        }
        Ok(range)
    }
}
