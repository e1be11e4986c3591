//! Tests that tables round-trip through bytes, and that every kind of error in one is noticed.

use proptest::prelude::*;

use super::*;
use crate::layout::{put, table_chunk, table_header};
use crate::{BLOCKS_MAX, BlockHash, FormatError, TableRef};

const CHUNK: u64 = TABLE_CHUNK_ENTRIES as u64;

/// Packs entries that are in memory.
fn pack(entry_bytes: u32, all: &[u8]) -> EncodedTable {
    let entries = (all.len() / entry_bytes as usize) as u64;
    let read = |first: u64, memory: &mut [u8]| {
        let start = usize::try_from(first).unwrap() * entry_bytes as usize;
        memory.copy_from_slice(&all[start..start + memory.len()]);
        Ok(())
    };
    encode_table(entry_bytes, entries, read).unwrap()
}

/// Unpacks all entries, chunk by chunk.
fn unpack(object: &[u8], root: BlockHash, entry_bytes: u32, entries: u64) -> crate::Result<Vec<u8>> {
    let directory = TableDirectory::decode_object(object, entry_bytes, entries, root)?;
    let mut all = Vec::new();
    for chunk in 0..directory.chunks() {
        let range = directory.range(chunk).unwrap_or(0..0);
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        all.extend(directory.decode_chunk(chunk, &object[range])?);
    }
    Ok(all)
}

/// Some entries of random bytes in a table of zeros: (entry, seed).
fn sparse(entry_bytes: u32, entries: u64, filled: &[(u64, u8)]) -> Vec<u8> {
    let size = entry_bytes as usize;
    let mut all = vec![0; usize::try_from(entries).unwrap() * size];
    for (entry, seed) in filled {
        let at = usize::try_from(entry % entries).unwrap() * size;
        all[at..at + size].copy_from_slice(&blake3::hash(&[*seed]).as_bytes()[..size]);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_table_round_trips(
        entry_bytes in prop::sample::select(vec![MAP_ENTRY_BYTES, CHECKSUM_ENTRY_BYTES]),
        entries in 1u64..4 * CHUNK,
        filled in prop::collection::vec((any::<u64>(), any::<u8>()), 0..40),
    ) {
        let all = sparse(entry_bytes, entries, &filled);
        let table = pack(entry_bytes, &all);
        prop_assert_eq!(&pack(entry_bytes, &all), &table);
        prop_assert!(unpack(&table.object, table.root, entry_bytes, entries).unwrap() == all);
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), good_magic: bool) {
        let mut bytes = bytes;
        if good_magic && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(b"SEPTETTB");
        }
        prop_assert!(unpack(&bytes, BlockHash::ZERO, 12, 1000).unwrap_err().to_string().starts_with("table"));
    }
}

#[test]
fn chunks_of_zeros_are_absent_and_full_ones_are_raw() {
    let mut all = sparse(32, 3 * CHUNK + 1, &[(3 * CHUNK, 0)]);
    for (n, entry) in all.chunks_mut(32).enumerate() {
        if n as u64 / CHUNK == 1 {
            entry.copy_from_slice(blake3::hash(&n.to_le_bytes()).as_bytes());
        }
    }
    let EncodedTable { object, root } = pack(32, &all);
    let directory = TableDirectory::decode_object(&object, 32, 3 * CHUNK + 1, root).unwrap();
    assert_eq!((directory.chunks(), directory.range(0), directory.range(2)), (4, None, None));
    let raw = directory.range(1).unwrap();
    assert_eq!(raw, 64 + 4 * 48..64 + 4 * 48 + CHUNK * 32);
    assert_eq!(directory.range(3).unwrap().start, raw.end);
    assert_eq!((directory.entries_of(3), directory.chunk_bytes(3)), (3 * CHUNK..3 * CHUNK + 1, 32));
    assert_eq!((directory.range(4), directory.chunk_bytes(4)), (None, 0));
    assert_eq!((directory.chunk_of(CHUNK - 1), directory.chunk_of(CHUNK)), (0, 1));
    assert!(unpack(&object, root, 32, 3 * CHUNK + 1).unwrap() == all);
}

