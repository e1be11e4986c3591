//! The offset of each chunk of a table, and how to decode a chunk.

use std::ops::Range;

use super::{TableHeader, WHAT};
use crate::codec::Codec;
use crate::error::{Result, damaged, ensure};
use crate::hash::{BlockHash, agrees};
use crate::layout::table_chunk as at;
use crate::layout::{array_at, put, u32_at, u64_at};
use crate::location::check_stored_bytes;
use crate::segment::crc32;

/// The place of one chunk, its codec and its checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) offset_bytes: u64,
    pub(super) stored_bytes: u32,
    pub(super) codec: Codec,
    pub(super) crc32: u32,
    pub(super) hash: BlockHash,
}

impl Chunk {
    pub(super) fn encode(&self) -> [u8; at::BYTES] {
        let mut bytes = [0; at::BYTES];
        put(&mut bytes, at::OFFSET, self.offset_bytes);
        put(&mut bytes, at::STORED_BYTES, self.stored_bytes);
        put(&mut bytes, at::CODEC, u8::from(self.codec));
        put(&mut bytes, at::CRC32, self.crc32);
        bytes[at::HASH].copy_from_slice(self.hash.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Option<Self>> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        Ok(Some(Self {
            offset_bytes: u64_at(bytes, at::OFFSET),
            stored_bytes: u32_at(bytes, at::STORED_BYTES),
            codec: Codec::try_from(bytes[at::CODEC.start])?,
            crc32: u32_at(bytes, at::CRC32),
            hash: BlockHash::from(array_at(bytes, at::HASH)),
        }))
    }

    fn range(&self) -> Range<u64> {
        self.offset_bytes..self.offset_bytes + u64::from(self.stored_bytes)
    }
}

/// A table's checked header and directory. They suffice to read any entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDirectory {
    header: TableHeader,
    chunks: Vec<Option<Chunk>>,
}

impl TableDirectory {
    /// Unpacks the directory, the [`TableHeader::directory_bytes`] that follow the header. First checks that header and
    /// directory have this root. Chunks must follow each other without gaps up to the object's end.
    pub fn decode(header: TableHeader, directory: &[u8], root: BlockHash) -> Result<Self> {
        let whole = directory.len() as u64 == header.directory_bytes();
        ensure(whole, WHAT, || "its directory is truncated")?;
        ensure(
            agrees(header.hash_with(directory), header.hash()),
            WHAT,
            || "header and directory do not match their hash",
        )?;
        ensure(agrees(header.root(directory), root), WHAT, || "it is not the one that its manifest names")?;
        let mut chunks = Vec::with_capacity(directory.len() / at::BYTES);
        let mut end = header.data_offset_bytes();
        for (number, bytes) in (0..).zip(directory.chunks_exact(at::BYTES)) {
            let chunk = Chunk::decode(bytes)?;
            if let Some(chunk) = &chunk {
                let room = header.chunk_bytes(number);
                check_stored_bytes(WHAT, chunk.codec, chunk.stored_bytes, room)?;
                ensure(chunk.offset_bytes == end, WHAT, || {
                    format!("chunk {number} is not where the one before it ends")
                })?;
                end = chunk.range().end;
            }
            chunks.push(chunk);
        }
        ensure(end == header.object_bytes(), WHAT, || {
            format!("it should be {end} bytes long and is {}", header.object_bytes())
        })?;
        Ok(Self { header, chunks })
    }

    /// Unpacks a whole object in memory. For small tables and tests.
    pub fn decode_object(object: &[u8], entry_bytes: u32, entries: u64, root: BlockHash) -> Result<Self> {
        let Some((front, rest)) = object.split_first_chunk() else {
            return damaged(WHAT, "it is truncated");
        };
        let header = TableHeader::decode(front, entry_bytes, entries, object.len() as u64)?;
        let split = usize::try_from(header.directory_bytes()).ok();
        match split.and_then(|at| rest.split_at_checked(at)) {
            Some((directory, _)) => Self::decode(header, directory, root),
            None => damaged(WHAT, "it is truncated"),
        }
    }

    /// The table's shape.
    pub fn header(&self) -> &TableHeader {
        &self.header
    }

    /// The number of chunks, absent ones included.
    pub fn chunks(&self) -> u64 {
        self.header.chunks()
    }

    /// The chunk that holds `entry`.
    pub fn chunk_of(&self, entry: u64) -> u64 {
        entry / u64::from(self.header.chunk_entries_max())
    }

    /// The entries in `chunk`. Empty beyond the last chunk.
    pub fn entries_of(&self, chunk: u64) -> Range<u64> {
        let first = chunk.saturating_mul(u64::from(self.header.chunk_entries_max()));
        first..first.saturating_add(u64::from(self.header.chunk_entries(chunk)))
    }

    /// The decoded length of `chunk` in bytes: at most 4 MiB, 0 beyond the last chunk.
    pub fn chunk_bytes(&self, chunk: u64) -> usize {
        self.header.chunk_bytes(chunk) as usize
    }

    /// The range of `chunk` in the object. `None` if the chunk is absent because all its entries are zero.
    pub fn range(&self, chunk: u64) -> Option<Range<u64>> {
        self.chunk(chunk).map(|chunk| chunk.range())
    }

    /// Decodes the bytes that were read from `range(chunk)`. For an absent chunk, no bytes decode to zeros.
    pub fn decode_chunk(&self, chunk: u64, stored: &[u8]) -> Result<Vec<u8>> {
        let mut entries = vec![0; self.chunk_bytes(chunk)];
        self.decode_chunk_into(chunk, stored, &mut entries)?;
        Ok(entries)
    }

    /// Like [`TableDirectory::decode_chunk`], into memory of exactly [`TableDirectory::chunk_bytes`]. After an error
    /// the bytes there are undefined.
    pub fn decode_chunk_into(&self, number: u64, stored: &[u8], entries: &mut [u8]) -> Result<()> {
        let fail = |why: &str| damaged(WHAT, format!("chunk {number}: {why}"));
        if entries.len() != self.chunk_bytes(number) {
            return fail("the buffer for it has the wrong length");
        }
        let Some(chunk) = self.chunk(number) else {
            entries.fill(0);
            return if stored.is_empty() { Ok(()) } else { fail("it is absent") };
        };
        if stored.len() != chunk.stored_bytes as usize {
            return fail("it is truncated");
        }
        if !agrees(crc32(stored), chunk.crc32) {
            return fail("the stored bytes do not match their CRC-32");
        }
        if let Err(error) = chunk.codec.decode(stored, entries) {
            return fail(&error.to_string());
        }
        if !agrees(BlockHash::of(entries), chunk.hash) {
            return fail("it does not match its hash");
        }
        Ok(())
    }

    fn chunk(&self, number: u64) -> Option<&Chunk> {
        self.chunks.get(usize::try_from(number).ok()?)?.as_ref()
    }
}
