//! The store in a directory: a key is a path below the root, an object is a regular file.
//!
//! Every object is written under a temporary name in its directory, made durable, and then renamed ([`temporary`]). So
//! after a crash the object is complete or absent. Large objects bypass the page cache ([`writer`], [`reader`]).
//! Symbolic links below the root are neither listed nor read. Only the owner can read files and directories, because
//! they hold the content of whole disks.

mod folder;
mod reader;
mod root;
mod temporary;
mod upload;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

use crate::{Access, ObjectInfo, PartRules, Store, StoreError, Upload};
use bytes::Bytes;
use reader::Reader;
use root::Root;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use temporary::Temporary;
use upload::DirectoryUpload;

const PART_RULES: PartRules =
    PartRules { part_bytes: 4 << 20, parts_in_flight: 2, read_bytes: 4 << 20, objects_max: None };

/// A directory of the local file system.
pub struct Directory {
    root: Arc<Root>,
    reader: Arc<Reader>,
}

impl Directory {
    /// Opens the directory. Creates it and its parents if `access` allows that.
    pub fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        let root = Root::at(path)?;
        let failed = |errno| root::error(&path.display().to_string(), "", "open", errno);
        match access {
            Access::Create => folder::make(&root.path).map_err(failed)?,
            Access::Existing => drop(folder::open(&root.path).map_err(failed)?),
        }
        Ok(Self { root: Arc::new(root), reader: Arc::default() })
    }

    /// Writes a small object durably. Then `publish` gives the object its name.
    fn put_with(
        &self,
        key: &str,
        body: &[u8],
        publish: impl FnOnce(&mut Temporary, &str) -> Result<(), Errno>,
    ) -> Result<(), StoreError> {
        let path = self.root.path_of(key, "write")?;
        let written = Temporary::create(&self.root, key).and_then(|(mut temporary, file)| {
            writer::write_all(&file, 0, &[body])?;
            rustix::fs::fsync(&file)?;
            publish(&mut temporary, root::file_name(key))
        });
        self.reader.forget(&path);
        written.map_err(|errno| self.root.error(key, "write", errno))
    }
}

impl Store for Directory {
    fn url(&self) -> String {
        self.root.url.clone()
    }

    fn get(&self, key: &str, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
        reader::get(&self.root, key, bytes_max)
    }

    fn read_at(&self, key: &str, offset_bytes: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.reader.read_at(&self.root, key, offset_bytes, buf)
    }

    fn len(&self, key: &str) -> Result<u64, StoreError> {
        reader::len(&self.root, key)
    }

    fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.put_with(key, &body, Temporary::publish)
    }

    fn put_if_absent(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.put_with(key, &body, Temporary::publish_if_absent)
    }

    fn upload(&self, key: &str) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(DirectoryUpload::begin(&self.root, &self.reader, key)?))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        walk::list(&self.root, prefix)
    }

    fn list_children(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        walk::list_children(&self.root, prefix)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        walk::is_empty(&self.root)
    }

    /// Writes a temporary file and reads its modification time. If the file system has a server, that is the server's
    /// time.
    fn now(&self) -> Result<Option<SystemTime>, StoreError> {
        let stat = Temporary::create(&self.root, "now").and_then(|(_temporary, file)| {
            writer::write_all(&file, 0, &[b"now"])?;
            rustix::fs::fstat(&file)
        });
        let stat = match stat {
            // A process that can only read does not need the time.
            Err(Errno::ROFS | Errno::ACCESS | Errno::PERM | Errno::NOSPC | Errno::DQUOT) => return Ok(None),
            stat => stat.map_err(|errno| self.root.error("", "write to", errno))?,
        };
        let seconds = u64::try_from(stat.st_mtime).ok();
        Ok(seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))))
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        let mut folders = BTreeSet::new();
        for key in keys {
            let path = self.root.path_of(key, "delete")?;
            match rustix::fs::unlink(&path) {
                Ok(()) => drop(folders.insert(root::folder_name(key))),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR) => {}
                Err(errno) => return Err(self.root.error(key, "delete", errno)),
            }
            self.reader.forget(&path);
        }
        for name in folders {
            folder::sync(&self.root, name).map_err(|errno| self.root.error(name, "delete", errno))?;
            folder::remove_empty(&self.root, name);
        }
        Ok(())
    }

    fn part_rules(&self) -> PartRules {
        PART_RULES
    }

    fn abort_unfinished(&self, prefix: &str) -> Result<u64, StoreError> {
        walk::remove_temporaries(&self.root, prefix)
    }
}
