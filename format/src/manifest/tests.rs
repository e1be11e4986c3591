//! Tests that manifests round-trip through bytes, and that every kind of error in one is noticed.

use proptest::prelude::*;

use super::*;
use crate::{FormatError, Tracking};

fn segment(number: u32) -> SegmentRef {
    SegmentRef { number, bytes: 1 << 20, hash: BlockHash::of(b"index"), live_bytes: 4096 }
}

fn source(backup: &str, numbers: &[u32]) -> SourceBackup {
    let segments = numbers.iter().map(|number| segment(*number)).collect();
    SourceBackup {
        repository: Uuid::from_u128(7),
        volume: "vol".parse().unwrap(),
        backup: backup.parse().unwrap(),
        segments,
    }
}

fn manifest() -> Manifest {
    Manifest {
        format: 1,
        needs_to_read: Features::of_this_version(),
        needs_to_write: Features::of_this_version(),
        repository: Uuid::from_u128(7),
        volume: "vol".parse().unwrap(),
        backup: "b3".parse().unwrap(),
        generation: 2,
        parent: Some("b2".parse().unwrap()),
        sequence: 3,
        created: Timestamp::UNIX_EPOCH,
        machine: Machine { id: "m".to_owned(), name: "host".to_owned() },
        source: Source { name: "/dev/vg/\"ä\"".to_owned(), kind: "device".to_owned(), identity: "s".to_owned() },
        tool: "septet 0.1.0".to_owned(),
        volume_bytes: 10 << 20,
        block_bytes: 1 << 20,
        compression: "lz4".to_owned(),
        hash: "blake3".to_owned(),
        blocks: BlockCounts { data: 1, zero: 2, hole: 3, unchanged: 4 },
        bytes_read: 3 << 20,
        bytes_stored: 2 << 20,
        seconds: 0.25,
        checksums: TableRef { generation: 2, bytes: 64, root: BlockHash::of(b"checksums") },
        map: TableRef { generation: 0, bytes: 64, root: BlockHash::of(b"map") },
        sources: vec![source("b1", &[0, 5]), source("b3", &[0])],
        tracking: None,
        extensions: BTreeMap::new(),
    }
}

/// The error for a manifest that has a correct hash but inconsistent fields.
fn refusal(change: impl FnOnce(&mut Manifest)) -> String {
    let mut manifest = manifest();
    change(&mut manifest);
    let error = Manifest::decode(&manifest.encode()).unwrap_err();
    assert!(error.is_damage(), "{error}");
    error.to_string()
}

proptest! {
    #[test]
    fn a_manifest_round_trips(
        source in ".*", hundredths in 0u32..1 << 30, data in 0u64..1 << 32, sequence: u64, full: bool,
        numbers in prop::collection::hash_set(any::<u32>(), 0..9),
    ) {
        let mut manifest = manifest();
        manifest.seconds = f64::from(hundredths) / 64.0;
        manifest.blocks = BlockCounts { data, ..BlockCounts::default() };
        manifest.volume_bytes = data << 20;
        (manifest.source.name, manifest.sequence) = (source, sequence);
        manifest.parent.take_if(|_| full);
        manifest.sources[0].segments = numbers.into_iter().map(segment).collect();
        manifest.extensions.insert("later".to_owned(), serde_json::json!({"since": "s"}));
        let layout = [("order".to_owned(), data.into())].into_iter().collect();
        let [kind, source_id, snapshot, snapshot_id] = ["rbd", "1", "s", "4"].map(str::to_owned);
        manifest.tracking = Some(Tracking { kind, source_id, snapshot, snapshot_id, layout });
        let bytes = manifest.encode();
        prop_assert_eq!(Manifest::decode(&bytes).unwrap(), manifest.clone());
        prop_assert_eq!(manifest.encode(), bytes);
    }

    #[test]
    fn any_bytes_are_damage(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Manifest::decode(&bytes).unwrap_err().is_damage());
    }
}

#[test]
fn every_flipped_bit_and_truncation_is_found() {
    let bytes = manifest().encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(Manifest::decode(&flipped).is_err(), "byte {at} bit {bit}");
        }
        assert!(Manifest::decode(&bytes[..at]).unwrap_err().is_damage(), "{at} bytes");
    }
}

#[test]
fn it_is_json_as_a_whole() {
    let value: serde_json::Value = serde_json::from_slice(&manifest().encode()).unwrap();
    assert_eq!(value["manifest"]["backup"], "b3");
    assert_eq!(value["blake3"].as_str().unwrap().len(), 64);
}

