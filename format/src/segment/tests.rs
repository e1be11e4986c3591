//! Tests that segment indexes and footers round-trip through bytes, and that every kind of error is noticed.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::layout::{footer, index_entry, index_header, put};
use crate::{BlockHash, Codec, FormatError, Geometry};

/// An index of blocks with the given stored lengths, one after the other, and the offset where they end.
fn index_of(stored: &[u32]) -> (SegmentIndex, u64) {
    let mut end = 0;
    let entry = |(block, stored_bytes): (u64, &u32)| {
        let offset_bytes = end;
        end += padded(*stored_bytes);
        let codec = if *stored_bytes == 1 << 16 { Codec::Raw } else { Codec::Lz4 };
        let hash = BlockHash::of(&block.to_le_bytes());
        IndexEntry {
            block,
            hash,
            offset_bytes,
            stored_bytes: *stored_bytes,
            codec,
            crc32: if codec == Codec::Raw { 0 } else { 7 },
        }
    };
    let entries = (0..).zip(stored).map(entry).collect();
    let index = SegmentIndex {
        repository: Uuid::from_u128(0x1234),
        volume: "vol".parse().unwrap(),
        backup: "b-1".parse().unwrap(),
        number: 3,
        geometry: Geometry::new(1 << 40, 1 << 16).unwrap(),
        align_bytes: STORE_ALIGN,
        entries,
    };
    (index, end)
}

/// Reads a segment's tail in the two steps of a ranged GET.
fn decode(tail: &[u8], object_bytes: u64) -> crate::Result<SegmentIndex> {
    let footer = Footer::decode(tail.last_chunk().unwrap(), object_bytes)?;
    let index_bytes = usize::try_from(footer.index_bytes).unwrap();
    SegmentIndex::decode(&tail[..index_bytes], &footer)
}

/// Packs an index without the asserts and with a correct hash, as a hostile writer could.
fn forge(change: impl FnOnce(&mut [u8])) -> FormatError {
    let (index, end) = index_of(&[100, 1 << 16, 5000]);
    let (tail, _) = index.encode(end);
    let object_bytes = end + tail.len() as u64;
    let mut footer = Footer::decode(tail.last_chunk().unwrap(), object_bytes).unwrap();
    let mut bytes = tail[..usize::try_from(footer.index_bytes).unwrap()].to_vec();
    change(&mut bytes);
    footer.hash = BlockHash::of(&bytes);
    SegmentIndex::decode(&bytes, &footer).unwrap_err()
}

fn entry_at(n: usize, field: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    let start = index_header::BYTES + n * index_entry::BYTES;
    start + field.start..start + field.end
}

proptest! {
    #[test]
    fn an_index_round_trips(stored in prop::collection::vec(1u32..=1 << 16, 0..80)) {
        let (index, end) = index_of(&stored);
        let (tail, hash) = index.encode(end);
        let object_bytes = end + tail.len() as u64;
        prop_assert_eq!(object_bytes % STORE_ALIGN, 0);
        prop_assert_eq!(&decode(&tail, object_bytes).unwrap(), &index);
        let (whole, footer) = SegmentIndex::decode_tail(&tail, object_bytes).unwrap();
        prop_assert_eq!((whole, footer.hash), (index, hash));
    }

    #[test]
    fn any_footer_is_refused_or_bounded(mut bytes: [u8; 64], object_bytes: u64, known: bool) {
        if known {
            bytes[footer::MAGIC].copy_from_slice(b"SEPTETSF");
            put(&mut bytes, footer::VERSION, 1u32);
            put(&mut bytes, footer::RESERVED, 0u32);
        }
        if let Ok(footer) = Footer::decode(&bytes, object_bytes) {
            prop_assert!(footer.index_bytes < object_bytes);
        }
    }
}

#[test]
fn entries_are_sorted_by_offset() {
    let (index, end) = index_of(&[10, 20, 5000]);
    let mut shuffled = index.clone();
    shuffled.entries.reverse();
    assert_eq!(shuffled.encode(end), index.encode(end));
}

