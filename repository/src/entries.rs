//! A whole table in memory, for callers that access its entries in any order.
//!
//! Entries stay packed. A chunk without a set entry takes no memory. So a volume needs memory only for its stored
//! blocks, whatever size it or its manifest claims.

use crate::table::Table;
use crate::{Repository, RepositoryError, Result, TableKind};
use septet_format::layout::table_chunk;
use septet_format::{EncodedTable, FormatError, Manifest, TABLE_CHUNK_ENTRIES, TABLE_HEADER_BYTES, encode_table};
use std::ops::Range;

const CHUNK_ENTRIES: u64 = TABLE_CHUNK_ENTRIES as u64;

/// The packed entries of one table, `BYTES` each. Entries that were never set are zero.
pub(crate) struct Entries<const BYTES: usize> {
    count: u64,
    chunks: Vec<Option<Box<[[u8; BYTES]]>>>,
}

impl<const BYTES: usize> Entries<BYTES> {
    /// A table of `count` entries that are all zero. `count` comes from a geometry, so it is at most 2³².
    pub(crate) fn new(count: u64) -> Self {
        let chunks = usize::try_from(count.div_ceil(CHUNK_ENTRIES)).unwrap_or(0);
        Entries { count, chunks: vec![None; chunks] }
    }

    /// Reads a backup's table and checks it against the manifest.
    pub(crate) fn load(repository: &Repository, manifest: &Manifest, kind: TableKind) -> Result<Self> {
        let mut entries = Self::new(blocks(repository, manifest)?);
        Table::open(repository, manifest, kind)?.stream(|first, packed| {
            entries.copy(first, packed.as_chunks().0);
            Ok::<_, RepositoryError>(())
        })?;
        Ok(entries)
    }

    /// Sets the entries from `first` on. The table's chunks may have another length than the chunks in memory.
    fn copy(&mut self, mut first: u64, mut packed: &[[u8; BYTES]]) {
        while !packed.is_empty() && first < self.count {
            let here = packed.len().min(within_chunk(CHUNK_ENTRIES - 1) + 1 - within_chunk(first));
            let (now, later) = packed.split_at(here);
            let len = self.chunk_len(first);
            let Some(chunk) = self.chunk_mut(first) else { return };
            let chunk = chunk.get_or_insert_with(|| vec![[0; BYTES]; len].into());
            let from = within_chunk(first);
            if let Some(place) = chunk.get_mut(from..from + here) {
                place.copy_from_slice(now);
            }
            (first, packed) = (first + here as u64, later);
        }
    }

    /// The number of entries in the chunk with this entry.
    fn chunk_len(&self, entry: u64) -> usize {
        let left = self.count.saturating_sub(entry - entry % CHUNK_ENTRIES);
        usize::try_from(left.min(CHUNK_ENTRIES)).unwrap_or(0)
    }

    /// One entry; zero beyond the table's end.
    pub(crate) fn get(&self, entry: u64) -> [u8; BYTES] {
        let chunk = usize::try_from(entry / CHUNK_ENTRIES).ok().and_then(|chunk| self.chunks.get(chunk));
        let chunk = chunk.and_then(Option::as_ref);
        chunk.and_then(|chunk| chunk.get(within_chunk(entry))).copied().unwrap_or([0; BYTES])
    }

    /// Sets one entry. Does nothing beyond the table's end.
    pub(crate) fn set(&mut self, entry: u64, packed: [u8; BYTES]) {
        let len = self.chunk_len(entry);
        let Some(chunk) = self.chunk_mut(entry) else { return };
        let chunk = chunk.get_or_insert_with(|| vec![[0; BYTES]; len].into());
        if let Some(place) = chunk.get_mut(within_chunk(entry)) {
            *place = packed;
        }
    }

