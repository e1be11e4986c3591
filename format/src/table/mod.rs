//! `checksums` and `map`: one small entry for each block, packed in chunks.
//!
//! A table consists of a header, a directory of chunks, and the chunks. A manifest names a table by its *root*, the
//! hash over its shape and the hashes of its decoded chunks. So the root proves header and directory, and the directory
//! proves each chunk when it is read. A chunk of zeros is absent, so the holes of a sparse volume take no space. Every
//! other chunk is LZ4, or raw if LZ4 is not shorter. To restore a part of a volume, a reader fetches the header, the
//! directory and a few chunks by ranged GET. A whole table never needs to be decoded in memory. The same entries give
//! the same bytes.

mod directory;
mod encode;
mod header;

pub use directory::TableDirectory;
pub use encode::{EncodedTable, PackedChunk, TableEncoder, TableFront, encode_table};
pub use header::TableHeader;

/// The length of a table's header. Fetch this first.
pub const TABLE_HEADER_BYTES: usize = crate::layout::table_header::BYTES;
/// The number of entries in a chunk of a table that we write. The last chunk may have fewer.
pub const TABLE_CHUNK_ENTRIES: u32 = 16384;
/// The fewest entries in a chunk that readers accept.
pub const TABLE_CHUNK_ENTRIES_MIN: u32 = 256;
/// The most entries in a chunk that readers accept.
pub const TABLE_CHUNK_ENTRIES_MAX: u32 = 65536;
/// The length of an entry of `checksums`: a [`crate::BlockHash`].
pub const CHECKSUM_ENTRY_BYTES: u32 = 32;
/// The length of an entry of `map`: a packed [`crate::Location`].
pub const MAP_ENTRY_BYTES: u32 = 12;
/// The longest entry of a table. It bounds a decoded chunk to 4 MiB, and a chunk that we write to 1 MiB.
const ENTRY_BYTES_MAX: u32 = 64;

const WHAT: &str = "table";

#[cfg(test)]
mod tests;
