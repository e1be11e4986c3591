//! Damage of every kind, in backups that share segments and in those that don't. Whole backups must not be reported.

use super::*;
use crate::sample::{BLOCK_BYTES, Sample};
use septet_format::SegmentId;

const BLOCK: u64 = BLOCK_BYTES as u64;

fn id(backup: &str, number: u32) -> SegmentId {
    SegmentId { volume: "vol".parse().unwrap(), backup: backup.parse().unwrap(), number }
}

fn audit(sample: &Sample, manifest: &Manifest, damaged: &DamagedSegments) -> Vec<DamagedRange> {
    damaged_ranges(&sample.repository, manifest, damaged, &mut IndexCache::default(), None).unwrap()
}

/// The ranges in blocks, and the reasons.
fn ranges(sample: &Sample, backup: &str, damaged: &DamagedSegments) -> Vec<(u64, u64, String)> {
    let found = audit(sample, &sample.manifest(backup), damaged);
    let in_blocks = |range: DamagedRange| {
        let end_bytes = range.offset_bytes + range.size_bytes;
        (range.offset_bytes / BLOCK, end_bytes.div_ceil(BLOCK), range.reason)
    };
    found.into_iter().map(in_blocks).collect()
}

fn blocks(sample: &Sample, backup: &str, damaged: &DamagedSegments) -> Vec<(u64, u64)> {
    ranges(sample, backup, damaged).into_iter().map(|(first, end, _)| (first, end)).collect()
}

/// b1, and b2, which shares blocks 1, 3 and 5 with it. Each segment has two blocks, and block 2 is zeros.
fn chain() -> Sample {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1, 2, 0, 4, 5, 6]);
    sample.backup("b2", Some("b1"), &[7, 2, 0, 4, 9, 6]);
    sample
}

#[test]
fn whole_backups_have_no_damage() {
    let mut sample = chain();
    sample.backup("b3", Some("b2"), &[1, 2, 0, 4, 9]);
    sample.backup("empty", None, &[]);
    sample.backup("zeros", None, &[0, 0]);
    let mut indexes = IndexCache::default();
    for manifest in sample.repository.backups(&sample.volume).unwrap().manifests {
        let damaged = DamagedSegments::default();
        assert!(damaged.is_empty());
        assert_eq!(damaged_ranges(&sample.repository, &manifest, &damaged, &mut indexes, None).unwrap(), []);
    }
}

#[test]
fn a_damaged_place_hits_the_blocks_that_lie_there() {
    let sample = chain();
    let mut damaged = DamagedSegments::default();
    // b1's segments hold blocks 0 and 1, 3 and 4, 5. Block 0 is raw, so block 1 lies behind it.
    damaged.add_place(id("b1", 0), BLOCK, "flipped".to_owned());
    damaged.add_place(id("b1", 0), BLOCK, "later".to_owned());
    damaged.add_place(id("b1", 1), 8192 << 10, "nobody lies here".to_owned());
    damaged.add_segment(id("elsewhere", 0), "gone".to_owned());
    let elsewhere = SegmentId { volume: "elsewhere".parse().unwrap(), ..id("b1", 0) };
    damaged.add_segment(elsewhere, "gone".to_owned());
    let expected = vec![(1, 2, "vol/b1/segments/000000: flipped".to_owned())];
    assert_eq!(ranges(&sample, "b1", &damaged), expected);
    assert_eq!(ranges(&sample, "b2", &damaged), expected);
    damaged.add_place(id("b1", 0), 0, "flipped".to_owned());
    assert_eq!(blocks(&sample, "b1", &damaged), [(0, 2)], "neighbours with one reason are one range");
    assert_eq!(blocks(&sample, "b2", &damaged), [(1, 2)], "b2 has a block 0 of its own");
    damaged.add_segment(id("b2", 0), "in vol/b2/segments/000000 all is lost".to_owned());
    let found = ranges(&sample, "b2", &damaged);
    assert_eq!(found.iter().map(|(first, end, _)| (*first, *end)).collect::<Vec<_>>(), [(0, 1), (1, 2), (4, 5)]);
    assert_eq!(found[0].2, "in vol/b2/segments/000000 all is lost");
}

