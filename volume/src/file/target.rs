//! The target that is a regular file or a block device.
//!
//! A new file is sparse, page by page, and gets its final name when it is complete. An existing file is written in
//! place (other processes may have it open) and gets the volume's size at once. A device must be at least as large as
//! the volume and must not be in use on this host. Its bytes beyond the volume are not changed.

use std::path::Path;
use std::sync::RwLock;

use rustix::fs::{FallocateFlags, OFlags, fallocate, fsync, ftruncate};
use rustix::io::Errno;

use super::device::DeviceNumber;
use super::handle::Handle;
use super::in_use;
use super::located::{Located, VolumeKind, name, open_error};
use super::partial::{Partial, lock_for_writing};
use crate::error::reason;
use crate::{Target, VolumeError};

/// The shortest range that is allocated in advance. During an allocation the file system blocks writes to the file.
const RESERVED_BYTES_MIN: u64 = 8 << 20;

/// How a target is opened.
#[derive(Debug, Clone, Copy)]
pub struct TargetOptions {
    /// The size of the volume that will be written.
    pub volume_bytes: u64,
    /// Whether an existing target may be overwritten. A device always needs this.
    pub overwrite: bool,
}

/// A regular file or block device to restore to.
///
/// A new file is written as `.NAME.septet-partial` and gets its final name when it is complete. If this value is
/// dropped earlier, the file is removed. An existing file is written in place. A device may be larger than the volume.
/// The rest of it is not changed.
#[derive(Debug)]
pub struct FileTarget {
    pub(super) handle: Handle,
    pub(super) bytes: u64,
    /// Buffered writes of edges lock it exclusively. Other writes share it.
    pub(super) edges: RwLock<()>,
    partial: Option<Partial>,
}

impl FileTarget {
    /// Opens the existing target at `path`, or makes a new partial file beside it.
    ///
    /// Only the owner can read and write a new file. [`Target::finish`] and dropping this value write to the directory
    /// of a new file. A sandbox must allow that.
    pub fn open(path: &Path, options: &TargetOptions) -> Result<Self, VolumeError> {
        let volume = name(path);
        match Located::find(path)? {
            None => Self::create(path, options),
            Some(_) if !options.overwrite => Err(VolumeError::Exists { volume }),
            Some(located) => match located.kind {
                VolumeKind::File => Self::open_file(located, options),
                VolumeKind::Device { number, .. } => Self::open_device(located, number, options),
            },
        }
    }

    /// Whether writes bypass the page cache (O_DIRECT).
    pub fn direct(&self) -> bool {
        self.handle.direct()
    }

    /// Removes a new file that is not complete. Does not change an existing file.
    pub fn discard_unfinished(&self) {
        if let Some(partial) = &self.partial {
            partial.discard();
        }
    }

    fn create(path: &Path, options: &TargetOptions) -> Result<Self, VolumeError> {
        let partial = Partial::create(path, options.overwrite)?;
        let opened = partial.located().and_then(open_for_writing);
        let handle = opened.inspect_err(|_| partial.discard())?;
        let target = Self::new(handle, options, Some(partial));
        target.resize()?;
        Ok(target)
    }

    fn open_file(located: Located, options: &TargetOptions) -> Result<Self, VolumeError> {
        let handle = open_for_writing(located)?;
        lock_for_writing(&handle.buffered_fd, &handle.volume)?;
        let target = Self::new(handle, options, None);
        target.resize()?;
        Ok(target)
    }

    fn open_device(located: Located, number: DeviceNumber, options: &TargetOptions) -> Result<Self, VolumeError> {
        let volume = located.volume.clone();
        let in_use =
            |by| VolumeError::InUse { volume: volume.clone(), by, advice: "release it or name another target" };
        if let Some(by) = in_use::user_of(number) {
            return Err(in_use(by));
        }
        if number.read_only() {
            return Err(open_error(volume, Errno::ACCESS));
        }
        let handle = match Handle::open(located, OFlags::WRONLY | OFlags::EXCL) {
            Err(Errno::BUSY) => return Err(in_use("another program has opened it exclusively".to_owned())),
            opened => opened.map_err(|errno| open_error(volume.clone(), errno))?,
        };
        let bytes = handle.size_bytes()?;
        if bytes < options.volume_bytes {
            return Err(VolumeError::TooSmall { volume, bytes, volume_bytes: options.volume_bytes });
        }
        Ok(Self::new(handle, options, None))
    }

    fn new(handle: Handle, options: &TargetOptions, partial: Option<Partial>) -> Self {
        Self { handle, bytes: options.volume_bytes, edges: RwLock::new(()), partial }
    }

    /// Whether this target created the file. If so, every byte that was not written reads as zero.
    pub(super) fn is_new(&self) -> bool {
        self.partial.is_some()
    }

    fn resize(&self) -> Result<(), VolumeError> {
        ftruncate(&self.handle.buffered_fd, self.bytes).map_err(|errno| match errno {
            Errno::FBIG | Errno::INVAL | Errno::NOSPC => VolumeError::NoSpace {
                volume: self.handle.volume.clone(),
                reason: format!("its file system cannot hold a file of {} bytes", self.bytes),
            },
            errno => self.handle.io_error("set its size", errno),
        })
    }
}

fn open_for_writing(file: Located) -> Result<Handle, VolumeError> {
    let volume = file.volume.clone();
    Handle::open(file, OFlags::WRONLY).map_err(|errno| open_error(volume, errno))
}

impl Target for FileTarget {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn reserve(&self, offset_bytes: u64, size_bytes: u64) {
        let end_bytes = offset_bytes.saturating_add(size_bytes);
        if self.handle.kind == VolumeKind::File && size_bytes >= RESERVED_BYTES_MIN && end_bytes <= self.bytes {
            // Failure is ignored: a file system that compresses or cannot allocate may still have space for the write.
            let _ = fallocate(&self.handle.buffered_fd, FallocateFlags::KEEP_SIZE, offset_bytes, size_bytes);
        }
    }

    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), VolumeError> {
        let end_bytes = offset_bytes.saturating_add(buf.len() as u64);
        let range = self.handle.checked_range(offset_bytes, end_bytes, self.bytes)?;
        let written = if self.is_new() { self.write_sparse(offset_bytes, buf) } else { self.write(offset_bytes, buf) };
        written.map_err(|errno| match errno {
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => {
                VolumeError::NoSpace { volume: self.handle.volume.clone(), reason: reason(errno) }
            }
            errno => VolumeError::Unwritable { volume: self.handle.volume.clone(), range, reason: reason(errno) },
        })
    }

    fn zero(&self, offset_bytes: u64, size_bytes: u64) -> Result<(), VolumeError> {
        let end_bytes = offset_bytes.saturating_add(size_bytes);
        let range = self.handle.checked_range(offset_bytes, end_bytes, self.bytes)?;
        self.zero_range(range)
    }

    fn finish(&self) -> Result<(), VolumeError> {
        fsync(&self.handle.buffered_fd).map_err(|errno| self.handle.io_error("flush it to stable storage", errno))?;
        self.partial.as_ref().map_or(Ok(()), Partial::publish)
    }
}

impl Drop for FileTarget {
    fn drop(&mut self) {
        self.discard_unfinished();
    }
}
