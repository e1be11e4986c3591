//! Reading `checksums` and `map`: as a stream of chunks, or chunk by chunk on demand.
//!
//! The root in the manifest proves the table's header and the hashes in its directory, and each of these
//! proves a chunk. So opening a table costs its header and directory, and no chunk is believed unproven.

use crate::{Repository, RepositoryError, Result};
use septet_format::{
    CHECKSUM_ENTRY_BYTES, MAP_ENTRY_BYTES, Manifest, TABLE_CHUNK_ENTRIES, TABLE_HEADER_BYTES, TableDirectory,
    TableHeader, TableRef, layout,
};

/// Which of a backup's two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// A hash for each block.
    Checksums,
    /// A location for each block.
    Map,
}

impl TableKind {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checksums => "checksums",
            Self::Map => "map",
        }
    }
}

/// A table whose directory has been read and proven.
pub(crate) struct Table {
    repository: Repository,
    key: String,
    directory: TableDirectory,
}

impl Table {
    pub(crate) fn open(repository: &Repository, manifest: &Manifest, kind: TableKind) -> Result<Self> {
        let (key, TableRef { bytes, root, .. }, entry_bytes) = match kind {
            TableKind::Checksums => (manifest.checksums_key(), manifest.checksums, CHECKSUM_ENTRY_BYTES),
            TableKind::Map => (manifest.map_key(), manifest.map, MAP_ENTRY_BYTES),
        };
        let wrong = |cause| repository.inner_object_error(&key, cause);
        let entries = manifest.geometry().map_err(wrong)?.blocks();
        let mut front = vec![0; length(usual_front_bytes(entries).min(bytes))];
        repository.store().read_at(&key, 0, &mut front)?;
        let header = front.first_chunk().ok_or_else(|| repository.damaged(&key, "table", "it is cut short"))?;
        let header = TableHeader::decode(header, entry_bytes, entries, bytes).map_err(wrong)?;
        // Bounded: the header's numbers have been held against the manifest's and the object's length.
        let end = TABLE_HEADER_BYTES + length(header.directory_bytes());
        let read = front.len();
        front.resize(end, 0);
        if let Some(rest) = front.get_mut(read..).filter(|rest| !rest.is_empty()) {
            repository.store().read_at(&key, read as u64, rest)?;
        }
        let directory = TableDirectory::decode(header, &front[TABLE_HEADER_BYTES..], root).map_err(wrong)?;
        Ok(Table { repository: repository.clone(), key, directory })
    }

    pub(crate) fn directory(&self) -> &TableDirectory {
        &self.directory
    }

    /// The entries of one chunk; `None` if they are all zero.
    pub(crate) fn read_chunk(&self, chunk: u64) -> Result<Option<Vec<u8>>> {
        let mut stored = Vec::new();
        if !self.read_stored(chunk, &mut stored)? {
            return Ok(None);
        }
        self.directory.decode_chunk(chunk, &stored).map(Some).map_err(|cause| self.wrong(cause))
    }

    /// Calls `write` with the first entry and the content of each chunk that isn't zero.
    pub(crate) fn stream<E: From<RepositoryError>>(
        &self,
        mut write: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut entries = vec![0; self.directory.chunk_bytes(0)];
        let mut stored = Vec::new();
        for chunk in 0..self.directory.chunks() {
            if self.read_stored(chunk, &mut stored)? {
                let entries = &mut entries[..self.directory.chunk_bytes(chunk)];
                self.directory.decode_chunk_into(chunk, &stored, entries).map_err(|cause| self.wrong(cause))?;
                write(self.directory.entries_of(chunk).start, entries)?;
            }
        }
        Ok(())
    }

    /// Reads a chunk as it is stored; false if it is absent.
    fn read_stored(&self, chunk: u64, stored: &mut Vec<u8>) -> Result<bool> {
        let Some(range) = self.directory.range(chunk) else {
            return Ok(false);
        };
        // A chunk is stored in no more bytes than it has, 4 MiB at most.
        stored.resize(length(range.end - range.start), 0);
        self.repository.store().read_at(&self.key, range.start, stored)?;
        Ok(true)
    }

