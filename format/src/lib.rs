//! The objects of a Septet repository, byte for byte. This crate does no I/O. It encodes values as bytes, and decodes
//! bytes, which may be damaged or hostile, into checked values.
//!
//! Four types describe a backup. A [`Manifest`] makes the backup exist and names everything that it needs. A
//! [`Tombstone`] in its place says that the backup does not exist. The *checksums* (a table of [`BlockHash`]es) give
//! the hash of each block. The *map* (a table of [`Location`]s) gives the location of each block. Each segment's
//! [`SegmentIndex`] lists the blocks in that segment, so that a lost map can be rebuilt. [`keys`] defines the key of
//! each object.
//!
//! FORMAT.md describes every byte. `tests/document.rs` compares it with [`layout`].

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
