//! Tests that FORMAT.md agrees with the code: its tables with the layouts, its numbers with the constants, and its
//! example with the bytes of the golden repository.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

mod common;

use std::fs;

use common::golden;
use septet_format::{layout, *};

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../FORMAT.md");
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The rows of the first table under the heading `title`, cell by cell.
fn table(document: &str, title: &str) -> Vec<Vec<String>> {
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
    let under = document.lines().skip_while(|line| line.trim_start_matches('#').trim() != title);
    let table = under.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    table.skip(2).map(cells).collect()
}

#[test]
fn its_tables_are_the_layouts() {
    let document = document();
    for layout in layout::ALL {
        let told: Vec<_> = table(&document, layout.title).iter().map(|row| row[1..4].join(" ")).collect();
        let row = |(name, range): &(&str, std::ops::Range<usize>)| {
            format!("{} {} {}", range.start, range.len(), name.to_lowercase())
        };
        let held: Vec<_> = layout.fields.iter().map(row).collect();
        assert_eq!(told, held, "{}", layout.title);
    }
}

#[test]
fn its_numbers_are_the_constants() {
    let document = document();
    let told: Vec<_> = table(&document, "Numbers").iter().map(|row| row[1..3].join(" ")).collect();
    let held = [
        ("format version", u64::from(FORMAT_VERSION)),
        ("smallest block that is written", u64::from(BLOCK_BYTES_MIN)),
        ("largest block that is written", u64::from(BLOCK_BYTES_MAX)),
        ("smallest block that is read", u64::from(BLOCK_BYTES_READ_MIN)),
        ("largest block that is read", u64::from(BLOCK_BYTES_READ_MAX)),
        ("usual block", u64::from(BLOCK_BYTES_DEFAULT)),
        ("most blocks of a volume", BLOCKS_MAX),
        ("alignment within a segment that is written", STORE_ALIGN),
        ("alignment within a segment that is read", READ_ALIGN),
        ("largest segment", SEGMENT_BYTES_MAX),
        ("entries of a table's chunk that is written", u64::from(TABLE_CHUNK_ENTRIES)),
        ("fewest entries of a chunk that is read", u64::from(TABLE_CHUNK_ENTRIES_MIN)),
        ("most entries of a chunk that is read", u64::from(TABLE_CHUNK_ENTRIES_MAX)),
        ("bytes of a checksums entry", u64::from(CHECKSUM_ENTRY_BYTES)),
        ("bytes of a map entry", u64::from(MAP_ENTRY_BYTES)),
        ("longest name", NAME_BYTES_MAX as u64),
        ("longest manifest", MANIFEST_BYTES_MAX as u64),
        ("longest septet.json or marker", JSON_BYTES_MAX as u64),
        ("highest generation or attempt", u64::from(keys::GENERATION_MAX)),
        ("segment numbers of an attempt", u64::from(keys::SEGMENTS_PER_ATTEMPT)),
        ("most names in a list of features", features::FEATURES_MAX as u64),
        ("longest name of a feature", features::FEATURE_BYTES_MAX as u64),
    ];
    assert_eq!(told, held.map(|(name, number)| format!("{name} {number}")));
}

/// Parses a line of a hex dump: `00c8  01 02 ; what it is` → (0xc8, [1, 2]).
fn hex_line(line: &str) -> (usize, Vec<u8>) {
    let mut words = line.split(';').next().unwrap().split_whitespace();
    let offset = usize::from_str_radix(words.next().unwrap(), 16).unwrap();
    (offset, words.map(|word| u8::from_str_radix(word, 16).unwrap()).collect())
}

#[test]
fn its_example_is_the_golden_repository() {
    let document = document();
    let mut checked = 0;
    for example in document.split("```hex ").skip(1) {
        let (key, rest) = example.split_once('\n').unwrap();
        let object = fs::read(golden().join("repo").join(key)).unwrap();
        for line in rest.split("```").next().unwrap().lines() {
            let (offset, bytes) = hex_line(line);
            assert_eq!(object[offset..][..bytes.len()], bytes, "{key}: {line}");
            checked += bytes.len();
        }
    }
    assert!(checked > 600, "only {checked} bytes of example");
}

#[test]
fn its_decoded_entries_are_the_golden_ones() {
    let document = document();
    let examples: Vec<_> = document.split("```entries ").skip(1).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let (key, rest) = example.split_once('\n').unwrap();
        let object = fs::read(golden().join("repo").join(key)).unwrap();
        let manifest = fs::read(golden().join("repo").join(key.replace("map-0", "manifest-0.json"))).unwrap();
        let root = Manifest::decode(&manifest).unwrap().map.root;
        let table = TableDirectory::decode_object(&object, MAP_ENTRY_BYTES, 4, root).unwrap();
        let start = usize::try_from(table.range(0).unwrap().start).unwrap();
        let held = table.decode_chunk(0, &object[start..]).unwrap();
        let lines = rest.split("```").next().unwrap().lines();
        let told: Vec<u8> = lines.flat_map(|line| hex_line(&format!("0 {line}")).1).collect();
        assert_eq!(told, held, "{key}");
    }
}

#[test]
fn its_json_objects_are_the_golden_ones() {
    let document = document();
    for key in ["septet.json", "vol/b2/manifest-0.json", "vol/b0/manifest-1.json"] {
        let block = document.split(&format!("```json {key}\n")).nth(1).unwrap_or_else(|| panic!("{key}"));
        let told: serde_json::Value = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
        let bytes = fs::read(golden().join("repo").join(key)).unwrap();
        let held: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(told, held, "{key}");
    }
}

#[test]
fn its_marker_is_one() {
    let document = document();
    let block = document.split("```json pending-0.json\n").nth(1).unwrap();
    let told = block.split("```").next().unwrap();
    let marker = Pending::decode(told.as_bytes()).unwrap();
    let held: serde_json::Value = serde_json::from_slice(&marker.encode()).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(told).unwrap(), held);
}
