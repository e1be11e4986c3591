//! Fuzzes manifests and tombstones. An accepted one is consistent and round-trips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use septet_format::Record;

fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = Record::decode(bytes) else { return };
    assert_eq!(Record::decode(&record.encode()).expect("it was one before"), record);
    let Record::Backup(manifest) = record else { return };
    let geometry = manifest.geometry().expect("it was checked");
    assert!(geometry.blocks() <= septet_format::BLOCKS_MAX);
    assert!(manifest.segment_rows().all(|(_, _, segment)| segment.bytes <= septet_format::SEGMENT_BYTES_MAX));
});
