//! Reads `checksums` and `map`: either the whole table, or chunk by chunk on demand.
//!
//! The root in the manifest proves the table's header and the hashes in its directory. Each of these hashes proves a
//! chunk. So opening a table costs its header and directory, and no chunk is used before it is verified.
//!
//! The store may be far away, so few requests are sent, and they are sent together. The first read takes a small table
//! whole, neighbouring chunks share a request, and several requests are in flight at once.

use crate::parallel::parallel;
use crate::{Repository, RepositoryError, Result};
use septet_format::{
    BackupId, BackupRef, CHECKSUM_ENTRY_BYTES, MAP_ENTRY_BYTES, Manifest, TABLE_HEADER_BYTES, TableDirectory,
    TableHeader, TableRef, VolumeName, keys,
};

/// The size of the first read of a table. At 100 MB/s it costs 10 ms and usually saves a request. Header and directory
/// of a volume of 16 TiB in blocks of 64 KiB have 576 KiB.
const FIRST_READ_BYTES: u64 = 1 << 20;
/// The limit of the decoded size of chunks that one request reads, unless it reads one chunk. The results of several
/// requests are in memory at a time.
const RUN_BYTES_MAX: usize = 2 << 20;

/// Which of a backup's two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// A hash for each block.
    Checksums,
    /// A location for each block.
    Map,
}

impl TableKind {
    /// The name of the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checksums => "checksums",
            Self::Map => "map",
        }
    }

    /// The length of an entry.
    pub(crate) fn entry_bytes(self) -> u32 {
        match self {
            Self::Checksums => CHECKSUM_ENTRY_BYTES,
            Self::Map => MAP_ENTRY_BYTES,
        }
    }

    /// What a backup says of its table of this kind.
    fn named_by(self, backup: &BackupRef) -> TableRef {
        match self {
            Self::Checksums => backup.checksums,
            Self::Map => backup.map,
        }
    }

    /// The key of the table that was written for this generation.
    pub(crate) fn key(self, volume: &VolumeName, backup: &BackupId, generation: u32) -> String {
        match self {
            Self::Checksums => keys::checksums(volume, backup, generation),
            Self::Map => keys::map(volume, backup, generation),
        }
    }
}

/// A table with a verified directory.
pub(crate) struct Table {
    repository: Repository,
    key: String,
    directory: TableDirectory,
    /// The first bytes of the object, as far as the first read went.
    front: Vec<u8>,
}

/// A verified chunk: the number of its first entry, and its packed entries.
pub(crate) type ReadChunk = (u64, Vec<u8>);

impl Table {
    pub(crate) fn open(repository: &Repository, manifest: &Manifest, kind: TableKind) -> Result<Self> {
        let front = read_front(repository, &manifest.volume, &manifest.reference(), kind)?;
        Self::with_front(repository, manifest, kind, front)
    }

    /// Opens a table whose first bytes have been [read](read_front).
    pub(crate) fn with_front(
        repository: &Repository,
        manifest: &Manifest,
        kind: TableKind,
        mut front: Vec<u8>,
    ) -> Result<Self> {
        let TableRef { generation, bytes, root } = kind.named_by(&manifest.reference());
        let key = kind.key(&manifest.volume, &manifest.backup, generation);
        let wrong = |cause| repository.inner_object_error(&key, cause);
        let entries = manifest.geometry().map_err(wrong)?.blocks();
        let header = front.first_chunk().ok_or_else(|| repository.damaged(&key, "table", "it is truncated"))?;
        let header = TableHeader::decode(header, kind.entry_bytes(), entries, bytes).map_err(wrong)?;
        // Bounded: the header's numbers have been checked against the manifest and the object's length.
        let end = TABLE_HEADER_BYTES + length(header.directory_bytes());
        let read = front.len();
        if end > read {
            front.resize(end, 0);
            repository.store().read_at(&key, read as u64, &mut front[read..])?;
        }
        let directory = TableDirectory::decode(header, &front[TABLE_HEADER_BYTES..end], root).map_err(wrong)?;
        Ok(Table { repository: repository.clone(), key, directory, front })
    }

    pub(crate) fn directory(&self) -> &TableDirectory {
        &self.directory
    }

