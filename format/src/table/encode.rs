//! Packs a table, holding only its compressed form and one chunk.

use std::io;

use super::directory::Chunk;
use super::{TABLE_CHUNK_ENTRIES, TableHeader};
use crate::codec::Codec;
use crate::error::Result;
use crate::hash::BlockHash;
use crate::layout::{table_chunk, table_header};
use crate::manifest::TableRef;
use crate::segment::crc32;

/// A table object, and what a manifest says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedTable {
    /// The object.
    pub object: Vec<u8>,
    /// Its root.
    pub root: BlockHash,
}

impl EncodedTable {
    /// What a manifest says of it, if it is put under the key of this generation.
    pub fn reference(&self, generation: u32) -> TableRef {
        TableRef { generation, bytes: self.object.len() as u64, root: self.root }
    }
}

/// Packs `entries` entries of `entry_bytes` each into a table object.
///
/// `read(first, memory)` is called once for each chunk, in order, and fills `memory`, which comes
/// zeroed, with the entries from `first` on. The compressed object is in memory as a whole: 44 MiB for
/// both tables of 1 TiB at worst.
pub fn encode_table(
    entry_bytes: u32,
    entries: u64,
    read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> Result<EncodedTable> {
    encode_in_chunks(TABLE_CHUNK_ENTRIES, entry_bytes, entries, read)
}

/// The same in chunks of so many entries.
#[expect(clippy::cast_possible_truncation, reason = "BLOCKS_MAX bounds the directory to 12 MiB")]
pub(super) fn encode_in_chunks(
    chunk_entries: u32,
    entry_bytes: u32,
    entries: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> Result<EncodedTable> {
    let header = TableHeader::new(entry_bytes, entries)?.in_chunks(chunk_entries);
    let mut object = vec![0; header.data_offset_bytes() as usize];
    let mut memory = vec![0; header.chunk_bytes(0) as usize];
    let mut scratch = vec![0; lz4_flex::block::get_maximum_output_size(memory.len())];
    let mut directory_at = table_header::BYTES;
    for number in 0..header.chunks() {
        let memory = &mut memory[..header.chunk_bytes(number) as usize];
        memory.fill(0);
        read(number * u64::from(chunk_entries), memory)?;
        if !is_zero(memory) {
            let chunk = append(&mut object, memory, &mut scratch);
            object[directory_at..][..table_chunk::BYTES].copy_from_slice(&chunk.encode());
        }
        directory_at += table_chunk::BYTES;
    }
    let directory = &object[table_header::BYTES..directory_at];
    let (front, root) = (header.encode(directory), header.root(directory));
    object[..table_header::BYTES].copy_from_slice(&front);
    Ok(EncodedTable { object, root })
}

/// Appends one chunk to the object, in the shorter of its two forms.
#[expect(clippy::cast_possible_truncation, reason = "a decoded chunk is 1 MiB at most")]
fn append(object: &mut Vec<u8>, entries: &[u8], scratch: &mut [u8]) -> Chunk {
    let (codec, stored) = match lz4_flex::block::compress_into(entries, scratch) {
        Ok(bytes) if bytes < entries.len() => (Codec::Lz4, &scratch[..bytes]),
        _ => (Codec::Raw, entries),
    };
    let chunk = Chunk {
        offset_bytes: object.len() as u64,
        stored_bytes: stored.len() as u32,
        codec,
        crc32: crc32(stored),
        hash: BlockHash::of(entries),
    };
    object.extend_from_slice(stored);
    chunk
}

/// Sixty-four bytes at a time, which the compiler turns into wide instructions.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|some| some.iter().fold(0, |all, byte| all | byte) == 0)
}