    fn wrong(&self, cause: septet_format::FormatError) -> RepositoryError {
        self.repository.inner_object_error(&self.key, cause)
    }
}

/// The length of header and directory, if the table's chunks are as we write them: one read gets both.
fn usual_front_bytes(entries: u64) -> u64 {
    let chunks = entries.div_ceil(u64::from(TABLE_CHUNK_ENTRIES));
    TABLE_HEADER_BYTES as u64 + chunks * layout::table_chunk::BYTES as u64
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Repository {
    /// Streams a table: `write` gets the first entry and the packed entries of each chunk that isn't
    /// all zero, in order, one chunk in memory at a time. Each chunk is proven before it is given out.
    pub fn load_table<E: From<RepositoryError>>(
        &self,
        manifest: &Manifest,
        which: TableKind,
        write: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        Table::open(self, manifest, which)?.stream(write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, content};
    use septet_format::{BlockHash, TABLE_CHUNK_ENTRIES};

    fn load(sample: &Sample, which: TableKind) -> Result<Vec<(u64, usize)>> {
        let mut chunks = Vec::new();
        sample.repository.load_table(&sample.manifest("b1"), which, |first, entries| {
            chunks.push((first, entries.len()));
            Ok::<_, RepositoryError>(())
        })?;
        Ok(chunks)
    }

    #[test]
    fn a_table_streams_the_chunks_that_are_not_zero() {
        let mut sample = Sample::new();
        let chunk = TABLE_CHUNK_ENTRIES as usize;
        let mut seeds = vec![0; 2 * chunk + 3];
        (seeds[5], seeds[2 * chunk]) = (2, 4);
        let manifest = sample.backup("b1", None, &seeds);
        assert_eq!(load(&sample, TableKind::Checksums).unwrap(), [(0, chunk * 32), (2 * chunk as u64, 96)]);
        assert_eq!(load(&sample, TableKind::Map).unwrap(), [(0, chunk * 12), (2 * chunk as u64, 36)]);
        let bytes = manifest.geometry().unwrap().len_bytes(5) as usize;
        let mut hash = None;
        let write = |first: u64, entries: &[u8]| {
            if first == 0 {
                hash = Some(entries[5 * 32..6 * 32].to_vec());
            }
            Ok::<_, RepositoryError>(())
        };
        sample.repository.load_table(&manifest, TableKind::Checksums, write).unwrap();
        assert_eq!(hash.unwrap(), BlockHash::of(&content(2, bytes)).as_bytes());
    }

    #[test]
    fn every_kind_of_damage_is_found_and_names_the_object() {
        for (which, key) in [(TableKind::Checksums, "vol/b1/checksums-0"), (TableKind::Map, "vol/b1/map-0")] {
            let mut sample = Sample::new();
            let manifest = sample.backup("b1", None, &[1, 2, 0, 3]);
            let other = sample.backup("b2", None, &[1, 2, 4, 3]);
            assert!(load(&sample, which).is_ok());
            let found = |what: &str| {
                let error = load(&sample, which).unwrap_err();
                assert!(error.is_damage() && error.to_string().contains(key), "{what}: {error}");
            };
            let object = sample.read(key);
            for at in 0..object.len() {
                sample.flip(key, at);
                found(&format!("byte {at} flipped"));
                sample.flip(key, at);
            }
            sample.truncate(key, object.len() - 1);
            found("truncated");
            sample.remove(key);
            found("missing");
            sample.copy(&key.replace("b1", "b2"), key);
            found("another backup's");
            assert_ne!((manifest.map, manifest.checksums), (other.map, other.checksums));
        }
    }

    #[test]
    fn an_error_of_the_callback_comes_back() {
        let mut sample = Sample::new();
        let manifest = sample.backup("b1", None, &[1]);
        let fail = |_: u64, _: &[u8]| Err(RepositoryError::InvalidName("enough".to_owned()));
        let error = sample.repository.load_table(&manifest, TableKind::Map, fail).unwrap_err();
        assert_eq!(error.to_string(), "enough");
    }
}
