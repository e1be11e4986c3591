//! Verification names exactly the damaged ranges. Every other range restores bit for bit.

#![allow(clippy::single_range_in_vec_init, reason = "a list of ranges may have one")]

use std::fs;

use septet_tests::content::{Rng, noise};
use septet_tests::damage::{BLOCK, Damage, SEGMENT_1, SEGMENT_2, Sample, damage, flipped, lost, places, ranges};
use septet_tests::fault::notes;
use septet_tests::{Scratch, command};

/// The damage from flipping this byte of b1's segment: the block at this offset, in each backup that has it. In the
/// index and the footer: all blocks of the segment.
fn damage_in_segment_1(segment: &[u8], at: usize) -> Damage {
    match places(segment).into_iter().find(|(_, place)| place.contains(&at)) {
        Some((1, _)) => damage(&[("b1", &[1])]),
        Some((block, _)) => damage(&[("b1", &[block]), ("b2", &[block])]),
        None => damage(&[("b1", &[0, 1, 3, 4]), ("b2", &[0, 3, 4])]),
    }
}

#[test]
fn a_whole_repository_is_whole() {
    let sample = Sample::new();
    let summary = sample.repo.septet(["verify", "--json"]).ok().summary();
    assert_eq!((summary["backups"].as_u64(), summary["segments"].as_u64()), (Some(2), Some(2)), "{summary}");
    assert_eq!(summary["damaged"].as_array().map(Vec::len), Some(0));
    assert_eq!(sample.verify(), Damage::new());
    assert_eq!(sample.check_restores(&Damage::new(), "nothing was damaged"), Damage::new());
}

#[test]
fn flips_in_a_shared_segment() {
    let sample = Sample::new();
    let segment = sample.read(SEGMENT_1);
    let mut rng = Rng::new(41);
    let mut flips: Vec<usize> = (0..30).map(|_| rng.below(segment.len())).collect();
    // Each block's first and last byte and its padding, and all kinds of bytes in index and footer.
    flips.extend(places(&segment).iter().flat_map(|(_, place)| [place.start, place.end - 1]));
    let index = places(&segment).iter().map(|(_, place)| place.end).max().unwrap();
    flips.extend((0..12).map(|_| index + rng.below(segment.len() - index)));
    for at in flips {
        let why = format!("byte {at} of {SEGMENT_1} flipped");
        let expected = damage_in_segment_1(&segment, at);
        sample.with_flipped(SEGMENT_1, at, || {
            let found = sample.verify();
            assert_eq!(found, expected, "{why}");
            let missing = sample.check_restores(&found, &why);
            assert!(missing.is_empty() || missing == expected, "{why}: {missing:?}");
        });
    }
    assert_eq!(sample.verify(), Damage::new());
}

#[test]
fn every_byte_of_the_tables() {
    let sample = Sample::new();
    let (map, checksums) = ("vol/b1/map-0", "vol/b2/checksums-0");
    let (map_bytes, checksums_bytes) = (sample.read(map), sample.read(checksums));
    let both = damage(&[("b1", &[0, 1, 2, 3, 4]), ("b2", &[0, 1, 2, 3, 4])]);
    for at in 0..map_bytes.len().max(checksums_bytes.len()) {
        let (map_at, checksums_at) = (at % map_bytes.len(), at % checksums_bytes.len());
        let flipped = [
            (map, Some(flipped(map_bytes.clone(), map_at))),
            (checksums, Some(flipped(checksums_bytes.clone(), checksums_at))),
        ];
        let found = sample.with(&flipped, || sample.verify());
        assert_eq!(found, both, "byte {map_at} of {map} and byte {checksums_at} of {checksums} flipped");
    }
}

#[test]
fn every_byte_of_the_manifests() {
    let sample = Sample::new();
    let (first, second) = ("vol/b1/manifest-0.json", "vol/b2/manifest-0.json");
    let (first_bytes, second_bytes) = (sample.read(first), sample.read(second));
    let whole = lost(&["b1", "b2"]);
    for at in 0..first_bytes.len().min(second_bytes.len()) {
        let flipped =
            [(first, Some(flipped(first_bytes.clone(), at))), (second, Some(flipped(second_bytes.clone(), at)))];
        let found = sample.with(&flipped, || sample.verify());
        assert_eq!(found, whole, "byte {at} of both manifests flipped");
    }
}