#[test]
fn a_newer_format_asks_for_an_upgrade_even_if_nothing_else_is_known() {
    let inner = r#"{"format":2,"shape":"new"}"#;
    let hash = BlockHash::of(inner.as_bytes());
    let bytes = format!("{{\"manifest\":{inner},\"blake3\":\"{hash}\"}}\n");
    let error = Manifest::decode(bytes.as_bytes()).unwrap_err();
    assert!(matches!(error, FormatError::NewerVersion { found: 2, .. }));
    assert!(error.to_string().contains("made by a newer Septet (format 2); upgrade septet"));
}

#[test]
fn rows_are_counted_through_all_sources() {
    let manifest = manifest();
    let rows: Vec<_> =
        manifest.segment_rows().map(|(row, source, segment)| (row, source.backup.as_str(), segment.number)).collect();
    assert_eq!(rows, [(0, "b1", 0), (1, "b1", 5), (2, "b3", 0)]);
    assert_eq!(manifest.rows(), 3);
}

#[test]
fn what_makes_no_sense_is_refused_though_its_hash_is_right() {
    assert!(refusal(|m| m.format = 0).contains("no format 0"));
    assert!(refusal(|m| m.block_bytes = 5).contains("power of two"));
    assert!(refusal(|m| m.volume_bytes = u64::MAX).contains("choose a larger block"));
    assert!(refusal(|m| m.blocks.data = 2).contains("do not add up to 10"));
    assert!(refusal(|m| m.blocks.hole = u64::MAX).contains("do not add up to 10"));
    assert!(refusal(|m| m.hash = "md5".to_owned()).contains("unknown hash \"md5\""));
    assert!(refusal(|m| m.parent = Some(m.backup.clone())).contains("own parent"));
    assert!(refusal(|m| m.map.bytes = 63).contains("map has only 63 bytes"));
    assert!(refusal(|m| m.sources.swap(0, 1)).contains("are not listed last"));
    assert!(refusal(|m| m.sources.insert(0, source("b1", &[9]))).contains("b1 is listed twice"));
    assert!(refusal(|m| m.sources[0] = source("b1", &[4, 4])).contains("segment 4 of b1 is listed twice"));
    let other = |m: &mut Manifest| m.sources[0].volume = "other".parse().unwrap();
    assert!(refusal(other).contains("another volume: other"));
    let row = |change: fn(&mut SegmentRef)| refusal(|m| change(&mut m.sources[0].segments[0]));
    assert!(row(|row| row.bytes = 4095).contains("live of 4095 bytes"));
    assert!(row(|row| row.bytes = 0).contains("live of 0 bytes"));
    assert!(row(|row| row.bytes = 1 << 42).contains("live of"));
    assert!(row(|row| row.live_bytes = row.bytes + 1).contains("1048577 live of 1048576"));
}

#[test]
fn names_that_lead_elsewhere_and_more_blocks_than_can_be_are_refused() {
    let whole = String::from_utf8(manifest().encode()).unwrap();
    let inner = &whole["{\"manifest\":".len()..whole.len() - ",\"blake3\":\"\"}\n".len() - 64];
    let forged = |from: &str, to: &str| {
        let inner = inner.replace(from, to);
        let hash = BlockHash::of(inner.as_bytes());
        Manifest::decode(format!("{{\"manifest\":{inner},\"blake3\":\"{hash}\"}}\n").as_bytes())
    };
    assert_eq!(forged("nothing", "at all").unwrap(), manifest());
    for name in ["../../etc", "..", ".", "/etc", "a/b", "", "a\\u0000b", "-o"] {
        for key in ["volume", "backup"] {
            let known = if key == "volume" { manifest().volume.to_string() } else { "b1".to_owned() };
            let refused = forged(&format!("\"{key}\":\"{known}\""), &format!("\"{key}\":\"{name}\""));
            assert!(refused.unwrap_err().is_damage(), "{key} {name:?}");
        }
    }
    let volume_bytes = format!("\"volume_bytes\":{}", manifest().volume_bytes);
    for bytes in [1 << 63, u64::MAX] {
        let refused = forged(&volume_bytes, &format!("\"volume_bytes\":{bytes}")).unwrap_err();
        assert!(refused.to_string().contains("choose a larger block"), "{refused}");
    }
}

#[test]
fn a_clock_gone_mad_does_not_lose_the_backup() {
    for seconds in [f64::NAN, f64::INFINITY] {
        let bytes = Manifest { seconds, ..manifest() }.encode();
        assert_eq!(Manifest::decode(&bytes).unwrap(), Manifest { seconds: 0.0, ..manifest() });
    }
}
