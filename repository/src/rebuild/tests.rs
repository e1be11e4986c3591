//! Tests every kind of loss, in chains where blocks change, return to old content or become zeros, and volumes are
//! resized.

use super::*;
use crate::sample::Sample;
use proptest::prelude::*;
use septet_format::BlockHash;

/// Ways to lose an object.
const LOSSES: [fn(&Sample, &str); 4] = [
    |sample, key| sample.remove(key),
    |sample, key| sample.flip(key, sample.read(key).len() - 1),
    |sample, key| sample.truncate(key, sample.read(key).len() - 1),
    |sample, key| sample.write(key, &[]),
];

fn again(sample: &Sample, backup: &str) -> Result<Rebuilt> {
    rebuild(&sample.repository, &sample.manifest(backup), &mut |_, _| ())
}

/// Damages tables, rebuilds them, and compares them with the originals. If the rebuild fails, the tables must be
/// unchanged.
fn lose_and_rebuild(sample: &Sample, backup: &str, lost: Rebuilt, lose: fn(&Sample, &str)) -> Result<()> {
    let tables = [("map-0", lost.map), ("checksums-0", lost.checksums)]
        .map(|(name, lost)| (format!("vol/{backup}/{name}"), lost));
    let before = tables.each_ref().map(|(key, _)| sample.read(key));
    tables.iter().filter(|(_, lost)| *lost).for_each(|(key, _)| lose(sample, key));
    let look = || tables.each_ref().map(|(key, _)| sample.keys().contains(key).then(|| sample.read(key)));
    let lost_state = look();
    let rebuilt = again(sample, backup);
    if rebuilt.is_err() {
        assert_eq!(look(), lost_state, "nothing is written");
    } else {
        assert_eq!(look(), before.each_ref().map(|content| Some(content.clone())));
    }
    for ((key, _), content) in tables.iter().zip(before) {
        sample.write(key, &content);
    }
    assert_eq!(rebuilt?, lost);
    Ok(())
}

const MAP: Rebuilt = Rebuilt { map: true, checksums: false };
const CHECKSUMS: Rebuilt = Rebuilt { map: false, checksums: true };
const BOTH: Rebuilt = Rebuilt { map: true, checksums: true };

#[test]
fn every_loss_of_every_backup_of_a_chain_is_made_good() {
    let mut sample = Sample::new();
    // Block 0 changes from A to B and back to A, so A is stored twice.
    sample.backup("b1", None, &[1, 2, 0, 4, 5]);
    sample.backup("b2", Some("b1"), &[3, 2, 0, 4, 6]);
    sample.backup("b3", Some("b2"), &[1, 2, 7, 4, 6]);
    sample.backup("b4", Some("b3"), &[1, 2, 7, 4, 6]);
    let manifest = sample.manifest("b4");
    let own = manifest.sources.last().unwrap();
    assert!(own.backup.as_str() == "b3" && manifest.sources.len() == 3, "b4 stores nothing: {manifest:?}");
    for backup in ["b1", "b2", "b3", "b4"] {
        assert_eq!(again(&sample, backup).unwrap(), Rebuilt::default());
        for (lost, lose) in [MAP, CHECKSUMS, BOTH].into_iter().flat_map(|lost| LOSSES.map(|lose| (lost, lose))) {
            lose_and_rebuild(&sample, backup, lost, lose).unwrap();
        }
    }
    sample.copy("vol/b1/map-0", "vol/b3/map-0");
    assert_eq!(again(&sample, "b3").unwrap(), MAP, "another backup's map is not b3's");
    sample.check("b3", &[1, 2, 7, 4, 6]);
}

#[test]
fn blocks_that_became_zeros_are_told_by_either_table_but_not_without_both() {
    let mut sample = Sample::new();
    sample.blocks_per_segment = 4;
    sample.backup("b1", None, &[1, 2, 3]);
    sample.backup("b2", Some("b1"), &[1, 0, 3]);
    for lost in [MAP, CHECKSUMS] {
        lose_and_rebuild(&sample, "b2", lost, LOSSES[0]).unwrap();
    }
    let error = lose_and_rebuild(&sample, "b2", BOTH, LOSSES[0]).unwrap_err().to_string();
    assert!(error.starts_with("cannot rebuild the map and checksums of vol/b2: "), "{error}");
    assert!(error.contains("become zeros") && error.ends_with("nothing was written"), "{error}");
}

