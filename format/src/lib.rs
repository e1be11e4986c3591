//! What lies in a Septet repository, byte for byte. No I/O: everything here turns values into
//! bytes and bytes, which may be damaged or hostile, back into checked values.
//!
//! Four types carry a backup. A [`Manifest`] says that it exists and names everything it needs; a
//! [`Tombstone`] in its place says that it does not.
//! Its *checksums* (a table of [`BlockHash`]es) say what each block must be; its *map* (a table of
//! [`Location`]s) says where each block lies; and each segment's [`SegmentIndex`] says the same
//! the other way round, so that a lost map can be rebuilt. [`keys`] says what each object is called.
//!
//! FORMAT.md describes every byte for people; `tests/document.rs` holds it against [`layout`].

mod codec;
mod error;
pub mod features;
mod geometry;
mod hash;
mod ids;
mod json;
pub mod keys;
pub mod layout;
mod location;
mod manifest;
mod origin;
mod pending;
mod repository;
mod segment;
mod table;
mod tracking;

pub use codec::Codec;
pub use error::{FormatError, Result};
pub use features::Features;
pub use geometry::{
    BLOCK_BYTES_DEFAULT, BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, BLOCK_BYTES_READ_MAX, BLOCK_BYTES_READ_MIN, BLOCKS_MAX,
    Geometry,
};
pub use hash::BlockHash;
pub use ids::{BackupId, NAME_BYTES_MAX, SegmentId, VolumeName};
pub use json::JSON_BYTES_MAX;
pub use keys::Key;
pub use location::Location;
pub use manifest::{
    BackupRef, BlockCounts, MANIFEST_BYTES_MAX, Manifest, Record, SegmentRef, SourceBackup, TableRef, Tombstone,
    TombstoneReason,
};
pub use origin::{Machine, Process, Source};
pub use pending::Pending;
pub use repository::RepositoryInfo;
pub use segment::{
    FOOTER_BYTES, Footer, IndexEntry, READ_ALIGN, SEGMENT_BYTES_MAX, STORE_ALIGN, SegmentIndex, crc32, padded,
};
pub use table::{
    CHECKSUM_ENTRY_BYTES, EncodedTable, MAP_ENTRY_BYTES, PackedChunk, TABLE_CHUNK_ENTRIES, TABLE_CHUNK_ENTRIES_MAX,
    TABLE_CHUNK_ENTRIES_MIN, TABLE_HEADER_BYTES, TableDirectory, TableEncoder, TableFront, TableHeader, encode_table,
};
pub use tracking::Tracking;

/// The format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
