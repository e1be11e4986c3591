//! Packs a table chunk by chunk. Storing a table needs only its directory and a few chunks in memory.

use std::io;
use std::ops::Range;

use super::directory::Chunk;
use super::{TABLE_CHUNK_ENTRIES, TableHeader};
use crate::codec::Codec;
use crate::error::Result;
use crate::hash::BlockHash;
use crate::layout::table_chunk;
use crate::manifest::TableRef;
use crate::segment::crc32;

/// A packed chunk, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedChunk {
    stored: Vec<u8>,
    codec: Codec,
    crc32: u32,
    hash: BlockHash,
}

impl PackedChunk {
    /// Packs the entries of one chunk. `None` if all are zero, because such a chunk is not stored.
    pub fn pack(entries: &[u8]) -> Option<Self> {
        if is_zero(entries) {
            return None;
        }
        let mut stored = vec![0; lz4_flex::block::get_maximum_output_size(entries.len())];
        let codec = match lz4_flex::block::compress_into(entries, &mut stored) {
            Ok(bytes) if bytes < entries.len() => {
                stored.truncate(bytes);
                Codec::Lz4
            }
            _ => {
                stored.clear();
                stored.extend_from_slice(entries);
                Codec::Raw
            }
        };
        Some(Self { crc32: crc32(&stored), hash: BlockHash::of(entries), stored, codec })
    }

    /// The stored bytes.
    pub fn stored(&self) -> &[u8] {
        &self.stored
    }
}

/// A table that is being packed. The stored bytes of its chunks follow each other from
/// [`data_offset_bytes`](Self::data_offset_bytes) on. The bytes before them are known only at the end.
#[derive(Clone, Debug)]
pub struct TableEncoder {
    header: TableHeader,
    directory: Vec<u8>,
    end_bytes: u64,
}

/// The part of a table that is known only when all its chunks are packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFront {
    /// Header and directory: the object's first bytes.
    pub front: Vec<u8>,
    /// The object's length.
    pub bytes: u64,
    /// The hash over the shape and the hashes of the decoded chunks.
    pub root: BlockHash,
}

impl TableEncoder {
    /// Begins a table.
    ///
    /// # Errors
    /// `InvalidGeometry` if `entry_bytes` or `entries` is out of bounds.
    pub fn new(entry_bytes: u32, entries: u64) -> Result<Self> {
        Self::in_chunks(TABLE_CHUNK_ENTRIES, entry_bytes, entries)
    }

    #[expect(clippy::cast_possible_truncation, reason = "BLOCKS_MAX bounds the directory to 12 MiB")]
    pub(super) fn in_chunks(chunk_entries: u32, entry_bytes: u32, entries: u64) -> Result<Self> {
        let header = TableHeader::new(entry_bytes, entries)?.in_chunks(chunk_entries);
        let directory = Vec::with_capacity(header.directory_bytes() as usize);
        Ok(Self { end_bytes: header.data_offset_bytes(), header, directory })
    }

    /// How many chunks the table has.
    pub fn chunks(&self) -> u64 {
        self.header.chunks()
    }

    /// The entries of a chunk.
    pub fn entries_of(&self, chunk: u64) -> Range<u64> {
        let first = chunk * u64::from(self.header.chunk_entries_max());
        first..first + u64::from(self.header.chunk_entries(chunk))
    }

    /// The length of a chunk's entries.
    pub fn chunk_bytes(&self, chunk: u64) -> usize {
        self.header.chunk_bytes(chunk) as usize
    }

    /// Where the first chunk's stored bytes begin.
    pub fn data_offset_bytes(&self) -> u64 {
        self.header.data_offset_bytes()
    }

    /// Adds the next chunk. Its stored bytes follow those of the previous chunk.
    ///
    /// # Panics
    /// If the table already has all its chunks.
    #[expect(clippy::cast_possible_truncation, reason = "a decoded chunk is 1 MiB at most")]
    pub fn push(&mut self, chunk: Option<&PackedChunk>) {
        assert!((self.directory.len() as u64) < self.header.directory_bytes(), "a chunk beyond the table's end");
        let Some(PackedChunk { stored, codec, crc32, hash }) = chunk else {
            self.directory.extend_from_slice(&[0; table_chunk::BYTES]);
            return;
        };
        let stored_bytes = stored.len() as u32;
        let (offset_bytes, codec, crc32, hash) = (self.end_bytes, *codec, *crc32, *hash);
        self.directory.extend_from_slice(&Chunk { offset_bytes, stored_bytes, codec, crc32, hash }.encode());
        self.end_bytes += u64::from(stored_bytes);
    }

    /// Ends the table.
    ///
    /// # Panics
    /// If a chunk is missing.
    pub fn finish(self) -> TableFront {
        assert!(self.directory.len() as u64 == self.header.directory_bytes(), "a table without all of its chunks");
        let mut front = self.header.encode(&self.directory).to_vec();
        front.extend_from_slice(&self.directory);
        TableFront { front, bytes: self.end_bytes, root: self.header.root(&self.directory) }
    }
}

/// A packed table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedTable {
    /// The object's bytes.
    pub object: Vec<u8>,
    /// The hash over the table's shape and the hashes of its decoded chunks. The manifest contains it.
    pub root: BlockHash,
}

impl EncodedTable {
    /// A manifest's reference to the table, written for this generation.
    pub fn reference(&self, generation: u32) -> TableRef {
        TableRef { generation, bytes: self.object.len() as u64, root: self.root }
    }
}

/// Packs a table of `entries` entries in memory. Returns the whole object and its root.
///
/// `read` is called once for each chunk, in order, with the number of the chunk's first entry. It fills the given
/// memory, which contains zeros at first.
///
/// # Errors
/// `InvalidGeometry` if `entry_bytes` or `entries` is out of bounds, and any error of `read`.
pub fn encode_table(
    entry_bytes: u32,
    entries: u64,
    read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> Result<EncodedTable> {
    encode(TableEncoder::new(entry_bytes, entries)?, read)
}

pub(super) fn encode(
    mut encoder: TableEncoder,
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> Result<EncodedTable> {
    let mut chunks = Vec::new();
    let mut memory = vec![0; encoder.chunk_bytes(0)];
    for number in 0..encoder.chunks() {
        let memory = &mut memory[..encoder.chunk_bytes(number)];
        memory.fill(0);
        read(encoder.entries_of(number).start, memory)?;
        let chunk = PackedChunk::pack(memory);
        encoder.push(chunk.as_ref());
        chunks.extend(chunk.into_iter().flat_map(|chunk| chunk.stored));
    }
    let TableFront { front: mut object, root, .. } = encoder.finish();
    object.append(&mut chunks);
    Ok(EncodedTable { object, root })
}

fn is_zero(bytes: &[u8]) -> bool {
    // No branch for each byte, so that the compiler can vectorize the loop.
    bytes.chunks(64).all(|some| some.iter().fold(0, |all, byte| all | byte) == 0)
}
