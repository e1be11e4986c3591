//! Directories of the directory store: made when an object needs them, durably, and removed
//! when they are empty. Both may happen at once, in several processes: who loses a directory
//! before there is a file in it begins again at the root.

use super::root::Root;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;

/// For how many lost races in a row one may be plain unlucky.
const TRIES_MAX: usize = 100;

pub(super) fn open(path: &Path) -> Result<OwnedFd, Errno> {
    open_below(CWD, path)
}

fn open_below(parent: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Makes the root directory and what is missing above it.
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

/// Makes one directory; also where somebody else was faster, its name is durable afterwards.
fn make_below(parent: impl AsFd, path: &Path) -> Result<(), Errno> {
    match rustix::fs::mkdirat(&parent, path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => rustix::fs::fsync(&parent),
        Err(errno) => Err(errno),
    }
}

/// Runs `work` in the directory `name` (relative to the root), made if it isn't there, and again
/// if the directory vanishes before the work has put a file into it.
pub(super) fn with<T>(root: &Root, name: &str, mut work: impl FnMut(OwnedFd) -> Result<T, Errno>) -> Result<T, Errno> {
    let mut tries = 0;
    loop {
        // Not in the loop's retries: a root that is gone (unmounted) is not made again.
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

/// Makes durable what was added to and removed from a directory; one that is gone needs nothing.
pub(super) fn sync(root: &Root, name: &str) -> Result<(), Errno> {
    match open(&root.path.join(name)) {
        Ok(folder) => rustix::fs::fsync(folder),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Removes a directory and those above it, up to the root, as long as they are empty.
pub(super) fn remove_empty(root: &Root, name: &str) {
    for folder in Path::new(name).ancestors().take_while(|folder| !folder.as_os_str().is_empty()) {
        match rustix::fs::unlinkat(CWD, root.path.join(folder), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(_) => break,
        }
    }
}
