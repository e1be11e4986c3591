//! Lists the directory while other processes may write to it and delete from it. An entry that vanishes during the walk
//! is not listed.

use super::folder;
use super::root::{Root, errno_of};
use crate::key::TEMPORARY_PREFIX;
use crate::{ObjectInfo, StoreError, check_key};
use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;
use std::fs::{DirEntry, FileType, ReadDir};
use std::io;
use std::path::PathBuf;

/// A file or directory below the root, with its key.
struct Entry {
    key: String,
    kind: FileType,
    temporary: bool,
    inner: DirEntry,
}

/// All objects under a prefix, sorted.
pub(super) fn list(root: &Root, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
    let mut objects = Vec::new();
    visit_files(root, prefix, "list", &mut |entry| {
        match entry.inner.metadata() {
            Ok(metadata) if !entry.temporary => {
                let modified = metadata.modified().ok();
                objects.push(ObjectInfo { key: entry.key, bytes: metadata.len(), modified });
            }
            Err(cause) if errno_of(&cause) != Errno::NOENT => {
                return Err((entry.key, errno_of(&cause)));
            }
            _ => {}
        }
        Ok(true)
    })?;
    objects.sort();
    Ok(objects)
}

/// The names one level below a prefix that have objects under them, sorted.
pub(super) fn list_children(root: &Root, prefix: &str) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in entries(root, root.path_of_prefix(prefix, "list")?, prefix, "list")? {
        let entry = entry?;
        if entry.kind.is_dir() && holds_object(root, &format!("{}/", entry.key))? {
            names.push(entry.key[prefix.len()..].to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether the directory holds nothing except unfinished uploads and what a new file system contains.
pub(super) fn is_empty(root: &Root) -> Result<bool, StoreError> {
    let fail = |cause: std::io::Error| root.error("", "list", errno_of(&cause));
    for entry in std::fs::read_dir(&root.path).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        if name != "lost+found" && !name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes all temporary files under a prefix, and the directories that this empties.
pub(super) fn remove_temporaries(root: &Root, prefix: &str) -> Result<u64, StoreError> {
    let mut found = Vec::new();
    visit_files(root, prefix, "clean up", &mut |entry| {
        found.extend(entry.temporary.then_some(entry.key));
        Ok(true)
    })?;
    let mut removed = 0;
    for key in found {
        match rustix::fs::unlinkat(CWD, root.path.join(&key), AtFlags::empty()) {
            Ok(()) => removed += 1,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(root.error(&key, "clean up", errno)),
        }
        folder::remove_empty(root, super::root::folder_name(&key));
    }
    Ok(removed)
}

fn holds_object(root: &Root, prefix: &str) -> Result<bool, StoreError> {
    let mut found = false;
    visit_files(root, prefix, "list", &mut |entry| {
        found = !entry.temporary;
        Ok(!found)
    })?;
    Ok(found)
}

/// Calls `visit` with each file under a prefix until it returns false.
fn visit_files(
    root: &Root,
    prefix: &str,
    doing: &'static str,
    visit: &mut dyn FnMut(Entry) -> Result<bool, (String, Errno)>,
) -> Result<(), StoreError> {
    root.path_of_prefix(prefix, doing)?;
    let mut prefixes = vec![prefix.to_owned()];
    while let Some(prefix) = prefixes.pop() {
        for entry in entries(root, root.path.join(&prefix), &prefix, doing)? {
            let entry = entry?;
            if entry.kind.is_dir() {
                prefixes.push(entry.key + "/");
            } else if entry.kind.is_file() && !visit(entry).map_err(|(key, errno)| root.error(&key, doing, errno))? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The entries of one directory. Empty if it does not exist, but an error if the root does not exist either.
fn entries<'walk>(
    root: &'walk Root,
    path: PathBuf,
    prefix: &'walk str,
    doing: &'static str,
) -> Result<impl Iterator<Item = Result<Entry, StoreError>> + 'walk, StoreError> {
    let fail = move |cause: &std::io::Error| root.error(prefix, doing, errno_of(cause));
    let read: Option<ReadDir> = match std::fs::read_dir(path) {
        Err(cause) if matches!(errno_of(&cause), Errno::NOENT | Errno::NOTDIR) => {
            folder::open(&root.path).map_err(|errno| root.error("", doing, errno))?;
            None
        }
        read => Some(read.map_err(|cause| fail(&cause))?),
    };
    let entries = read.into_iter().flatten().filter_map(move |entry| match entry {
        Ok(inner) => match Entry::new(prefix, inner) {
            Ok(entry) => entry.map(Ok),
            Err((key, errno)) => Some(Err(root.error(&key, doing, errno))),
        },
        Err(cause) => Some(Err(fail(&cause))),
    });
    Ok(entries)
}

impl Entry {
    /// `None` if the name cannot be an object's, or if the entry has vanished.
    fn new(prefix: &str, inner: DirEntry) -> Result<Option<Self>, (String, Errno)> {
        let Ok(name) = inner.file_name().into_string() else { return Ok(None) };
        let key = format!("{prefix}{name}");
        let temporary = name.starts_with(TEMPORARY_PREFIX);
        if !temporary && check_key(&key).is_err() {
            return Ok(None);
        }
        match known_kind(inner.file_type()) {
            Ok(kind) => Ok(kind.map(|kind| Entry { key, kind, temporary, inner })),
            Err(errno) => Err((key, errno)),
        }
    }
}

/// `None` if the entry has vanished. On some file systems reading the type takes a call of its own. If the call fails,
/// the entry may be an object, so the listing must fail too.
pub(super) fn known_kind(read: io::Result<FileType>) -> Result<Option<FileType>, Errno> {
    match read {
        Ok(kind) => Ok(Some(kind)),
        Err(cause) if errno_of(&cause) == Errno::NOENT => Ok(None),
        Err(cause) => Err(errno_of(&cause)),
    }
}
