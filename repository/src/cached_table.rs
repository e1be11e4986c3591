//! A table that is read chunk by chunk, when its entries are asked for.
//!
//! A caller that asks for an entry is likely to ask for the following ones. So a miss reads some chunks ahead, in the
//! time of one request. One thread reads at a time. Other threads with a miss wait for it and usually find their chunk
//! in what it read.

use crate::entries::Entries;
use crate::table::Table;
use crate::{Repository, Result, TableKind};
use septet_format::Manifest;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of decoded chunks of each table that are cached: 11 MiB for both tables, with chunks as Septet writes
/// them.
const CHUNKS_KEPT_MAX: usize = 16;
/// The number of chunks that a miss reads: 64 GiB of a volume in blocks of 1 MiB.
const CHUNKS_READ: usize = 4;

/// A table and its most recently used chunks, the newest first.
pub(crate) struct CachedTable {
    origin: Origin,
    chunks: Mutex<VecDeque<Arc<Chunk>>>,
    /// Held by the thread that reads.
    reading: Mutex<()>,
}

/// The source of a table's chunks.
pub(crate) enum Origin {
    /// An object in the store.
    Object(Box<Table>),
    /// Rebuilt checksums in memory.
    Checksums(Entries<32>),
    /// A rebuilt map in memory.
    Map(Entries<12>),
}

/// A chunk's entries, packed in `content`. `content` is `None` if they are all zero.
pub(crate) struct Chunk {
    /// The numbers of its entries.
    pub(crate) entries: Range<u64>,
    entry_bytes: usize,
    content: Option<Vec<u8>>,
}

impl Chunk {
    /// The packed entry; `None` if it is zero because the chunk is absent.
    fn entry(&self, entry: u64) -> Option<&[u8]> {
        let at = usize::try_from(entry.checked_sub(self.entries.start)?).ok()?.checked_mul(self.entry_bytes)?;
        self.content.as_ref()?.get(at..at + self.entry_bytes)
    }

    /// For each entry from `first` on: whether it is not zero.
    pub(crate) fn stored_from(&self, first: u64) -> impl Iterator<Item = bool> {
        (first..self.entries.end)
            .map(|entry| self.entry(entry).is_some_and(|packed| packed.iter().any(|byte| *byte != 0)))
    }
}

impl Origin {
    /// The chunk with this entry, and some of the following chunks.
    fn chunks(&self, entry: u64) -> Result<(Chunk, Vec<Chunk>)> {
        let ((entries, content), entry_bytes) = match self {
            Self::Object(table) => return read_ahead(table, entry),
            Self::Checksums(entries) => (entries.chunk(entry), 32),
            Self::Map(entries) => (entries.chunk(entry), 12),
        };
        Ok((Chunk { entries, entry_bytes, content: content.map(<[u8]>::to_vec) }, Vec::new()))
    }
}

fn read_ahead(table: &Table, entry: u64) -> Result<(Chunk, Vec<Chunk>)> {
    let directory = table.directory();
    let (number, entry_bytes) = (directory.chunk_of(entry), directory.header().entry_bytes() as usize);
    let chunk = |number, content| Chunk { entries: directory.entries_of(number), entry_bytes, content };
    if directory.range(number).is_none() {
        return Ok((chunk(number, None), Vec::new()));
    }
    let read = table.read_ahead(number..directory.chunks(), CHUNKS_READ);
    // The damaged chunk may be one that no caller has asked for yet.
    let read = read.or_else(|_| table.read_ahead(number..number + 1, 1))?;
    let mut chunks = read.into_iter().map(|(first, content)| chunk(directory.chunk_of(first), Some(content)));
    match chunks.next() {
        Some(wanted) => Ok((wanted, chunks.collect())),
        None => Err(table.unread(number)),
    }
}

impl CachedTable {
    pub(crate) fn open(repository: &Repository, manifest: &Manifest, kind: TableKind) -> Result<Self> {
        Ok(Self::of(Table::open(repository, manifest, kind)?))
    }

    pub(crate) fn of(table: Table) -> Self {
        Self::new(Origin::Object(Box::new(table)))
    }

    pub(crate) fn new(origin: Origin) -> Self {
        CachedTable { origin, chunks: Mutex::default(), reading: Mutex::default() }
    }

    /// Returns one packed entry.
    pub(crate) fn entry<const BYTES: usize>(&self, entry: u64) -> Result<[u8; BYTES]> {
        let chunk = self.chunk_of(entry)?;
        Ok(chunk.entry(entry).and_then(|packed| packed.try_into().ok()).unwrap_or([0; BYTES]))
    }

    /// Returns the chunk with this entry.
    pub(crate) fn chunk_of(&self, entry: u64) -> Result<Arc<Chunk>> {
        if let Some(chunk) = self.kept(entry) {
            return Ok(chunk);
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chunk) = self.kept(entry) {
            return Ok(chunk);
        }
        let (wanted, ahead) = self.origin.chunks(entry)?;
        let wanted = Arc::new(wanted);
        let mut chunks = self.chunks();
        for chunk in ahead.into_iter().rev().map(Arc::new).chain([Arc::clone(&wanted)]) {
            chunks.retain(|kept| kept.entries.start != chunk.entries.start);
            chunks.push_front(chunk);
        }
        chunks.truncate(CHUNKS_KEPT_MAX);
        Ok(wanted)
    }

    fn kept(&self, entry: u64) -> Option<Arc<Chunk>> {
        let mut chunks = self.chunks();
        let at = chunks.iter().position(|chunk| chunk.entries.contains(&entry))?;
        let chunk = chunks.remove(at)?;
        chunks.push_front(Arc::clone(&chunk));
        Some(chunk)
    }

    fn chunks(&self) -> MutexGuard<'_, VecDeque<Arc<Chunk>>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
