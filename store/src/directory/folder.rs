//! Directories of the directory store. A directory is created durably when an object needs it, and removed when it is
//! empty. Several processes may create and remove directories at the same time. If a directory vanishes before it holds
//! a file, its creator starts again at the root.

use super::root::Root;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;

/// After this many lost races in a row, the error has another cause and is returned.
const TRIES_MAX: usize = 100;

pub(super) fn open(path: &Path) -> Result<OwnedFd, Errno> {
    open_below(CWD, path)
}

fn open_below(parent: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Makes the root directory and its missing parents.
pub(super) fn make(path: &Path) -> Result<(), Errno> {
    match open(path) {
        Err(Errno::NOENT) => {
            let parent = path.parent().ok_or(Errno::NOENT)?;
            make(parent)?;
            make_below(open(parent)?, path)
        }
        opened => opened.map(drop),
    }
}

/// Makes one directory. Its name is durable afterwards, even if another process created it first.
fn make_below(parent: impl AsFd, path: &Path) -> Result<(), Errno> {
    match rustix::fs::mkdirat(&parent, path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => rustix::fs::fsync(&parent),
        Err(errno) => Err(errno),
    }
}

/// Runs `work` in the directory `name` (relative to the root) and creates the directory if needed. Repeats both if the
/// directory vanishes before `work` has put a file into it.
pub(super) fn with<T>(root: &Root, name: &str, mut work: impl FnMut(OwnedFd) -> Result<T, Errno>) -> Result<T, Errno> {
    let mut tries = 0;
    loop {
        // Not retried: a root that has vanished (unmounted) must not be created again.
        let top = open(&root.path)?;
        match descend(top, name).and_then(&mut work) {
            Err(Errno::NOENT) if tries < TRIES_MAX => tries += 1,
            done => return done,
        }
    }
}

fn descend(top: OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let mut folder = top;
    for part in Path::new(name) {
        let part = Path::new(part);
        folder = match open_below(&folder, part) {
            Err(Errno::NOENT) => {
                make_below(&folder, part)?;
                open_below(&folder, part)?
            }
            opened => opened?,
        };
    }
    Ok(folder)
}

/// Makes the changes of a directory durable. Does nothing if the directory no longer exists.
pub(super) fn sync(root: &Root, name: &str) -> Result<(), Errno> {
    match open(&root.path.join(name)) {
        Ok(folder) => rustix::fs::fsync(folder),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Removes a directory if it is empty, then each parent that is empty, up to but not including the root.
pub(super) fn remove_empty(root: &Root, name: &str) {
    for folder in Path::new(name).ancestors().take_while(|folder| !folder.as_os_str().is_empty()) {
        match rustix::fs::unlinkat(CWD, root.path.join(folder), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(_) => break,
        }
    }
}
