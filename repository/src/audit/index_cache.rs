//! A cache of segment indexes that is kept from backup to backup.
//!
//! A hundred backups share most of their segments. If all indexes fit into the cache, each is read once. Otherwise the
//! cache makes room by removing indexes that the current backup has not used. If there is still no room, the new index
//! is not kept. So a backup that needs more than fits finds the same part of its indexes cached each time. Evicting the
//! oldest index would keep none of them long enough.

use crate::{Repository, Result};
use septet_format::{BlockHash, IndexEntry, SegmentRef, SourceBackup};
use std::collections::HashMap;
use std::sync::Arc;

/// The memory limit for cached indexes: enough for four million blocks.
const BYTES_MAX: usize = 256 << 20;

/// A cache of segment indexes. It holds at most 256 MiB, and one more index while that is used.
pub struct IndexCache {
    bytes_max: usize,
    bytes: usize,
    /// Counts the backups.
    backup: u64,
    indexes: HashMap<Key, Kept>,
}

/// The content of a segment, sorted by offset.
pub(super) struct Index(Vec<IndexEntry>);

/// Identifies a segment. Manifests that disagree about its length or hash mean different segments.
type Key = (String, u64, BlockHash);

struct Kept {
    index: Arc<Result<Index, String>>,
    /// The last backup that used it.
    used: u64,
}

impl Default for IndexCache {
    fn default() -> Self {
        IndexCache { bytes_max: BYTES_MAX, bytes: 0, backup: 0, indexes: HashMap::new() }
    }
}

impl IndexCache {
    /// Starts the turn of the next backup.
    pub(super) fn begin_backup(&mut self) {
        self.backup += 1;
    }

    /// The index of a segment that a manifest names, or why the segment is damaged. A segment is damaged if it is
    /// missing or its length differs from the manifest's.
    pub(super) fn get(
        &mut self,
        repository: &Repository,
        source: &SourceBackup,
        segment: &SegmentRef,
    ) -> Result<Arc<Result<Index, String>>> {
        let key = (source.segment_key(segment), segment.bytes, segment.hash);
        if let Some(kept) = self.indexes.get_mut(&key) {
            kept.used = self.backup;
            return Ok(kept.index.clone());
        }
        let index = match read(repository, &key.0, source, segment) {
            Err(error) if error.is_damage() => Err(error.to_string()),
            index => Ok(index?),
        };
        let index = Arc::new(index);
        self.keep(key, &index);
        Ok(index)
    }

    fn keep(&mut self, key: Key, index: &Arc<Result<Index, String>>) {
        let bytes = bytes_of(&key, index);
        if self.bytes + bytes > self.bytes_max {
            self.indexes.retain(|_, kept| kept.used == self.backup);
            self.bytes = self.indexes.iter().map(|(key, kept)| bytes_of(key, &kept.index)).sum();
        }
        if self.bytes + bytes <= self.bytes_max {
            self.bytes += bytes;
            self.indexes.insert(key, Kept { index: index.clone(), used: self.backup });
        }
    }
}

#[cfg(test)]
impl IndexCache {
    pub(super) fn with_bytes_max(bytes_max: usize) -> Self {
        IndexCache { bytes_max, ..Self::default() }
    }

    pub(super) fn kept(&self) -> usize {
        self.indexes.len()
    }

    pub(super) fn kept_of(&self, backup: &str) -> usize {
        self.indexes.keys().filter(|(key, ..)| key.contains(&format!("/{backup}/"))).count()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Index {
    /// The entry at this offset.
    pub(super) fn at(&self, offset_bytes: u64) -> Option<&IndexEntry> {
        let found = self.0.binary_search_by_key(&offset_bytes, |entry| entry.offset_bytes);
        found.ok().and_then(|at| self.0.get(at))
    }
}

fn read(repository: &Repository, key: &str, source: &SourceBackup, segment: &SegmentRef) -> Result<Index> {
    let bytes = repository.store().len(key)?;
    repository.ensure(bytes == segment.bytes, key, "segment", || {
        format!("it has {bytes} bytes and should have {}", segment.bytes)
    })?;
    Ok(Index(repository.segment_index(source, segment)?.entries))
}

/// The approximate memory of a cached index.
fn bytes_of(key: &Key, index: &Result<Index, String>) -> usize {
    let content = match index {
        Ok(Index(entries)) => entries.capacity() * size_of::<IndexEntry>(),
        Err(reason) => reason.len(),
    };
    size_of::<(Key, Kept)>() + key.0.len() + content
}
