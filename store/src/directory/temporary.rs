//! A file with a temporary name, in the directory of its final name. It is not listed until it is published. If it is
//! dropped unpublished, it is removed. While it exists, its directory is not empty and cannot be removed.

use super::folder;
use super::root::{Root, folder_name};
use crate::key::TEMPORARY_PREFIX;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::sync::Arc;
use uuid::Uuid;

/// The temporary name and the directory it is in.
pub(super) struct Temporary {
    root: Arc<Root>,
    folder_name: String,
    folder: OwnedFd,
    name: String,
    published: bool,
}

impl Temporary {
    /// Makes an empty file for the object `key`, open for writing.
    pub(super) fn create(root: &Arc<Root>, key: &str) -> Result<(Self, OwnedFd), Errno> {
        let name = format!("{TEMPORARY_PREFIX}{}", Uuid::new_v4().simple());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        folder::with(root, folder_name(key), |folder| {
            let file = rustix::fs::openat(&folder, &name, flags, Mode::RUSR | Mode::WUSR)?;
            let (root, folder_name, name) = (root.clone(), folder_name(key).to_owned(), name.clone());
            Ok((Temporary { root, folder_name, folder, name, published: false }, file))
        })
    }

    /// Opens the same file again with O_DIRECT, if the file system supports that.
    pub(super) fn open_direct(&self) -> Option<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty()).ok()
    }

    /// Gives the file its final name, durably. The content must be durable already.
    pub(super) fn publish(&mut self, name: &str) -> Result<(), Errno> {
        rustix::fs::renameat(&self.folder, &self.name, &self.folder, name)?;
        self.published = true;
        rustix::fs::fsync(&self.folder)
    }

    /// The same, but fails with `EXIST` if the name is taken.
    pub(super) fn publish_if_absent(&mut self, name: &str) -> Result<(), Errno> {
        let (folder, temporary) = (&self.folder, self.name.as_str());
        match rustix::fs::renameat_with(folder, temporary, folder, name, RenameFlags::NOREPLACE) {
            // NFS and some FUSE file systems don't support the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link(name)?,
            renamed => {
                renamed?;
                self.published = true;
            }
        }
        rustix::fs::fsync(&self.folder)
    }

    /// Gives the file a second name. The temporary name is removed when `self` is dropped.
    fn link(&self, name: &str) -> Result<(), Errno> {
        let (folder, temporary) = (&self.folder, self.name.as_str());
        match rustix::fs::linkat(folder, temporary, folder, name, AtFlags::empty()) {
            // Over NFS the answer may be lost. The retried call then finds the name that the first call created.
            Err(Errno::EXIST) if self.links()? == 2 => Ok(()),
            linked => linked,
        }
    }

    fn links(&self) -> Result<u64, Errno> {
        let stat = rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        #[allow(clippy::useless_conversion, reason = "narrower on some machines")]
        Ok(stat.st_nlink.into())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // If the file cannot be removed now, `abort_unfinished` removes it later.
            let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
            folder::remove_empty(&self.root, &self.folder_name);
        }
    }
}
