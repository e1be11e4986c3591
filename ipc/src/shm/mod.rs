//! Shared memory: pools of slots that carry payload, and tables that carry metadata.
//!
//! A [`Pool`] is one POSIX shared-memory object with one owner, which alone allocates from it. Its
//! name in `/dev/shm` lives only for the moment in which it is made: from then on the object
//! travels as a file descriptor, so nobody can squat on a name, a locked-in agent needs no right
//! to `/dev/shm`, and a `kill -9` of everything leaves nothing behind. Where this process may, a
//! pool lies on huge pages instead (`huge.rs`).

mod allocator;
mod attached;
mod huge;
mod mapping;
mod pool;
mod slot;
mod sweep;
mod table;

pub use attached::Attached;
pub use pool::Pool;
pub use slot::{NewSlot, Padded, Releases, Slot};
pub use sweep::sweep;
pub use table::Table;

/// Slots start on this boundary and may be read up to the next: what O_DIRECT asks for.
pub const ALIGN_BYTES: usize = 4096;

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, Mode, fallocate, ftruncate};
use rustix::io::Errno;
use rustix::shm;

use crate::failure::Failure;

/// Makes an object with all its memory, on huge pages if they are to be had. Nothing is lost where
/// they are not: any failure ends in `/dev/shm`, and the error is that of `/dev/shm`.
fn create_reserved(name: &str, bytes: u64) -> Result<OwnedFd, Failure> {
    let huge = || -> Result<OwnedFd, Errno> {
        let object = huge::object()?;
        fallocate(&object, FallocateFlags::empty(), 0, bytes)?;
        Ok(object)
    };
    if bytes >= huge::HUGE_BYTES
        && let Ok(object) = huge()
    {
        return Ok(object);
    }
    create_object(name, bytes, true)
}

/// Makes an object in `/dev/shm` that has no name any more; `reserve` takes its memory at once.
fn create_object(name: &str, bytes: u64, reserve: bool) -> Result<OwnedFd, Failure> {
    let path = format!("/septet_{name}");
    let fail = |errno: Errno| {
        let cause = match errno {
            Errno::NOSPC => format!(
                "no room in /dev/shm for {} MiB: enlarge it (mount -o remount,size=512M /dev/shm)",
                bytes.div_ceil(1 << 20)
            ),
            Errno::ACCESS => "permission denied on /dev/shm: it must be writable by this user (mode 1777)".to_owned(),
            Errno::ROFS => "/dev/shm is read-only: make it writable (mount -o remount,rw /dev/shm)".to_owned(),
            Errno::NOENT => "there is no /dev/shm: mount a tmpfs there".to_owned(),
            other => other.to_string(),
        };
        Failure::shared_memory(cause).doing(format!("making shared memory {name}"))
    };
    let fd = open_unnamed(&path).map_err(fail)?;
    if reserve && bytes > 0 {
        // Without this, a full /dev/shm would be a SIGBUS at the first touch of a page.
        fallocate(&fd, FallocateFlags::empty(), 0, bytes).map_err(fail)?;
    } else {
        ftruncate(&fd, bytes).map_err(fail)?;
    }
    Ok(fd)
}

/// Makes an object and takes its name away. The name holds the process id, so whoever has it now
/// is another thread of this process, or was killed here long ago.
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
        let name = format!("volumewriter_{}", std::process::id());
        let left = std::path::PathBuf::from(format!("/dev/shm/septet_{name}"));
        std::fs::write(&left, b"x").unwrap();
        create_object(&name, 4096, true).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn threads_of_one_process_may_make_objects_of_one_name() {
        let make = || (0..100).all(|_| create_object(&format!("metawriter_{}", std::process::id()), 0, false).is_ok());
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        });
    }
}
