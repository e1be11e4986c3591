//! The first 64 bytes of a table: its shape, and the hash over shape and directory.

use super::{
    ENTRY_BYTES_MAX, TABLE_CHUNK_ENTRIES, TABLE_CHUNK_ENTRIES_MAX, TABLE_CHUNK_ENTRIES_MIN, TABLE_HEADER_BYTES, WHAT,
};
use crate::error::{Result, check_version, ensure};
use crate::hash::BlockHash;
use crate::layout::table_header as at;
use crate::layout::{array_at, put, table_chunk, u32_at, u64_at};
use crate::{BLOCKS_MAX, FORMAT_VERSION, FormatError};

const MAGIC: &[u8; 8] = b"SEPTETTB";

/// A table's shape, checked against the shape that the reader expects and against the object's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableHeader {
    entry_bytes: u32,
    entries: u64,
    chunk_entries: u32,
    object_bytes: u64,
    hash: BlockHash,
}

impl TableHeader {
    /// The header of a table to be written. Its hash and length are set at the end.
    pub(super) fn new(entry_bytes: u32, entries: u64) -> Result<Self> {
        if !(1..=ENTRY_BYTES_MAX).contains(&entry_bytes) || entries > BLOCKS_MAX {
            let why = format!("a table cannot have {entries} entries of {entry_bytes} bytes");
            return Err(FormatError::InvalidGeometry { why });
        }
        let chunk_entries = TABLE_CHUNK_ENTRIES;
        Ok(Self { entry_bytes, entries, chunk_entries, object_bytes: 0, hash: BlockHash::ZERO })
    }

    /// The same table in chunks of `chunk_entries` entries.
    pub(super) fn in_chunks(self, chunk_entries: u32) -> Self {
        Self { chunk_entries, ..self }
    }

    /// Unpacks the first 64 bytes of an object that is `object_bytes` long. It must be a table of `entries` entries of
    /// `entry_bytes` each: the caller takes these numbers from the manifest, not from the object. The number of entries
    /// in a chunk is taken from the object and checked against bounds.
    pub fn decode(bytes: &[u8; TABLE_HEADER_BYTES], entry_bytes: u32, entries: u64, object_bytes: u64) -> Result<Self> {
        ensure(bytes[at::MAGIC] == *MAGIC, WHAT, || "this is not a table")?;
        check_version(WHAT, u32_at(bytes, at::VERSION))?;
        let hash = BlockHash::from(array_at(bytes, at::HASH));
        let chunk_entries = u32_at(bytes, at::CHUNK_ENTRIES);
        let header = Self { chunk_entries, object_bytes, hash, ..Self::new(entry_bytes, entries)? };
        let possible = TABLE_CHUNK_ENTRIES_MIN..=TABLE_CHUNK_ENTRIES_MAX;
        ensure(chunk_entries.is_power_of_two() && possible.contains(&chunk_entries), WHAT, || {
            format!("a chunk cannot have {chunk_entries} entries")
        })?;
        let found = (u32_at(bytes, at::ENTRY_BYTES), u64_at(bytes, at::ENTRIES));
        ensure(found == (entry_bytes, entries), WHAT, || {
            let (bytes, count) = found;
            format!("it has {count} entries of {bytes} bytes, not {entries} of {entry_bytes}")
        })?;
        let chunks = u64_at(bytes, at::CHUNKS);
        ensure(chunks == header.chunks(), WHAT, || {
            format!("it cannot have {chunks} chunks of {chunk_entries} entries")
        })?;
        ensure(header.data_offset_bytes() <= object_bytes, WHAT, || "it is truncated")?;
        Ok(header)
    }

    /// The length of the directory, which follows the header. Fetch this next.
    pub fn directory_bytes(&self) -> u64 {
        self.chunks() * table_chunk::BYTES as u64
    }

    /// The number of entries: one for each block.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The number of entries in every chunk. The last chunk may have fewer.
    pub fn chunk_entries_max(&self) -> u32 {
        self.chunk_entries
    }

    /// The length of an entry.
    pub fn entry_bytes(&self) -> u32 {
        self.entry_bytes
    }

    /// The number of chunks, absent ones included.
    pub fn chunks(&self) -> u64 {
        self.entries.div_ceil(u64::from(self.chunk_entries))
    }

    /// The length of the object.
    pub(super) fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    /// The expected hash of header and directory.
    pub(super) fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Where the first chunk starts.
    pub(super) fn data_offset_bytes(&self) -> u64 {
        at::BYTES as u64 + self.directory_bytes()
    }

    /// The number of entries in `chunk`. The last chunk may have fewer. 0 beyond it.
    pub(super) fn chunk_entries(&self, chunk: u64) -> u32 {
        let before = chunk.saturating_mul(u64::from(self.chunk_entries));
        let left = self.entries.saturating_sub(before);
        u32::try_from(left).map_or(self.chunk_entries, |left| left.min(self.chunk_entries))
    }

    /// The decoded length of `chunk`: at most 4 MiB.
    pub(super) fn chunk_bytes(&self, chunk: u64) -> u32 {
        self.chunk_entries(chunk) * self.entry_bytes
    }

    /// Packs the header, including the hash over its shape and over `directory`.
    pub(super) fn encode(&self, directory: &[u8]) -> [u8; at::BYTES] {
        let mut bytes = self.encode_front();
        bytes[at::HASH].copy_from_slice(self.hash_with(directory).as_bytes());
        bytes
    }

    /// The hash over this shape and the hashes of the decoded chunks. A manifest contains it.
    pub(super) fn root(&self, directory: &[u8]) -> BlockHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.encode_front()[..at::HASH.start]);
        for chunk in directory.chunks_exact(table_chunk::BYTES) {
            hasher.update(&chunk[table_chunk::HASH]);
        }
        BlockHash::from(*hasher.finalize().as_bytes())
    }

    /// The hash over this shape and this directory. It detects damage to either.
    pub(super) fn hash_with(&self, directory: &[u8]) -> BlockHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.encode_front()[..at::HASH.start]);
        hasher.update(directory);
        BlockHash::from(*hasher.finalize().as_bytes())
    }

    fn encode_front(&self) -> [u8; at::BYTES] {
        let mut bytes = [0; at::BYTES];
        bytes[at::MAGIC].copy_from_slice(MAGIC);
        put(&mut bytes, at::VERSION, FORMAT_VERSION);
        put(&mut bytes, at::ENTRY_BYTES, self.entry_bytes);
        put(&mut bytes, at::ENTRIES, self.entries);
        put(&mut bytes, at::CHUNK_ENTRIES, self.chunk_entries);
        put(&mut bytes, at::CHUNKS, self.chunks());
        bytes
    }
}
