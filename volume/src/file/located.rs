//! Resolves a path before it is opened for reading or writing.
//!
//! The path is resolved once, to a descriptor without access (O_PATH). So a FIFO cannot block us, and no device is
//! really opened. All later opens use this descriptor, so they open the same volume even if the path changes.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::device::DeviceNumber;
use crate::VolumeError;
use crate::error::reason;

/// The kind of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VolumeKind {
    File,
    Device { number: DeviceNumber, sector_bytes: u64 },
}

/// A path that leads to a file or block device.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) volume: String,
    pub(super) kind: VolumeKind,
    path_fd: OwnedFd,
}

impl Located {
    /// Resolves `path`. `None` if it does not exist.
    pub(super) fn find(path: &Path) -> Result<Option<Self>, VolumeError> {
        let volume = name(path);
        let path_fd = match open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(path_fd) => path_fd,
            Err(Errno::NOENT) if path.is_symlink() => {
                return Err(VolumeError::NotAVolume { volume, what: "a broken link" });
            }
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(open_error(volume, errno)),
        };
        let kind = kind_of(&path_fd, &volume)?;
        Ok(Some(Self { volume, kind, path_fd }))
    }

    /// A regular file that is already open.
    pub(super) fn from_file(volume: String, file: OwnedFd) -> Self {
        Self { volume, kind: VolumeKind::File, path_fd: file }
    }

    /// Opens the volume.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = format!("/proc/self/fd/{}", self.path_fd.as_fd().as_raw_fd());
        open(path, flags | OFlags::CLOEXEC, Mode::empty())
    }
}

fn kind_of(path_fd: &OwnedFd, volume: &str) -> Result<VolumeKind, VolumeError> {
    let stat = fstat(path_fd).map_err(|errno| open_error(volume.to_owned(), errno))?;
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(VolumeKind::File),
        FileType::BlockDevice => {
            let number = DeviceNumber::new(stat.st_rdev);
            return Ok(VolumeKind::Device { number, sector_bytes: number.sector_bytes() });
        }
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        _ => "neither a file nor a device",
    };
    Err(VolumeError::NotAVolume { volume: volume.to_owned(), what })
}

/// The path for errors, on one line. Control characters are escaped.
pub(super) fn name(path: &Path) -> String {
    let escape = |c: char| {
        if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
    };
    path.to_string_lossy().chars().map(escape).collect()
}

/// The error of a failed open.
pub(super) fn open_error(volume: String, errno: Errno) -> VolumeError {
    match errno {
        Errno::NOENT => VolumeError::NotFound { volume },
        Errno::ACCESS | Errno::PERM => VolumeError::NotPermitted {
            volume,
            action: "open it",
            advice: "run as a user with the right to do it, and check that it is not read-only",
        },
        errno => VolumeError::Io { volume, action: "open it", reason: reason(errno) },
    }
}