    /// Calls `write` with the first entry and the content of each chunk that isn't zero, in order. Each chunk is
    /// verified before that.
    pub(crate) fn stream<E: From<RepositoryError>>(
        &self,
        mut write: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let at_once = self.repository.store().part_rules().parts_in_flight;
        let runs = self.runs(0..self.directory.chunks(), usize::MAX);
        for window in runs.chunks(at_once.max(1)) {
            for read in parallel(at_once, window, |run| self.read_run(run)) {
                for (first, entries) in read? {
                    write(first, &entries)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the first `count_max` present chunks among `chunks`, by several requests at once if necessary.
    pub(crate) fn read_ahead(&self, chunks: std::ops::Range<u64>, count_max: usize) -> Result<Vec<ReadChunk>> {
        let runs = self.runs(chunks, count_max);
        let at_once = self.repository.store().part_rules().parts_in_flight;
        let read: Result<Vec<_>> = parallel(at_once, &runs, |run| self.read_run(run)).into_iter().collect();
        Ok(read?.into_iter().flatten().collect())
    }

    /// The first `count_max` present chunks among `chunks`, in groups for one request each.
    fn runs(&self, chunks: std::ops::Range<u64>, count_max: usize) -> Vec<Vec<u64>> {
        let mut runs: Vec<Vec<u64>> = Vec::new();
        let mut run_bytes = 0;
        for chunk in chunks.filter(|chunk| self.directory.range(*chunk).is_some()).take(count_max) {
            let bytes = self.directory.chunk_bytes(chunk);
            match runs.last_mut() {
                // Present chunks are adjacent in the object, even if absent chunks lie between them.
                Some(run) if run_bytes + bytes <= RUN_BYTES_MAX => run.push(chunk),
                _ => {
                    runs.push(vec![chunk]);
                    run_bytes = 0;
                }
            }
            run_bytes += bytes;
        }
        runs
    }

    /// Reads adjacent chunks by one request, decodes and verifies them.
    fn read_run(&self, run: &[u64]) -> Result<Vec<ReadChunk>> {
        let ranges: Vec<_> = run.iter().filter_map(|chunk| self.directory.range(*chunk)).collect();
        let Some((first, last)) = ranges.first().zip(ranges.last()) else { return Ok(Vec::new()) };
        let start = first.start;
        let stored = self.read_stored(start, last.end)?;
        let chunks = run.iter().zip(&ranges).map(|(chunk, range)| {
            let stored = &stored[length(range.start - start)..length(range.end - start)];
            let entries = self.directory.decode_chunk(*chunk, stored).map_err(|cause| self.wrong(cause))?;
            Ok((self.directory.entries_of(*chunk).start, entries))
        });
        chunks.collect()
    }

    /// Returns bytes of the object. Bytes that the first read contains need no further request.
    fn read_stored(&self, start: u64, end: u64) -> Result<std::borrow::Cow<'_, [u8]>> {
        if let Some(read) = self.front.get(length(start)..length(end)) {
            return Ok(read.into());
        }
        // A chunk's stored size is at most its decoded size: RUN_BYTES_MAX, or one chunk of 4 MiB.
        let mut stored = vec![0; length(end - start)];
        self.repository.store().read_at(&self.key, start, &mut stored)?;
        Ok(stored.into())
    }

    /// The error for a present chunk that was not among those that were read.
    pub(crate) fn unread(&self, chunk: u64) -> RepositoryError {
        self.repository.damaged(&self.key, "table", format!("chunk {chunk} was not read"))
    }

    fn wrong(&self, cause: septet_format::FormatError) -> RepositoryError {
        self.repository.inner_object_error(&self.key, cause)
    }
}

/// Reads the first bytes of a table: usually its header and directory, and a small table as a whole.
pub(crate) fn read_front(
    repository: &Repository,
    volume: &VolumeName,
    backup: &BackupRef,
    kind: TableKind,
) -> Result<Vec<u8>> {
    let TableRef { generation, bytes, .. } = kind.named_by(backup);
    let mut front = vec![0; length(bytes.min(FIRST_READ_BYTES))];
    repository.store().read_at(&kind.key(volume, &backup.backup, generation), 0, &mut front)?;
    Ok(front)
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, content};
    use septet_format::{BlockHash, TABLE_CHUNK_ENTRIES};

    fn load(sample: &Sample, which: TableKind) -> Result<Vec<(u64, usize)>> {
        let mut chunks = Vec::new();
        Table::open(&sample.repository, &sample.manifest("b1"), which)?.stream(|first, entries| {
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
        Table::open(&sample.repository, &manifest, TableKind::Checksums).unwrap().stream(write).unwrap();
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
        let error = Table::open(&sample.repository, &manifest, TableKind::Map).unwrap().stream(fail).unwrap_err();
        assert_eq!(error.to_string(), "enough");
    }
}
