//! Shared-memory objects without a name, and so far without memory.
//!
//! An agent locks itself in before its own code runs. After that it may not be able to open anything. So the objects
//! that it will need are opened before, when their sizes are not known yet.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FallocateFlags, Mode, fallocate, ftruncate};
use rustix::io::Errno;
use rustix::shm;

use super::mapping::Mapping;
use super::{HUGE_BYTES, huge};
use crate::message::Failure;

/// An object without a size, which will become a pool or a table.
#[derive(Debug)]
pub(crate) struct Blank {
    name: String,
    /// On huge pages, if they are available.
    huge: Option<OwnedFd>,
    /// In `/dev/shm`. An error is reported only when the object is needed.
    plain: Result<OwnedFd, Errno>,
}

impl Blank {
    /// Opens an object. While it briefly has a name, the name begins with `name`.
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("{name}_{}", std::process::id());
        Self { huge: huge::object().ok(), plain: open_unnamed(&format!("/septet_{name}")), name }
    }

    /// The same with a given object.
    #[cfg(test)]
    pub(super) fn of(object: OwnedFd) -> Self {
        Self { name: "a test".to_owned(), huge: None, plain: Ok(object) }
    }

    /// The same on a separate tmpfs.
    #[cfg(test)]
    pub(super) fn huge(object: OwnedFd) -> Self {
        Self { name: "a test".to_owned(), huge: Some(object), plain: Err(Errno::NOENT) }
    }

    /// Sets the object's size to `bytes`, on huge pages if they are available. In `/dev/shm`, also allocates the memory
    /// of the `first` bytes. The third result says whether these are allocated.
    ///
    /// `/dev/shm` may be small, and finding that out after an hour would waste the run. A separate tmpfs may use half
    /// of the machine's memory: there all memory is allocated on demand, which saves short runs 3 to 6 ms for each
    /// pool.
    pub(super) fn sized(self, first: usize, bytes: usize) -> Result<(OwnedFd, Arc<Mapping>, bool), Failure> {
        let sized = |object: OwnedFd| {
            ftruncate(&object, bytes as u64)?;
            Mapping::new(object.as_fd(), bytes, true).map(|mapping| (object, mapping))
        };
        if first >= HUGE_BYTES
            && let Some((object, mapping)) = self.huge.and_then(|huge| sized(huge).ok())
        {
            return Ok((object, mapping, false));
        }
        let made = self.plain.and_then(sized).and_then(|(object, mapping)| {
            reserve(object.as_fd(), &mapping, 0..first)?;
            Ok((object, mapping, true))
        });
        made.map_err(|errno| failure(&self.name, first as u64, errno))
    }

    /// Sets the object's size. Memory is allocated on write.
    pub(super) fn sparse(self, bytes: u64) -> Result<OwnedFd, Failure> {
        let sized = self.plain.and_then(|plain| ftruncate(&plain, bytes).map(|()| plain));
        sized.map_err(|errno| failure(&self.name, bytes, errno))
    }
}

/// Allocates the memory of a range, on huge pages if they are available. Without this, a full `/dev/shm` would cause a
/// SIGBUS at the first access to a page.
pub(super) fn reserve(object: BorrowedFd<'_>, mapping: &Mapping, range: Range<usize>) -> Result<(), Errno> {
    // Huge pages are optional: what gets none gets small pages.
    let _ = huge::collapse(object, mapping, range.clone());
    fallocate(object, FallocateFlags::empty(), range.start as u64, range.len() as u64)
}

/// Frees the memory of a range. From then on it reads as zeros.
pub(super) fn release(object: BorrowedFd<'_>, range: Range<usize>) -> Result<(), Errno> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(object, flags, range.start as u64, range.len() as u64)
}

/// The error for an object `name` that can't get memory of `bytes`.
pub(super) fn failure(name: &str, bytes: u64, errno: Errno) -> Failure {
    let cause = match errno {
        Errno::NOSPC => format!(
            "no space in /dev/shm for {} MiB: enlarge it (mount -o remount,size=512M /dev/shm)",
            bytes.div_ceil(1 << 20)
        ),
        Errno::ACCESS => "permission denied on /dev/shm: it must be writable by this user (mode 1777)".to_owned(),
        Errno::ROFS => "/dev/shm is read-only: make it writable (mount -o remount,rw /dev/shm)".to_owned(),
        Errno::NOENT => "there is no /dev/shm: mount a tmpfs there".to_owned(),
        other => other.to_string(),
    };
    Failure::shared_memory(cause).doing(format!("making shared memory {name}"))
}

/// Creates an object and unlinks its name. The name contains the process id. So if the name exists, it belongs to
/// another thread of this process or to a process that was killed.
fn open_unnamed(path: &str) -> Result<OwnedFd, Errno> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
    let open = || shm::open(path, flags, Mode::RUSR | Mode::WUSR);
    let fd = match open() {
        Err(Errno::EXIST) => shm::unlink(path).and_then(|()| open())?,
        other => other?,
    };
    shm::unlink(path)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_killed_process_left_is_in_nobodys_way() {
        let left = std::path::PathBuf::from(format!("/dev/shm/septet_volumewriter_{}", std::process::id()));
        std::fs::write(&left, b"x").unwrap();
        Blank::new("volumewriter").sized(4096, 4096).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn who_has_no_file_system_of_their_own_has_huge_pages_all_the_same() {
        let blank = Blank { huge: None, ..Blank::new("datawriter") };
        let (_, mapping, has_memory) = blank.sized(4 << 20, 4 << 20).unwrap();
        assert!(has_memory);
        let why = "Linux 6.1 moves memory to huge pages, if 4 MiB can be had in two pieces";
        assert_eq!(mapping.on_huge_pages(), 4 << 20, "{why}");
    }

    #[test]
    fn threads_of_one_process_may_make_objects_of_one_name() {
        let make = || (0..100).all(|_| Blank::new("metawriter").sparse(0).is_ok());
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        });
    }
}