/// Some fields are for people only. Changes of the others must be noticed, and no restore may be wrong.
#[test]
fn bytes_of_septet_json() {
    let sample = Sample::new();
    let length = sample.read("septet.json").len();
    for at in (0..length).step_by(3) {
        sample.with_flipped("septet.json", at, || {
            let outcome = sample.repo.septet(["verify", "--json"]).run();
            assert!(matches!(outcome.status, Some(0 | 1 | 3)), "{outcome:?}");
            if outcome.status == Some(0) {
                sample.repo.assert_restores("b2", &sample.contents[1].1);
            }
        });
    }
}

#[test]
fn objects_cut_short_and_removed() {
    let sample = Sample::new();
    let all_of_1 = damage(&[("b1", &[0, 1, 3, 4]), ("b2", &[0, 3, 4])]);
    let whole_1 = damage(&[("b1", &[0, 1, 2, 3, 4])]);
    let cases = [
        (SEGMENT_1, all_of_1),
        (SEGMENT_2, damage(&[("b2", &[1])])),
        ("vol/b1/map-0", whole_1.clone()),
        ("vol/b1/checksums-0", whole_1),
    ];
    let nothing = Damage::new();
    for (key, expected) in cases {
        let bytes = sample.read(key);
        let cuts = [0, 1, bytes.len() / 2, bytes.len().saturating_sub(4096), bytes.len() - 1];
        let mut damaged: Vec<_> =
            cuts.map(|end| (format!("{key} cut to {end} bytes"), Some(bytes[..end].to_vec()))).into();
        damaged.push((format!("{key} removed"), None));
        let longer = (format!("{key} with zeros behind it"), Some([&bytes[..], &[0; 4096]].concat()));
        // A segment is parsed from its end. Bytes behind a table are not part of it.
        let harmless = if key.contains("/segments/") {
            damaged.push(longer);
            None
        } else {
            Some(longer)
        };
        for (why, new, expected) in damaged
            .into_iter()
            .map(|(why, new)| (why, new, &expected))
            .chain(harmless.into_iter().map(|(why, new)| (why, new, &nothing)))
        {
            sample.with(&[(key, new)], || {
                let found = sample.verify();
                assert_eq!(found, *expected, "{why}");
                sample.check_restores(&found, &why);
            });
        }
    }
}

#[test]
fn a_manifest_cut_short() {
    let sample = Sample::new();
    let bytes = sample.read("vol/b2/manifest-0.json");
    for end in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        sample.with(&[("vol/b2/manifest-0.json", Some(bytes[..end].to_vec()))], || {
            let found = sample.verify();
            assert_eq!(found, lost(&["b2"]), "cut to {end} bytes");
            sample.check_restores(&found, "a manifest cut short");
        });
    }
}

#[test]
fn objects_swapped_with_anothers() {
    let sample = Sample::new();
    let swap = |left: &str, right: &str| {
        sample.with(&[(left, Some(sample.read(right))), (right, Some(sample.read(left)))], || {
            let found = sample.verify();
            sample.check_restores(&found, &format!("{left} and {right} swapped"));
            found
        })
    };
    let all = damage(&[("b1", &[0, 1, 2, 3, 4]), ("b2", &[0, 1, 2, 3, 4])]);
    assert_eq!(swap(SEGMENT_1, SEGMENT_2), damage(&[("b1", &[0, 1, 3, 4]), ("b2", &[0, 1, 3, 4])]));
    assert_eq!(swap("vol/b1/map-0", "vol/b2/map-0"), all);
    assert_eq!(swap("vol/b1/checksums-0", "vol/b2/checksums-0"), all);
    let manifests = lost(&["b1", "b2"]);
    assert_eq!(swap("vol/b1/manifest-0.json", "vol/b2/manifest-0.json"), manifests);
}

/// The same volume in another repository: all names match, but the objects belong to the other repository.
#[test]
fn objects_of_another_repository() {
    let (sample, other) = (Sample::new(), Sample::new());
    let found = sample.with(&[(SEGMENT_1, Some(other.read(SEGMENT_1)))], || sample.verify());
    assert_eq!(found, damage(&[("b1", &[0, 1, 3, 4]), ("b2", &[0, 3, 4])]));
    let found =
        sample.with(&[("vol/b1/manifest-0.json", Some(other.read("vol/b1/manifest-0.json")))], || sample.verify());
    assert_eq!(found.keys().collect::<Vec<_>>(), ["b1"]);
}

