//! Fuzzes the tail of a segment. In an accepted one, every block is before the index, and blocks do not overlap.
#![no_main]

use libfuzzer_sys::fuzz_target;
use septet_format::SegmentIndex;

fuzz_target!(|bytes: &[u8]| {
    let Some((before, tail)) = bytes.split_first_chunk::<8>() else { return };
    // The total length of the blocks before the index.
    let before = u64::from_le_bytes(*before) % (1 << 40);
    let object_bytes = before.saturating_add(tail.len() as u64);
    let Ok((index, footer)) = SegmentIndex::decode_tail(tail, object_bytes) else { return };
    let mut end = 0;
    for entry in &index.entries {
        assert!(entry.offset_bytes >= end && entry.offset_bytes + index.room_bytes(entry) <= footer.index_offset_bytes);
        assert!(entry.block < index.geometry.blocks());
        let _ = entry.check_stored(tail);
        end = entry.offset_bytes + index.room_bytes(entry);
    }
});