    /// The entries that are not zero, with their numbers, in order.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (u64, &[u8; BYTES])> {
        let chunks = (0u64..).step_by(TABLE_CHUNK_ENTRIES as usize).zip(&self.chunks);
        let entries = chunks.flat_map(|(first, chunk)| (first..).zip(chunk.iter().flatten()));
        entries.filter(|(_, packed)| **packed != [0; BYTES])
    }

    /// The range and the packed entries of the chunk with this entry; no entries if all are zero.
    pub(crate) fn chunk(&self, entry: u64) -> (Range<u64>, Option<&[u8]>) {
        let first = entry - entry % CHUNK_ENTRIES;
        let chunk = usize::try_from(entry / CHUNK_ENTRIES).ok().and_then(|chunk| self.chunks.get(chunk));
        let packed = chunk.and_then(Option::as_ref).map(|chunk| chunk.as_flattened());
        (first..(first + CHUNK_ENTRIES).min(self.count), packed)
    }

    /// The minimum length of the object: header and directory.
    pub(crate) fn object_bytes_min(&self) -> u64 {
        (TABLE_HEADER_BYTES + self.chunks.len() * table_chunk::BYTES) as u64
    }

    /// The table, packed.
    pub(crate) fn encode(&self) -> Result<EncodedTable, FormatError> {
        let entry_bytes = u32::try_from(BYTES).unwrap_or(u32::MAX);
        encode_table(entry_bytes, self.count, |first, memory| {
            let chunk = usize::try_from(first / CHUNK_ENTRIES).ok().and_then(|chunk| self.chunks.get(chunk));
            if let Some(chunk) = chunk.and_then(Option::as_ref) {
                // Both slices contain the entries from `first` to the end of the chunk or the table.
                memory.copy_from_slice(chunk.as_flattened());
            }
            Ok(())
        })
    }

    fn chunk_mut(&mut self, entry: u64) -> Option<&mut Option<Box<[[u8; BYTES]]>>> {
        self.chunks.get_mut(usize::try_from(entry / CHUNK_ENTRIES).ok()?)
    }
}

/// The number of blocks of the backup's volume.
fn blocks(repository: &Repository, manifest: &Manifest) -> Result<u64> {
    Ok(manifest.geometry().map_err(|cause| repository.object_error(&manifest.key(), cause))?.blocks())
}

fn within_chunk(entry: u64) -> usize {
    // A chunk's entries are far fewer than 2³².
    usize::try_from(entry % CHUNK_ENTRIES).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn what_is_set_comes_back_and_takes_memory_only_where_it_is() {
        let mut entries = Entries::<12>::new(1 << 32);
        let last = (1 << 32) - 1;
        for entry in [0, 5, CHUNK_ENTRIES, last] {
            entries.set(entry, [7; 12]);
            assert_eq!(entries.get(entry), [7; 12]);
        }
        for beyond in [1 << 32, u64::MAX] {
            entries.set(beyond, [7; 12]);
            assert_eq!(entries.get(beyond), [0; 12]);
        }
        assert_eq!(entries.get(6), [0; 12]);
        assert_eq!(entries.chunks.iter().flatten().count(), 3);
        assert_eq!(entries.stored().map(|(entry, _)| entry).collect::<Vec<_>>(), [0, 5, CHUNK_ENTRIES, last]);
        let mut short = Entries::<12>::new(3);
        short.set(3, [7; 12]);
        assert_eq!(short.stored().count(), 0, "a chunk's end is not the table's");
    }

    #[test]
    fn a_table_that_was_loaded_is_encoded_to_the_same_bytes() {
        let mut sample = Sample::new();
        let chunk = TABLE_CHUNK_ENTRIES as usize;
        let mut seeds = vec![0; 2 * chunk + 3];
        (seeds[5], seeds[2 * chunk + 2]) = (2, 4);
        for (backup, seeds) in [("b1", &seeds[..]), ("b2", &[1, 0, 2]), ("b3", &[])] {
            let manifest = sample.backup(backup, None, seeds);
            let map = Entries::<12>::load(&sample.repository, &manifest, TableKind::Map).unwrap();
            assert_eq!(map.encode().unwrap().object, sample.read(&format!("vol/{backup}/map-0")));
            let checksums = Entries::<32>::load(&sample.repository, &manifest, TableKind::Checksums).unwrap();
            assert_eq!(checksums.encode().unwrap().object, sample.read(&format!("vol/{backup}/checksums-0")));
            let stored = (0u64..).zip(seeds).filter(|(_, seed)| **seed != 0).map(|(block, _)| block);
            assert_eq!(map.stored().map(|(block, _)| block).collect::<Vec<_>>(), stored.collect::<Vec<_>>());
        }
    }
}