#[test]
fn only_what_was_asked_for_is_judged() {
    let sample = Sample::new();
    let (_, place) = places(&sample.read(SEGMENT_1)).into_iter().find(|(block, _)| *block == 1).unwrap();
    sample.with_flipped(SEGMENT_1, place.start, || {
        sample.repo.septet(["verify", "b2"]).ok();
        let outcome = sample.repo.septet(["verify", "vol/b1"]).run().exits(3);
        assert!(outcome.stdout.contains("vol/b1 bytes 65536..131072"), "{}", outcome.stdout);
    });
    sample.repo.septet(["verify", "b3"]).fails(1, "b3");
}

#[test]
fn a_restore_stops_at_damage_unless_it_is_to_keep_going() {
    let sample = Sample::new();
    let (_, place) = places(&sample.read(SEGMENT_1)).into_iter().find(|(block, _)| *block == 3).unwrap();
    sample.with_flipped(SEGMENT_1, place.start + 5, || {
        let target = sample.scratch.path("restored");
        sample.repo.restore_command("b2", &target).fails(1, "196608..262144");
        let left: Vec<_> =
            fs::read_dir(sample.scratch.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "only the repository and the volume: {left:?}");
        // If an existing target was changed, the error says so. If nothing was written, it does not.
        let over = |target| sample.repo.restore_command("b2", target).arg("--overwrite");
        let existing = sample.scratch.file("existing", b"old");
        assert!(notes(&over(&existing).run().exits(1)).contains("existing is partly written: restore it again"));
        fs::remove_file(&existing).unwrap();
        assert!(!notes(&over(sample.scratch.dir()).run().exits(1)).contains("partly written"));
        // The rest can be restored, in parts and as a whole.
        sample.repo.restore("b2", &target, &["--length", "196608"]);
        fs::remove_file(&target).unwrap();
        let outcome = sample.repo.restore_command("b2", &target).arg("--keep-going").run().exits(3);
        assert_eq!(ranges(&outcome.summary()["damaged"]), [3 * BLOCK..4 * BLOCK]);
        let restored = fs::read(&target).unwrap();
        let content = &sample.contents[1].1;
        assert!(restored[..3 * BLOCK] == content[..3 * BLOCK] && restored[4 * BLOCK..] == content[4 * BLOCK..]);
    });
}

#[test]
fn a_copy_of_a_repository_is_as_good() {
    let sample = Sample::new();
    let elsewhere = Scratch::on_disk();
    command("cp", [std::path::Path::new("-r"), sample.repo.path(), elsewhere.dir()]);
    elsewhere.repo().septet(["verify"]).ok();
    elsewhere.repo().assert_restores("b2", &sample.contents[1].1);
}

/// A table is damaged, lost or belongs to another backup: its content is reconstructed from the segments.
#[test]
fn a_restore_that_keeps_going_does_without_a_table() {
    let sample = Sample::new();
    for (backup, other, content) in [("b1", "b2", &sample.contents[0].1), ("b2", "b1", &sample.contents[1].1)] {
        for table in ["map-0", "checksums-0"] {
            let key = format!("vol/{backup}/{table}");
            let bytes = sample.read(&key);
            let ways = [
                Some(flipped(bytes.clone(), bytes.len() - 1)),
                Some(flipped(bytes.clone(), 8)),
                Some(bytes[..bytes.len() / 2].to_vec()),
                Some(sample.read(&format!("vol/{other}/{table}"))),
                None,
            ];
            for (way, new) in ways.into_iter().enumerate() {
                sample.with(&[(&key, new)], || {
                    let target = sample.scratch.path("restored");
                    sample.repo.restore_command(backup, &target).fails(1, "`septet rebuild` may help");
                    let outcome = sample.repo.restore_command(backup, &target).arg("--keep-going").ok();
                    assert!(notes(&outcome).contains("reconstructed from the indexes of the segments"), "{outcome:?}");
                    assert!(fs::read(&target).unwrap() == *content, "{key}, damaged in way {way}");
                    fs::remove_file(target).unwrap();
                });
            }
        }
    }
}

