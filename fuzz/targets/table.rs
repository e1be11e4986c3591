//! Fuzzes a table, checksums or map. Its chunks unpack to exactly the length in the header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use septet_format::{BlockHash, TableDirectory};

fuzz_target!(|bytes: &[u8]| {
    let Some((&[shape, entries @ ..], object)) = bytes.split_first_chunk::<4>() else { return };
    let entry_bytes = if shape & 1 == 0 { 12 } else { 32 };
    let entries = u64::from(u32::from_le_bytes([entries[0], entries[1], entries[2], shape >> 1]));
    let Ok(table) = TableDirectory::decode_object(object, entry_bytes, entries, BlockHash::ZERO) else { return };
    for chunk in 0..table.chunks().min(64) {
        let range = table.range(chunk).unwrap_or_default();
        let stored = &object[range.start as usize..range.end as usize];
        if let Ok(decoded) = table.decode_chunk(chunk, stored) {
            assert_eq!(decoded.len(), table.chunk_bytes(chunk));
        }
    }
});