#[test]
fn an_empty_table_is_a_header_and_a_terabyte_of_holes_is_a_directory() {
    let EncodedTable { object, root } = pack(12, &[]);
    assert_eq!(object.len(), TABLE_HEADER_BYTES);
    assert!(unpack(&object, root, 12, 0).unwrap().is_empty());
    let EncodedTable { object, .. } = encode_table(12, 1 << 20, |_, _| Ok(())).unwrap();
    assert_eq!(object.len(), 64 + 64 * 48);
}

#[test]
fn every_flipped_byte_and_truncation_is_found() {
    let all = sparse(12, 40, &[(3, 1), (4, 2), (39, 3)]);
    let EncodedTable { object, root } = pack(12, &all);
    assert!(object.len() < 64 + 48 + all.len(), "not compressed");
    for at in 0..object.len() {
        for bit in 0..8 {
            let mut flipped = object.clone();
            flipped[at] ^= 1 << bit;
            assert!(unpack(&flipped, root, 12, 40).is_err(), "byte {at} bit {bit}");
        }
        assert!(unpack(&object[..at], root, 12, 40).unwrap_err().is_damage(), "{at} bytes");
    }
    assert!(unpack(&[&object[..], &[0]].concat(), root, 12, 40).unwrap_err().is_damage());
}

#[test]
fn the_reader_says_what_it_expects_and_the_object_cannot_change_it() {
    let EncodedTable { object, root } = pack(12, &sparse(12, 40, &[(3, 1)]));
    for (entry_bytes, entries) in [(32, 40), (12, 41), (12, 39), (12, BLOCKS_MAX)] {
        assert!(unpack(&object, root, entry_bytes, entries).unwrap_err().is_damage());
    }
    let front: [u8; 64] = *object.first_chunk().unwrap();
    let forge = |field, value: u64| {
        let mut front = front;
        put(&mut front, field, value);
        TableHeader::decode(&front, 12, 40, object.len() as u64).unwrap_err()
    };
    assert!(forge(table_header::ENTRIES, u64::MAX).is_damage());
    assert!(forge(table_header::CHUNKS, u64::from(u32::MAX)).is_damage());
    for chunk_entries in [0, 1, 128, 16385, 1 << 17, u64::from(u32::MAX)] {
        assert!(forge(table_header::CHUNK_ENTRIES, chunk_entries).is_damage(), "{chunk_entries}");
    }
    let newer = forge(table_header::VERSION, 2);
    assert!(matches!(newer, FormatError::NewerVersion { found: 2, .. }));
}

#[test]
fn a_directory_longer_than_its_object_is_refused_before_anybody_allocates_for_it() {
    let front = TableHeader::new(12, BLOCKS_MAX).unwrap().encode(&[]);
    let decode = |object_bytes| TableHeader::decode(&front, 12, BLOCKS_MAX, object_bytes);
    let least = 64 + BLOCKS_MAX / CHUNK * 48;
    assert!(decode(4096).unwrap_err().is_damage() && decode(least - 1).unwrap_err().is_damage());
    let header = decode(least).unwrap();
    assert_eq!(header.directory_bytes(), least - 64);
    assert!(TableDirectory::decode(header, &[0; 48], BlockHash::ZERO).unwrap_err().is_damage());
}