#[test]
fn every_flipped_byte_of_the_tail_is_found() {
    let (index, end) = index_of(&[100, 1 << 16]);
    let (tail, _) = index.encode(end);
    let object_bytes = end + tail.len() as u64;
    for at in 0..tail.len() {
        for bit in [1, 0x80] {
            let mut flipped = tail.clone();
            flipped[at] ^= bit;
            assert!(SegmentIndex::decode_tail(&flipped, object_bytes).is_err(), "byte {at}");
        }
    }
}

#[test]
fn every_truncation_is_found() {
    let (index, end) = index_of(&[100]);
    let (tail, _) = index.encode(end);
    for len in 0..tail.len() {
        let object_bytes = end + len as u64;
        assert!(SegmentIndex::decode_tail(&tail[..len], object_bytes).is_err(), "{len} bytes");
        assert!(SegmentIndex::decode_tail(&tail[tail.len() - len..], object_bytes).is_err());
    }
}

#[test]
fn a_huge_index_is_refused_before_anybody_allocates_for_it() {
    let mut bytes = Footer { index_offset_bytes: 4096, index_bytes: 0, hash: BlockHash::ZERO }.encode();
    for (index_bytes, object_bytes) in [(320 + 56 * 1000, 65536), (u64::MAX, 8192), (0, 8192)] {
        put(&mut bytes, footer::INDEX_BYTES, index_bytes);
        assert!(Footer::decode(&bytes, object_bytes).unwrap_err().is_damage());
    }
    put(&mut bytes, footer::INDEX_BYTES, 320u32 + 56);
    assert!(Footer::decode(&bytes, 8192).is_ok());
    put(&mut bytes, footer::INDEX_OFFSET, u64::MAX - 4095);
    assert!(Footer::decode(&bytes, 8192).unwrap_err().is_damage());
}

#[test]
fn a_newer_segment_asks_for_an_upgrade() {
    let mut bytes = Footer { index_offset_bytes: 0, index_bytes: 320, hash: BlockHash::ZERO }.encode();
    put(&mut bytes, footer::VERSION, 2u32);
    let error = Footer::decode(&bytes, 4096).unwrap_err();
    assert!(matches!(error, FormatError::NewerVersion { found: 2, .. }));
    let error = forge(|index| put(index, index_header::VERSION, 3u32));
    assert!(matches!(error, FormatError::NewerVersion { found: 3, .. }));
}

#[test]
fn a_hostile_header_is_refused_though_its_hash_is_right() {
    let why = |change: &dyn Fn(&mut [u8])| forge(|index| change(index)).to_string();
    let refused = |text: &str, change: &dyn Fn(&mut [u8])| {
        let found = why(change);
        assert!(found.contains(text), "{found:?} instead of {text:?}");
    };
    refused("not a segment index", &|i| i[0] ^= 1);
    refused("power of two", &|i| put(i, index_header::BLOCK_BYTES, 7u32));
    refused("choose a larger", &|i| put(i, index_header::VOLUME_BYTES, u64::MAX));
    refused("4294967295 entries", &|i| put(i, index_header::ENTRIES, u32::MAX));
    refused("not text", &|i| put(i, index_header::VOLUME_LENGTH, 129u32));
    refused("not text", &|i| put(i, index_header::VOLUME_LENGTH, 2u32));
    refused("not text", &|i| i[index_header::VOLUME.start] = 0xff);
    refused("allowed are", &|i| i[index_header::BACKUP.start] = b'/');
    refused("is empty", &|i| {
        put(i, index_header::VOLUME_LENGTH, 0u32);
        i[index_header::VOLUME].fill(0);
    });
}

