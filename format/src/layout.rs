//! The offset of each field of each packed structure. They are defined only here.
//!
//! Encoders and decoders index with these ranges. `tests/document.rs` compares FORMAT.md's tables with the same ranges.
//! So the three cannot drift apart. All numbers are little-endian.

use std::ops::Range;

/// A packed structure, as in FORMAT.md's tables.
#[derive(Debug)]
pub struct Layout {
    /// Its title in FORMAT.md.
    pub title: &'static str,
    /// Its length in bytes.
    pub bytes: usize,
    /// Its fields, in order, without gaps.
    pub fields: &'static [(&'static str, Range<usize>)],
}

macro_rules! layout {
    ($(#[$doc:meta])* $module:ident, $title:literal, $bytes:literal {
        $($field:ident = $range:expr,)*
    }) => {
        $(#[$doc])*
        pub mod $module {
            use std::ops::Range;

            /// The length of the whole structure.
            pub const BYTES: usize = $bytes;
            $(
                #[doc = concat!("Where the field `", stringify!($field), "` lies.")]
                pub const $field: Range<usize> = $range;
            )*
            /// The structure, as in FORMAT.md's table.
            pub const LAYOUT: super::Layout = super::Layout {
                title: $title,
                bytes: BYTES,
                fields: &[$((stringify!($field), $range)),*],
            };
        }
    };
}

layout! {
    /// An entry of `map`.
    map_entry, "Map entry", 12 {
        SEGMENT = 0..4,
        OFFSET = 4..8,
        STORED_BYTES = 8..11,
        CODEC = 11..12,
    }
}

layout! {
    /// The header of a segment's index.
    index_header, "Segment index header", 320 {
        MAGIC = 0..8,
        VERSION = 8..12,
        NUMBER = 12..16,
        REPOSITORY = 16..32,
        VOLUME_BYTES = 32..40,
        BLOCK_BYTES = 40..44,
        ENTRIES = 44..48,
        VOLUME_LENGTH = 48..49,
        BACKUP_LENGTH = 49..50,
        ENTRY_BYTES = 50..54,
        RESERVED = 54..64,
        VOLUME = 64..192,
        BACKUP = 192..320,
    }
}

layout! {
    /// An entry of a segment's index.
    index_entry, "Segment index entry", 56 {
        BLOCK = 0..8,
        HASH = 8..40,
        OFFSET = 40..44,
        STORED_BYTES = 44..47,
        CODEC = 47..48,
        CRC32 = 48..52,
        CONTENT_BYTES = 52..56,
    }
}

layout! {
    /// The last bytes of a segment.
    footer, "Segment footer", 64 {
        MAGIC = 0..8,
        INDEX_OFFSET = 8..16,
        INDEX_BYTES = 16..24,
        VERSION = 24..28,
        RESERVED = 28..32,
        INDEX_HASH = 32..64,
    }
}

layout! {
    /// The header of a table.
    table_header, "Table header", 64 {
        MAGIC = 0..8,
        VERSION = 8..12,
        ENTRY_BYTES = 12..16,
        ENTRIES = 16..24,
        CHUNK_ENTRIES = 24..28,
        CHUNKS = 28..32,
        HASH = 32..64,
    }
}

layout! {
    /// An entry of a table's chunk directory.
    table_chunk, "Table directory entry", 48 {
        OFFSET = 0..8,
        STORED_BYTES = 8..11,
        CODEC = 11..12,
        CRC32 = 12..16,
        HASH = 16..48,
    }
}

/// Every packed structure.
pub const ALL: [&Layout; 6] = [
    &map_entry::LAYOUT,
    &index_header::LAYOUT,
    &index_entry::LAYOUT,
    &footer::LAYOUT,
    &table_header::LAYOUT,
    &table_chunk::LAYOUT,
];

/// The unit of `offset` fields, in bytes.
pub(crate) const OFFSET_UNIT_BYTES: u64 = 512;

/// The little-endian number of at most four bytes at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: Range<usize>) -> u32 {
    let mut word = [0; 4];
    word[..at.len()].copy_from_slice(&bytes[at]);
    u32::from_le_bytes(word)
}

/// The little-endian number of at most eight bytes at `at`.
pub(crate) fn u64_at(bytes: &[u8], at: Range<usize>) -> u64 {
    let mut word = [0; 8];
    word[..at.len()].copy_from_slice(&bytes[at]);
    u64::from_le_bytes(word)
}

/// The sixteen or thirty-two bytes at `at`.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: Range<usize>) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at]);
    array
}

/// Writes `value` as the little-endian number at `at`. Panics if it does not fit: a truncated number would name the
/// wrong place for data.
pub(crate) fn put(bytes: &mut [u8], at: Range<usize>, value: impl Into<u64>) {
    let value = value.into().to_le_bytes();
    let (kept, cut) = value.split_at(at.len());
    assert!(cut.iter().all(|byte| *byte == 0), "number too large for {at:?}");
    bytes[at].copy_from_slice(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_fill_their_structures_without_gaps() {
        for layout in ALL {
            let mut end = 0;
            for (field, range) in layout.fields {
                assert_eq!(range.start, end, "{}: {field}", layout.title);
                end = range.end;
            }
            assert_eq!(end, layout.bytes, "{}", layout.title);
        }
    }

    #[test]
    fn numbers_of_any_width_round_trip() {
        let mut bytes = [0xff; 11];
        put(&mut bytes, 0..3, 0x01_02_03u32);
        put(&mut bytes, 3..11, u64::MAX - 1);
        assert_eq!(bytes[..3], [3, 2, 1]);
        assert_eq!(u32_at(&bytes, 0..3), 0x01_02_03);
        assert_eq!(u64_at(&bytes, 3..11), u64::MAX - 1);
    }

    #[test]
    #[should_panic(expected = "number too large for 0..3")]
    fn a_number_is_never_cut_short() {
        put(&mut [0; 3], 0..3, 1u32 << 24);
    }
}