#[test]
fn a_volume_may_have_been_resized() {
    let mut sample = Sample::new();
    sample.blocks_per_segment = 8;
    // The last block of the shorter volume is a short one. A block that was cut off comes back.
    let contents: [(&str, &[u8]); 4] =
        [("b1", &[2, 4, 6, 8]), ("b2", &[2, 4]), ("b3", &[2, 4, 6, 8, 2]), ("b4", &[2, 4, 0, 8])];
    for (at, (backup, seeds)) in contents.iter().enumerate() {
        sample.backup(backup, at.checked_sub(1).map(|parent| contents[parent].0), seeds);
    }
    for (backup, seeds) in contents {
        for lost in [MAP, CHECKSUMS] {
            lose_and_rebuild(&sample, backup, lost, LOSSES[0]).unwrap();
        }
        sample.check(backup, seeds);
    }
    lose_and_rebuild(&sample, "b2", BOTH, LOSSES[0]).unwrap();
    // A former whole block can't be the later short block of zeros.
    sample.backup("b5", Some("b1"), &[2, 0]);
    lose_and_rebuild(&sample, "b5", BOTH, LOSSES[0]).unwrap();
}

#[test]
fn an_empty_volume_and_one_of_zeros_are_rebuilt_from_nothing() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[]);
    sample.backup("b2", None, &[0; 5]);
    for (backup, lost) in ["b1", "b2"].into_iter().flat_map(|backup| [MAP, CHECKSUMS, BOTH].map(|lost| (backup, lost)))
    {
        lose_and_rebuild(&sample, backup, lost, LOSSES[0]).unwrap();
    }
}

#[test]
fn what_no_index_has_is_counted_and_the_damaged_segments_are_named() {
    for lost in [MAP, CHECKSUMS] {
        let mut sample = Sample::new();
        sample.blocks_per_segment = 1;
        sample.backup("b1", None, &[1, 3, 5, 2, 7, 4, 9, 4, 11]);
        let doomed = [0, 1, 4, 6, 8].map(|number| format!("vol/b1/segments/{number:06}"));
        doomed.iter().for_each(|key| sample.flip(key, sample.read(key).len() - 1));
        let error = lose_and_rebuild(&sample, "b1", lost, LOSSES[0]).unwrap_err().to_string();
        assert!(error.contains("5 blocks are in no index"), "{error}");
        assert!(error.contains("(bytes 0..131072, 262144..327680, 393216..458752, and 1 more)"), "{error}");
        for key in &doomed[2..] {
            assert!(error.contains(key), "{error}");
        }
        assert!(error.contains("; and 2 more;") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn the_end_of_a_short_last_block_is_the_volumes_end() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1, 3]);
    sample.remove("vol/b1/segments/000000");
    let error = lose_and_rebuild(&sample, "b1", MAP, LOSSES[0]).unwrap_err().to_string();
    assert!(error.contains("2 blocks are in no index that can be read (bytes 0..130972)"), "{error}");
}

#[test]
fn a_segment_that_only_another_backup_needs_may_be_lost() {
    let mut sample = Sample::new();
    sample.blocks_per_segment = 1;
    sample.backup("b1", None, &[1, 3]);
    sample.backup("b2", Some("b1"), &[5, 3]);
    // A copy of block 0's old content that b2's manifest doesn't name.
    sample.remove("vol/b1/segments/000000");
    for lost in [MAP, CHECKSUMS, BOTH] {
        lose_and_rebuild(&sample, "b2", lost, LOSSES[0]).unwrap();
    }
}

#[test]
fn progress_counts_the_segments() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1, 2, 3, 4, 5]);
    sample.remove("vol/b1/map-0");
    let mut told = Vec::new();
    rebuild(&sample.repository, &sample.manifest("b1"), &mut |read, of| told.push((read, of))).unwrap();
    assert_eq!(told, [(1, 3), (2, 3), (3, 3)]);
}