#[test]
fn what_only_a_later_version_knows_is_unsupported_and_no_damage() {
    let said = |text: &str, change: &dyn Fn(&mut [u8])| {
        let error = forge(|index| change(index));
        assert!(!error.is_damage() && error.to_string().contains(text), "{error}");
        assert!(error.to_string().ends_with("upgrade septet"), "{error}");
    };
    said("reserved bytes, which this septet", &|i| i[index_header::RESERVED.start] = 1);
    said("entries have 64 bytes", &|i| put(i, index_header::ENTRY_BYTES, 64u32));
    said("zstd", &|i| put(i, entry_at(0, &index_entry::CODEC), 2u32));
    said("encrypted", &|i| put(i, entry_at(0, &index_entry::CODEC), 0x81u32));
}

#[test]
fn a_segment_that_is_aligned_to_512_bytes_is_read() {
    let (mut index, _) = index_of(&[100, 1 << 16, 5000]);
    let mut end = 0;
    index.align_bytes = READ_ALIGN;
    for entry in &mut index.entries {
        entry.offset_bytes = end;
        end += u64::from(entry.stored_bytes).next_multiple_of(READ_ALIGN);
    }
    let (tail, _) = index.encode(end);
    let object_bytes = end + tail.len() as u64;
    assert_eq!(object_bytes % READ_ALIGN, 0);
    let (decoded, _) = SegmentIndex::decode_tail(&tail, object_bytes).unwrap();
    assert_eq!(decoded, index);
    assert_eq!(decoded.room_bytes(&decoded.entries[0]), 512);
    let (aligned, end) = index_of(&[100]);
    let (tail, _) = aligned.encode(end);
    let (decoded, _) = SegmentIndex::decode_tail(&tail, end + tail.len() as u64).unwrap();
    assert_eq!((decoded.align_bytes, decoded.room_bytes(&decoded.entries[0])), (STORE_ALIGN, STORE_ALIGN));
}

#[test]
fn a_hostile_entry_is_refused_though_its_hash_is_right() {
    let refused = |text: &str, n: usize, field: std::ops::Range<usize>, value: u64| {
        let found = forge(|index| put(index, entry_at(n, &field), value)).to_string();
        assert!(found.contains(text), "{found:?} instead of {text:?}");
    };
    refused("block 16777216 is beyond", 0, index_entry::BLOCK, 1 << 24);
    refused("beyond the volume's", 0, index_entry::BLOCK, u64::MAX);
    refused("overlaps", 0, index_entry::OFFSET, u64::from(u32::MAX) & !7);
    refused("overlaps", 1, index_entry::OFFSET, 0);
    refused("overlaps", 0, index_entry::STORED_BYTES, 4097);
    refused("cannot decode to", 0, index_entry::STORED_BYTES, 0);
    refused("cannot decode to", 0, index_entry::STORED_BYTES, (1 << 16) + 1);
    refused("cannot decode to", 1, index_entry::STORED_BYTES, (1 << 16) - 1);
    refused("has a CRC-32", 1, index_entry::CRC32, 1);
    refused("has 1 bytes, not 65536", 2, index_entry::CONTENT_BYTES, 1);
    let found = forge(|index| index[entry_at(1, &index_entry::HASH)].fill(0)).to_string();
    assert!(found.contains("no hash"), "{found}");
}

#[test]
fn stored_bytes_and_their_padding_are_checked() {
    let stored = b"stored".as_slice();
    let entry = IndexEntry { crc32: crc32(stored), stored_bytes: 6, ..index_of(&[6]).0.entries[0] };
    let padded = [stored, &[0; 10]].concat();
    assert!(entry.check_stored(stored).is_ok() && entry.check_stored(&padded).is_ok());
    assert!(entry.check_stored(&stored[..5]).is_err());
    for at in 0..padded.len() {
        let mut flipped = padded.clone();
        flipped[at] ^= 1;
        assert!(entry.check_stored(&flipped).is_err(), "byte {at}");
    }
    // The check value of CRC-32/ISO-HDLC in every catalogue of CRCs.
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn room_is_rounded_up_to_the_alignment() {
    assert_eq!([0, 1, 4096, 4097, u32::MAX].map(padded), [0, 4096, 4096, 8192, 1 << 32]);
}