#[test]
fn a_range_ends_with_the_volume() {
    let sample = chain();
    let mut damaged = DamagedSegments::default();
    damaged.add_segment(id("b1", 2), "gone".to_owned());
    let found = audit(&sample, &sample.manifest("b1"), &damaged);
    let reason = "vol/b1/segments/000002: gone".to_owned();
    assert_eq!(found, [DamagedRange { offset_bytes: 5 * BLOCK, size_bytes: BLOCK - 100, reason }]);
}

#[test]
fn a_segment_that_is_missing_or_has_another_length_or_index_hits_all_its_blocks() {
    let key = "vol/b1/segments/000001";
    let losses: [fn(&Sample, &str); 5] = [
        |sample, key| sample.remove(key),
        |sample, key| sample.truncate(key, sample.read(key).len() - 4096),
        |sample, key| sample.write(key, &[sample.read(key), vec![0; 4096]].concat()),
        |sample, key| sample.flip(key, sample.read(key).len() - 1),
        |sample, _| sample.copy("vol/b1/segments/000000", "vol/b1/segments/000001"),
    ];
    for lose in losses {
        let sample = chain();
        lose(&sample, key);
        let found = ranges(&sample, "b1", &DamagedSegments::default());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((found[0].0, found[0].1) == (3, 5) && found[0].2.contains(key), "{found:?}");
        assert_eq!(blocks(&sample, "b2", &DamagedSegments::default()), [(3, 4)]);
    }
}

#[test]
fn a_damaged_table_hits_the_whole_volume_and_names_the_way_out() {
    for key in ["vol/b2/map-0", "vol/b2/checksums-0"] {
        let losses: [fn(&Sample, &str); 3] = [
            |sample, key| sample.remove(key),
            |sample, key| sample.flip(key, 70),
            |sample, key| sample.copy(&key.replace("b2", "b1"), key),
        ];
        for lose in losses {
            let sample = chain();
            lose(&sample, key);
            let found = audit(&sample, &sample.manifest("b2"), &DamagedSegments::default());
            let [DamagedRange { offset_bytes: 0, size_bytes, reason }] = &found[..] else { panic!("{found:?}") };
            assert_eq!(*size_bytes, 6 * BLOCK - 100);
            assert!(reason.contains(key) && reason.contains("`septet rebuild` may help"), "{reason}");
            assert!(audit(&sample, &sample.manifest("b1"), &DamagedSegments::default()).is_empty());
        }
    }
}

/// Writes b1's table with changed entries. Returns a manifest that vouches for it.
fn forged<const BYTES: usize>(sample: &Sample, kind: TableKind, forge: impl FnOnce(&mut Entries<BYTES>)) -> Manifest {
    let mut manifest = sample.manifest("b1");
    let mut entries = Entries::load(&sample.repository, &manifest, kind).unwrap();
    forge(&mut entries);
    let table = entries.encode().unwrap();
    let key = match kind {
        TableKind::Map => {
            manifest.map = table.reference(0);
            manifest.map_key()
        }
        TableKind::Checksums => {
            manifest.checksums = table.reference(0);
            manifest.checksums_key()
        }
    };
    sample.write(&key, &table.object);
    manifest
}

#[test]
fn a_map_that_points_to_the_wrong_place_is_found_though_every_hash_holds() {
    let original = Location::decode(&{
        let sample = chain();
        Entries::<12>::load(&sample.repository, &sample.manifest("b1"), TableKind::Map).unwrap().get(1)
    });
    let right = original.unwrap().unwrap();
    let wrong = [
        Location { offset_bytes: 0, ..right },
        Location { offset_bytes: 1 << 30, ..right },
        Location { stored_bytes: right.stored_bytes + 1, ..right },
        Location { codec: septet_format::Codec::Raw, stored_bytes: 65536, ..right },
        Location { segment: 1, ..right },
        Location { segment: 99, ..right },
        Location { segment: u32::MAX - 1, ..right },
    ];
    for location in wrong {
        let sample = chain();
        let packed = Location::encode(Some(&location));
        let manifest = forged::<12>(&sample, TableKind::Map, |map| map.set(1, packed));
        let found = audit(&sample, &manifest, &DamagedSegments::default());
        let [DamagedRange { offset_bytes, size_bytes, .. }] = &found[..] else { panic!("{location:?}: {found:?}") };
        assert_eq!((*offset_bytes, *size_bytes), (BLOCK, BLOCK), "{location:?}");
    }
}