#[test]
fn a_hostile_manifest_is_refused_and_takes_no_memory() {
    let mut sample = Sample::new();
    let manifest = sample.backup("b1", None, &[1, 2]);
    sample.remove("vol/b1/map-0");
    let huge = Manifest { volume_bytes: u64::from(u32::MAX) << 16, ..manifest.clone() };
    let error = rebuild(&sample.repository, &huge, &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, RepositoryError::NotRebuilt { .. }), "{error}");
    let other_blocks = Manifest { block_bytes: 128 << 10, ..manifest.clone() };
    assert!(rebuild(&sample.repository, &other_blocks, &mut |_, _| ()).is_err());
    let nothing = Manifest { sources: Vec::new(), tool: "a\nb".to_owned(), ..manifest.clone() };
    assert!(!rebuild(&sample.repository, &nothing, &mut |_, _| ()).unwrap_err().to_string().contains('\n'));
    let wrong = Manifest { map: manifest.checksums, ..manifest };
    let error = rebuild(&sample.repository, &wrong, &mut |_, _| ()).unwrap_err().to_string();
    assert!(error.contains("every block was found"), "{error}");
    assert!(!sample.keys().contains(&"vol/b1/map-0".to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_chain_is_rebuilt_to_the_byte(
        contents in prop::collection::vec(prop::collection::vec(0u8..5, 0..7), 1..6),
        blocks_per_segment in 1usize..4,
    ) {
        let mut sample = Sample::new();
        sample.blocks_per_segment = blocks_per_segment;
        let name = |at: usize| format!("b{at}");
        for (at, seeds) in contents.iter().enumerate() {
            sample.backup(&name(at), at.checked_sub(1).map(name).as_deref(), seeds);
        }
        let mut zeroed = false;
        for (at, seeds) in contents.iter().enumerate() {
            lose_and_rebuild(&sample, &name(at), MAP, LOSSES[0]).unwrap();
            lose_and_rebuild(&sample, &name(at), CHECKSUMS, LOSSES[0]).unwrap();
            zeroed |= seeds.contains(&0) || at > 0 && seeds.len() != contents[at - 1].len();
            let both = lose_and_rebuild(&sample, &name(at), BOTH, LOSSES[0]);
            prop_assert!(zeroed || both.is_ok(), "{:?}", both);
        }
    }
}

#[test]
fn what_one_table_and_the_indexes_know_is_as_good_as_both_tables() {
    let mut sample = Sample::new();
    let contents: [(&str, &[u8]); 3] = [("b1", &[1, 2, 0, 4, 5]), ("b2", &[3, 2, 0, 4, 6]), ("b3", &[1, 2, 7, 0, 6])];
    for (at, (backup, seeds)) in contents.iter().enumerate() {
        sample.backup(backup, at.checked_sub(1).map(|before| contents[before].0), seeds);
    }
    for ((backup, seeds), table) in contents.iter().flat_map(|of| [(of, "map-0"), (of, "checksums-0")]) {
        let key = format!("vol/{backup}/{table}");
        let before = sample.read(&key);
        for lose in LOSSES {
            lose(&sample, &key);
            let (index, what) = crate::BlockIndex::open_mended(&sample.repository, sample.manifest(backup)).unwrap();
            assert_eq!(format!("{what}-0"), table);
            for (block, seed) in (0..).zip(*seeds) {
                let bytes = index.geometry().len_bytes(block) as usize;
                let expected = (*seed != 0).then(|| BlockHash::of(&crate::sample::content(*seed, bytes)));
                assert_eq!(index.locate(block).unwrap().map(|(_, hash)| hash), expected, "block {block} of {key}");
            }
            sample.write(&key, &before);
        }
    }
}

#[test]
fn a_block_that_no_index_knows_is_damaged_and_no_hole() {
    let mut sample = Sample::new();
    let manifest = sample.backup("b1", None, &[1, 2, 0, 4]);
    sample.remove("vol/b1/map-0");
    sample.remove("vol/b1/segments/000001");
    let (index, _) = crate::BlockIndex::open_mended(&sample.repository, manifest).unwrap();
    assert!(index.locate(0).unwrap().is_some() && index.locate(2).unwrap().is_none());
    assert!(index.locate(3).unwrap_err().is_damage());
    assert!(index.next_extent(3).unwrap().unwrap().stored, "it is not taken for zeros");
}
