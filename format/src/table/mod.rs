//! `checksums` and `map`: one small entry for each block, packed in chunks.
//!
//! A header, a directory of chunks, then the chunks. A manifest names a table by its *root*, the hash over its
//! shape and the hashes of its decoded chunks: so header and directory prove themselves, and each chunk is
//! proven when it is read. A chunk of zeros is absent, so what a sparse
//! volume does not hold costs nothing; every other one is LZ4, or raw where that is no shorter.
//! A part of a volume is restored from the header, the directory and a few chunks by ranged GET;
//! nobody ever needs a whole table decoded in memory. The same entries give the same bytes.

mod directory;
mod encode;
mod header;

pub use directory::TableDirectory;
pub use encode::{EncodedTable, PackedChunk, TableEncoder, TableFront, encode_table};
pub use header::TableHeader;

/// The length of a table's header: what to fetch first.
pub const TABLE_HEADER_BYTES: usize = crate::layout::table_header::BYTES;
/// How many entries a chunk of a table that we write has; the last may have fewer.
pub const TABLE_CHUNK_ENTRIES: u32 = 16384;
/// Readers accept chunks of at least so many entries.
pub const TABLE_CHUNK_ENTRIES_MIN: u32 = 256;
/// Readers accept chunks of at most so many entries.
pub const TABLE_CHUNK_ENTRIES_MAX: u32 = 65536;
/// The length of an entry of `checksums`: a [`crate::BlockHash`].
pub const CHECKSUM_ENTRY_BYTES: u32 = 32;
/// The length of an entry of `map`: a packed [`crate::Location`].
pub const MAP_ENTRY_BYTES: u32 = 12;
/// The longest entry that a table takes: it bounds a decoded chunk to 4 MiB, and one that we write to 1 MiB.
const ENTRY_BYTES_MAX: u32 = 64;

const WHAT: &str = "table";

#[cfg(test)]
mod tests;
