//! Reads objects: small ones whole, large ones by range without the page cache.
//!
//! A restore reads many blocks of few objects, so recently read objects stay open. A file that is replaced or deleted
//! through this store is closed at once. If another process replaces a file, this store may read the old file for a
//! while. The old file is complete, too.

use super::root::{Root, errno_of};
use super::writer::is_aligned;
use crate::{PIECE_ALIGN_BYTES, StoreError};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many objects are kept open, each with two descriptors.
const OPEN_OBJECTS_MAX: usize = 64;

/// The open objects, the most recently used first.
#[derive(Default)]
pub(super) struct Reader {
    open_objects: Mutex<VecDeque<Arc<OpenObject>>>,
}

struct OpenObject {
    path: PathBuf,
    buffered: OwnedFd,
    direct: Option<OwnedFd>,
}

impl Reader {
    /// Fills `buf`. Returns `Damaged` if the object ends too early.
    pub(super) fn read_at(&self, root: &Root, key: &str, offset_bytes: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let path = root.path_of(key, "read")?;
        let wanted_bytes = buf.len();
        let filled = self.object(&path).and_then(|object| object.read_at(offset_bytes, buf));
        match filled.map_err(|errno| root.error(key, "read", errno))? {
            bytes if bytes == wanted_bytes => Ok(()),
            bytes => {
                Err(root
                    .damaged(key, format!("it has {bytes} bytes after offset {offset_bytes} and not {wanted_bytes}")))
            }
        }
    }

    /// Closes an object that is about to change, or has changed.
    pub(super) fn forget(&self, path: &Path) {
        self.open_objects().retain(|object| object.path != path);
    }

    fn object(&self, path: &Path) -> Result<Arc<OpenObject>, Errno> {
        let mut objects = self.open_objects();
        let found = objects.iter().position(|object| object.path == path);
        let object = match found.and_then(|at| objects.remove(at)) {
            Some(object) => object,
            None => Arc::new(OpenObject::open(path)?),
        };
        objects.push_front(object.clone());
        objects.truncate(OPEN_OBJECTS_MAX);
        Ok(object)
    }

    fn open_objects(&self) -> MutexGuard<'_, VecDeque<Arc<OpenObject>>> {
        self.open_objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenObject {
    fn open(path: &Path) -> Result<Self, Errno> {
        let (buffered, stat) = open(path, OFlags::empty())?;
        // If the object is replaced between the two opens, they open different files.
        let same = |other: &Stat| (other.st_dev, other.st_ino) == (stat.st_dev, stat.st_ino);
        let direct = open(path, OFlags::DIRECT).ok().filter(|(_, other)| same(other)).map(|(file, _)| file);
        Ok(OpenObject { path: path.to_owned(), buffered, direct })
    }

    /// Reads into `buf` until it is full or the object ends. Returns the number of bytes.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let aligned = is_aligned(offset_bytes, buf) && buf.len().is_multiple_of(PIECE_ALIGN_BYTES);
        let mut filled = match &self.direct {
            // If direct I/O is refused or returns too little, the rest is read through the page cache.
            Some(direct) if aligned => match rustix::io::pread(direct, &mut *buf, offset_bytes) {
                Err(Errno::INVAL | Errno::INTR) => 0,
                read => read?,
            },
            _ => 0,
        };
        while filled < buf.len() {
            match rustix::io::pread(&self.buffered, &mut buf[filled..], offset_bytes + filled as u64) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(Errno::INTR) => {}
                // The offset is larger than any file can be.
                Err(Errno::INVAL | Errno::OVERFLOW) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(filled)
    }
}

/// A whole object of at most `bytes_max`.
pub(super) fn get(root: &Root, key: &str, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
    let path = root.path_of(key, "read")?;
    let (file, stat) = open(&path, OFlags::empty()).map_err(|errno| root.error(key, "read", errno))?;
    let bytes = object_bytes(&stat);
    if bytes > bytes_max {
        return Err(root.damaged(key, format!("it has {bytes} bytes; at most {bytes_max} are allowed")));
    }
    let mut body = Vec::new();
    File::from(file).take(bytes).read_to_end(&mut body).map_err(|cause| root.error(key, "read", errno_of(&cause)))?;
    Ok(body)
}

/// An object's length.
pub(super) fn len(root: &Root, key: &str) -> Result<u64, StoreError> {
    let path = root.path_of(key, "read")?;
    let (_, stat) = open(&path, OFlags::empty()).map_err(|errno| root.error(key, "read", errno))?;
    Ok(object_bytes(&stat))
}

fn object_bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Opens a regular file. Anything else is not an object, nor is a symbolic link to a regular file.
fn open(path: &Path, extra: OFlags) -> Result<(OwnedFd, Stat), Errno> {
    // Without NONBLOCK, opening a named pipe would hang.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | extra;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOTDIR) => return Err(Errno::NOENT),
        opened => opened?,
    };
    let stat = rustix::fs::fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok((file, stat)),
        _ => Err(Errno::NOENT),
    }
}