#[test]
fn without_a_table_what_is_damaged_besides_is_listed_and_the_rest_saved() {
    let sample = Sample::new();
    let (_, place) = places(&sample.read(SEGMENT_1)).into_iter().find(|(block, _)| *block == 3).unwrap();
    let flip = Some(flipped(sample.read(SEGMENT_1), place.start));
    for (map, segment, lost) in [
        (None, flip, vec![3 * BLOCK..4 * BLOCK]),
        // Without the segment's index the locations and hashes of its blocks are unknown.
        (None, None, vec![0..BLOCK, 3 * BLOCK..sample.contents[1].1.len()]),
    ] {
        sample.with(&[("vol/b2/map-0", map), (SEGMENT_1, segment)], || {
            let target = sample.scratch.path("restored");
            let outcome = sample.repo.restore_command("b2", &target).arg("--keep-going").run().exits(3);
            assert_eq!(ranges(&outcome.summary()["damaged"]), lost);
            let (restored, content) = (fs::read(&target).unwrap(), &sample.contents[1].1);
            let is_lost = |at: &usize| lost.iter().any(|range| range.contains(at));
            assert!((0..content.len()).all(|at| is_lost(&at) || restored[at] == content[at]));
            fs::remove_file(target).unwrap();
        });
    }
}

/// Both tables of an older backup are valid, but describe other content.
#[test]
fn tables_of_an_older_backup_are_never_taken_for_this_ones() {
    let sample = Sample::new();
    let old =
        ["map-0", "checksums-0"].map(|table| (format!("vol/b2/{table}"), sample.read(&format!("vol/b1/{table}"))));
    sample.with(&old.each_ref().map(|(key, bytes)| (key.as_str(), Some(bytes.clone()))), || {
        let found = sample.verify();
        assert_eq!(found, damage(&[("b2", &[0, 1, 2, 3, 4])]));
        sample.check_restores(&found, "both tables are an older backup's");
    });
}

#[test]
fn each_object_replaced_by_that_of_an_older_backup() {
    let sample = Sample::new();
    let tables =
        ["map-0", "checksums-0", "manifest-0.json"].map(|name| (format!("vol/b2/{name}"), format!("vol/b1/{name}")));
    for (newer, older) in tables.into_iter().chain([(SEGMENT_2.to_owned(), SEGMENT_1.to_owned())]) {
        sample.with(&[(&newer, Some(sample.read(&older)))], || {
            let found = sample.verify();
            assert_eq!(found.keys().collect::<Vec<_>>(), ["b2"], "{newer}");
            sample.check_restores(&found, &format!("{newer} is that of an older backup"));
        });
    }
}

/// Twenty rounds of 5 % together read everything exactly once. One of them finds the damage.
#[test]
fn rounds_of_a_sample_find_what_a_verification_finds_at_a_share_of_its_cost() {
    const ROUNDS: u64 = 20;
    let scratch = Scratch::in_memory();
    let repo = scratch.repo();
    let content = noise(1, 96 << 20);
    repo.backup(&scratch.file("volume", &content), &["--volume", "vol", "--id", "b", "--segment-size", "16MiB"]);
    let checked = |args: &[&str]| {
        let outcome = repo.septet(["verify", "--json"]).args(args).run();
        let summary = outcome.summary();
        let damaged = summary["damaged"].as_array().map_or(0, Vec::len);
        assert_eq!(outcome.status, Some(if damaged == 0 { 0 } else { 3 }), "{outcome:?}");
        (summary["bytes_checked"].as_u64().unwrap(), damaged)
    };
    let (all, _) = checked(&[]);
    let rounds = || (0..ROUNDS).map(|round| checked(&["--sample", "5%", "--round", &round.to_string()]));
    let bytes: Vec<u64> = rounds().map(|(bytes, _)| bytes).collect();
    assert_eq!(bytes.iter().sum::<u64>(), all, "{bytes:?}");
    assert!(bytes.iter().all(|bytes| *bytes < all / 2), "{bytes:?}");
    assert!(checked(&["--sample", "5%"]).0 < all / 2, "by chance");

    let segment = repo.path().join("vol/b/segments/000002");
    let mut damaged = fs::read(&segment).unwrap();
    damaged[5 << 20] ^= 1;
    fs::write(&segment, &damaged).unwrap();
    assert_eq!(rounds().map(|(_, damaged)| damaged).sum::<usize>(), 1);
    // Missing and truncated objects are found in every round.
    fs::write(&segment, &damaged[..damaged.len() - 1]).unwrap();
    assert!(rounds().all(|(_, damaged)| damaged > 0));
}