#[test]
fn a_hostile_directory_is_refused_though_its_hash_is_right() {
    let all = sparse(12, 40, &[(3, 1)]);
    let EncodedTable { object, .. } = pack(12, &all);
    let forge = |at: std::ops::Range<usize>, value: u64| {
        let mut directory = object[64..112].to_vec();
        put(&mut directory, at, value);
        let front = TableHeader::new(12, 40).unwrap().encode(&directory);
        let header = TableHeader::decode(&front, 12, 40, object.len() as u64).unwrap();
        TableDirectory::decode(header, &directory, header.root(&directory)).unwrap_err()
    };
    let refused = |text: &str, at, value| {
        let error = forge(at, value);
        assert!(error.is_damage() && error.to_string().contains(text), "{error}");
    };
    refused("not where", table_chunk::OFFSET, 0);
    refused("not where", table_chunk::OFFSET, u64::MAX);
    refused("cannot decode to", table_chunk::STORED_BYTES, 481);
    refused("cannot decode to", table_chunk::STORED_BYTES, 0);
    refused("should be", table_chunk::STORED_BYTES, 20);
    refused("cannot decode to", table_chunk::CODEC, 0);
    for (codec, said) in [(9, "codec 9 "), (2, "zstd"), (0x81, "encrypted")] {
        let error = forge(table_chunk::CODEC, codec);
        assert!(!error.is_damage() && error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_table_is_the_one_that_its_manifest_names_or_damaged() {
    let one = pack(12, &sparse(12, 40, &[(3, 1)]));
    let other = pack(12, &sparse(12, 40, &[(3, 2)]));
    assert!(unpack(&one.object, one.root, 12, 40).is_ok());
    let error = unpack(&one.object, other.root, 12, 40).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("its manifest names"), "{error}");
    assert_eq!(one.reference(7), TableRef { generation: 7, bytes: one.object.len() as u64, root: one.root });
}

#[test]
fn how_the_entries_are_packed_is_not_part_of_the_root() {
    let all = sparse(12, 40, &[(3, 1), (9, 2)]);
    let EncodedTable { object, root } = pack(12, &all);
    // The same table with a raw chunk.
    let mut directory = object[64..112].to_vec();
    put(&mut directory, table_chunk::STORED_BYTES, all.len() as u64);
    put(&mut directory, table_chunk::CODEC, 0u32);
    put(&mut directory, table_chunk::CRC32, crate::crc32(&all));
    let front = TableHeader::new(12, 40).unwrap().encode(&directory);
    let raw = [&front[..], &directory, &all].concat();
    assert_ne!(raw, object);
    assert_eq!(unpack(&raw, root, 12, 40).unwrap(), all);
}

#[test]
fn chunks_of_other_lengths_are_read() {
    for chunk_entries in [TABLE_CHUNK_ENTRIES_MIN, 1024, TABLE_CHUNK_ENTRIES_MAX] {
        let entries = 70_000;
        let all = sparse(12, entries, &[(3, 1), (1500, 2), (65_537, 3), (69_999, 4)]);
        let EncodedTable { object, root } =
            encode::encode(TableEncoder::in_chunks(chunk_entries, 12, entries).unwrap(), |first, memory| {
                let start = usize::try_from(first).unwrap() * 12;
                memory.copy_from_slice(&all[start..start + memory.len()]);
                Ok(())
            })
            .unwrap();
        let directory = TableDirectory::decode_object(&object, 12, entries, root).unwrap();
        assert_eq!(directory.chunks(), entries.div_ceil(u64::from(chunk_entries)));
        assert!(unpack(&object, root, 12, entries).unwrap() == all);
    }
}

#[test]
fn a_bomb_fills_no_more_than_a_chunk() {
    let bomb = lz4_flex::block::compress(&vec![0; 16 << 20]);
    let EncodedTable { object, root } = pack(12, &sparse(12, 40, &[(3, 1)]));
    let table = TableDirectory::decode_object(&object, 12, 40, root).unwrap();
    let mut entries = vec![7; 12 * 40];
    assert!(table.decode_chunk_into(0, &bomb, &mut entries).unwrap_err().is_damage());
    assert_eq!(entries.len(), 12 * 40);
}

#[test]
fn a_table_too_large_is_refused_and_a_failed_read_is_passed_on() {
    for (entry_bytes, entries) in [(0, 1), (65, 1), (12, BLOCKS_MAX + 1)] {
        let refused = encode_table(entry_bytes, entries, |_, _| Ok(())).unwrap_err();
        assert!(matches!(refused, FormatError::InvalidGeometry { .. }));
    }
    let failed = encode_table(12, 1, |_, _| Err(std::io::Error::other("gone"))).unwrap_err();
    assert_eq!(failed.to_string(), "cannot read the entries to be packed: gone");
}
