//! A new target file. It has a temporary name until it is complete, so a partial volume is never mistaken for a
//! complete one.
//!
//! The temporary name is `.NAME.septet-partial`, in the target's directory. The writer holds a lock (flock) on the
//! file. A partial file without a lock is a leftover of a crashed run and is replaced. It is not reused, because it may
//! have another owner or be a link.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, fsync, linkat, open, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::located::{Located, name, open_error};
use crate::VolumeError;
use crate::error::reason;

const NAME_BYTES_MAX: usize = 255;
const SUFFIX: &str = ".septet-partial";

/// A new file, with its temporary name and its final name.
#[derive(Debug)]
pub(super) struct Partial {
    volume: String,
    directory: OwnedFd,
    partial_name: OsString,
    final_name: OsString,
    replace: bool,
    /// The file. It stays locked as long as this descriptor or a duplicate of it is open.
    file: OwnedFd,
    /// Whether the file has its final name or was removed.
    settled: AtomicBool,
}

impl Partial {
    /// Makes the partial file of `path`, empty and locked. If `replace` is true, `publish` replaces an
    /// existing file.
    pub(super) fn create(path: &Path, replace: bool) -> Result<Self, VolumeError> {
        let volume = name(path);
        let Some(final_name) = path.file_name() else {
            return Err(VolumeError::NotAVolume { volume, what: "a directory" });
        };
        let directory = open_directory(path)?;
        let place = Place { volume: &volume, directory: &directory, name: &partial_name(final_name) };
        let file = place.make()?;
        Ok(Self {
            partial_name: place.name.to_owned(),
            final_name: final_name.to_owned(),
            volume,
            directory,
            replace,
            file,
            settled: AtomicBool::new(false),
        })
    }

    /// The empty file.
    pub(super) fn located(&self) -> Result<Located, VolumeError> {
        let file = self.file.try_clone().map_err(|error| VolumeError::Io {
            volume: self.volume.clone(),
            action: "open it",
            reason: error.to_string(),
        })?;
        Ok(Located::from_file(self.volume.clone(), file))
    }

    /// Gives the file its final name, durably.
    pub(super) fn publish(&self) -> Result<(), VolumeError> {
        if self.settled.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.rename().map_err(|errno| match errno {
            Errno::EXIST => VolumeError::Exists { volume: self.volume.clone() },
            errno => self.error("rename it", errno),
        })?;
        self.settled.store(true, Ordering::Relaxed);
        fsync(&self.directory).map_err(|errno| self.error("flush its directory", errno))
    }

    fn rename(&self) -> Result<(), Errno> {
        let (directory, from, to) = (&self.directory, &self.partial_name, &self.final_name);
        if self.replace {
            return renameat(directory, from, directory, to);
        }
        match renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
            // Some file systems (NFS) do not support this flag. A hard link does not replace an existing file either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                linkat(directory, from, directory, to, AtFlags::empty())?;
                unlinkat(directory, from, AtFlags::empty())
            }
            renamed => renamed,
        }
    }

    /// Removes the file if it does not have its final name.
    pub(super) fn discard(&self) {
        if !self.settled.swap(true, Ordering::Relaxed) {
            // If the file cannot be removed now, the next run replaces it.
            let _ = unlinkat(&self.directory, &self.partial_name, AtFlags::empty());
        }
    }

    fn error(&self, action: &'static str, errno: Errno) -> VolumeError {
        VolumeError::Io { volume: self.volume.clone(), action, reason: reason(errno) }
    }
}

/// Removes the partial file of a crashed run that was writing `target`. Returns false if there is none, if it cannot be
/// removed, or if its writer is alive.
pub fn discard_abandoned(target: &Path) -> bool {
    let (Some(final_name), Ok(directory)) = (target.file_name(), open_directory(target)) else {
        return false;
    };
    let place = Place { volume: &name(target), directory: &directory, name: &partial_name(final_name) };
    place.remove_leftover().unwrap_or(false)
}

fn open_directory(path: &Path) -> Result<OwnedFd, VolumeError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(parent, flags, Mode::empty()).map_err(|errno| open_error(name(parent), errno))
}

/// The directory of a partial file.
struct Place<'a> {
    volume: &'a str,
    directory: &'a OwnedFd,
    name: &'a OsStr,
}

impl Place<'_> {
    fn make(&self) -> Result<OwnedFd, VolumeError> {
        let mut made = self.make_new();
        if matches!(made, Err(Errno::EXIST)) {
            self.remove_leftover()?;
            made = self.make_new();
        }
        let file = match made {
            Err(Errno::EXIST) => return Err(busy(self.volume)),
            made => made.map_err(|errno| open_error(self.volume.to_owned(), errno))?,
        };
        self.lock(&file)?;
        Ok(file)
    }

    fn make_new(&self) -> Result<OwnedFd, Errno> {
        // The volume may contain secrets. Its owner can let others read it later.
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(self.directory, self.name, flags, mode)
    }

    /// Removes the leftover of a crashed run and returns whether there was one. Returns an error if the writer is
    /// alive.
    fn remove_leftover(&self) -> Result<bool, VolumeError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(self.directory, self.name, flags, Mode::empty()) {
            Ok(leftover) => self.lock(&leftover)?,
            Err(Errno::NOENT) => return Ok(false),
            // A link is not ours and cannot be locked.
            Err(Errno::LOOP) => {}
            Err(errno) => return Err(self.error("open the unfinished file beside it", errno)),
        }
        unlinkat(self.directory, self.name, AtFlags::empty())
            .map(|()| true)
            .map_err(|errno| self.error("remove the unfinished file beside it", errno))
    }

    /// Locks the file and checks that its name still leads to it. Before we had the lock, its writer may have finished
    /// it, or another run may have replaced it.
    fn lock(&self, file: &OwnedFd) -> Result<(), VolumeError> {
        lock_for_writing(file, self.volume)?;
        let named = statat(self.directory, self.name, AtFlags::SYMLINK_NOFOLLOW);
        let held = fstat(file).map_err(|errno| self.error("inspect it", errno))?;
        match named {
            Ok(named) if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino) => Ok(()),
            _ => Err(busy(self.volume)),
        }
    }

    fn error(&self, action: &'static str, errno: Errno) -> VolumeError {
        VolumeError::Io { volume: self.volume.to_owned(), action, reason: reason(errno) }
    }
}

/// Locks a target file. Returns an error if another process writes to it. Does nothing on a file system without locks.
pub(super) fn lock_for_writing(file: &OwnedFd, volume: &str) -> Result<(), VolumeError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(busy(volume)),
        _ => Ok(()),
    }
}

fn busy(volume: &str) -> VolumeError {
    VolumeError::InUse {
        volume: volume.to_owned(),
        by: "another process is writing it".to_owned(),
        advice: "wait for it or name another target",
    }
}

fn partial_name(final_name: &OsStr) -> OsString {
    let name_bytes_max = NAME_BYTES_MAX - 1 - SUFFIX.len();
    let kept = final_name.as_bytes().iter().take(name_bytes_max);
    let bytes = b".".iter().chain(kept).chain(SUFFIX.as_bytes());
    OsString::from_vec(bytes.copied().collect())
}