#[test]
fn a_place_belongs_to_one_block_even_if_another_has_the_same_content() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[2, 2, 4]);
    let manifest = forged::<12>(&sample, TableKind::Map, |map| map.set(1, map.get(0)));
    let found = audit(&sample, &manifest, &DamagedSegments::default());
    let [DamagedRange { offset_bytes: BLOCK, size_bytes: BLOCK, .. }] = &found[..] else { panic!("{found:?}") };
}

#[test]
fn hostile_entries_damage_their_own_block_only() {
    let cases: [(u64, [u8; 12]); 3] = [(1, [0xff; 12]), (1, [0; 12]), (2, [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])];
    for (block, packed) in cases {
        let sample = chain();
        let manifest = forged::<12>(&sample, TableKind::Map, |map| map.set(block, packed));
        let found = audit(&sample, &manifest, &DamagedSegments::default());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].offset_bytes, found[0].size_bytes), (block * BLOCK, BLOCK), "{found:?}");
    }
    for (block, hash) in [(0, [0; 32]), (2, [9; 32]), (4, [9; 32])] {
        let sample = chain();
        let manifest = forged::<32>(&sample, TableKind::Checksums, |checksums| checksums.set(block, hash));
        let found = audit(&sample, &manifest, &DamagedSegments::default());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].offset_bytes, found[0].size_bytes), (block * BLOCK, BLOCK), "{found:?}");
    }
}

#[test]
fn what_backups_share_is_read_once_if_it_fits() {
    let mut sample = Sample::new();
    sample.blocks_per_segment = 1;
    sample.backup("b1", None, &[1, 3, 5, 7]);
    sample.backup("b2", Some("b1"), &[1, 3, 5, 7]);
    let manifest = sample.manifest("b2");
    let clean = DamagedSegments::default();
    for (kept, bytes_max) in [(4, usize::MAX / 2), (2, 2 * one_index()), (0, 0)] {
        let mut indexes = IndexCache::with_bytes_max(bytes_max);
        assert_eq!(damaged_ranges(&sample.repository, &sample.manifest("b1"), &clean, &mut indexes, None).unwrap(), []);
        assert_eq!(indexes.kept(), kept);
        let objects: Vec<_> = (0..4).map(|number| format!("vol/b1/segments/{number:06}")).collect();
        let contents: Vec<_> = objects.iter().map(|key| sample.read(key)).collect();
        objects.iter().for_each(|key| sample.remove(key));
        let found = damaged_ranges(&sample.repository, &manifest, &clean, &mut indexes, None).unwrap();
        assert_eq!(found.len(), 4 - kept, "those that are kept are not read: {found:?}");
        objects.iter().zip(contents).for_each(|(key, content)| sample.write(key, &content));
    }
}

#[test]
fn what_later_backups_no_longer_use_makes_room() {
    let mut sample = Sample::new();
    sample.blocks_per_segment = 1;
    sample.backup("b1", None, &[1, 3]);
    sample.backup("b2", None, &[1, 3]);
    let mut indexes = IndexCache::with_bytes_max(2 * one_index());
    for backup in ["b1", "b2", "b2"] {
        let clean = DamagedSegments::default();
        assert_eq!(
            damaged_ranges(&sample.repository, &sample.manifest(backup), &clean, &mut indexes, None).unwrap(),
            []
        );
        assert_eq!(indexes.kept_of(backup), 2);
    }
}

/// The memory of the cached index of a segment with one block.
fn one_index() -> usize {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1]);
    let mut indexes = IndexCache::default();
    damaged_ranges(&sample.repository, &sample.manifest("b1"), &DamagedSegments::default(), &mut indexes, None)
        .unwrap();
    indexes.bytes()
}
