//! A small repository that is damaged in one place after the other and repaired again. The findings of a verification
//! are compared with the data that restores really return.

#![allow(clippy::single_range_in_vec_init, reason = "a list of ranges may have one")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::Value;

use crate::content::{noise, text};
use crate::{Repo, Scratch};

/// The block size in bytes.
pub const BLOCK: usize = 64 << 10;
/// The volume's length: four blocks and a short one.
pub const VOLUME: usize = 4 * BLOCK + 1000;
/// The segment of b1. b2 needs most of it, too.
pub const SEGMENT_1: &str = "vol/b1/segments/000000";
/// The segment of b2.
pub const SEGMENT_2: &str = "vol/b2/segments/000000";

/// The damaged ranges of the volume, by backup.
pub type Damage = BTreeMap<String, Vec<Range<usize>>>;

/// Two backups. b1 has noise, text, zeros, noise and 1000 more bytes. b2 has a different block 1 and everything else
/// from b1.
pub struct Sample {
    /// The directory of the repository.
    pub scratch: Scratch,
    /// The repository.
    pub repo: Repo,
    /// What each backup must restore to.
    pub contents: [(&'static str, Vec<u8>); 2],
}

impl Sample {
    /// Makes the two backups.
    #[allow(clippy::new_without_default, reason = "to make one is work")]
    pub fn new() -> Self {
        let scratch = Scratch::in_memory();
        let repo = scratch.repo();
        let first = [noise(1, BLOCK), text(1, BLOCK), vec![0; BLOCK], noise(2, BLOCK), noise(3, 1000)].concat();
        let mut second = first.clone();
        second[BLOCK..2 * BLOCK].copy_from_slice(&noise(4, BLOCK));
        let contents = [("b1", first), ("b2", second)];
        for (id, content) in &contents {
            repo.backup_as(id, &scratch.file("volume", content), &[]);
        }
        Self { scratch, repo, contents }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.repo.path().join(key)
    }

    /// An object's bytes.
    pub fn read(&self, key: &str) -> Vec<u8> {
        fs::read(self.path(key)).unwrap()
    }

    /// Replaces or removes objects, runs `look`, and restores the old objects.
    pub fn with<T>(&self, objects: &[(&str, Option<Vec<u8>>)], look: impl FnOnce() -> T) -> T {
        let old: Vec<_> = objects.iter().map(|(key, _)| (self.path(key), fs::read(self.path(key)).unwrap())).collect();
        for (key, new) in objects {
            match new {
                Some(bytes) => fs::write(self.path(key), bytes).unwrap(),
                None => fs::remove_file(self.path(key)).unwrap(),
            }
        }
        let seen = look();
        old.into_iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        seen
    }

    /// Flips a bit of a byte, runs `look`, and restores the old object.
    pub fn with_flipped<T>(&self, key: &str, at: usize, look: impl FnOnce() -> T) -> T {
        self.with(&[(key, Some(flipped(self.read(key), at)))], look)
    }

    /// The damage that a verification of everything finds. Asserts that its exit status agrees.
    pub fn verify(&self) -> Damage {
        let outcome = self.repo.septet(["verify", "--json"]).run();
        assert!(matches!(outcome.status, Some(0 | 3)), "{outcome:?}");
        let damage = ranges_by_backup(&outcome.summary()["damaged"]);
        assert_eq!(outcome.status == Some(3), !damage.is_empty(), "{outcome:?}");
        damage
    }

    /// Asserts that each backup restores correctly except for the damage found, if it can be restored at all. Returns
    /// the ranges that the restores could not read.
    pub fn check_restores(&self, found: &Damage, why: &str) -> Damage {
        let mut seen = Damage::new();
        for (id, content) in &self.contents {
            let named = found.get(*id).cloned().unwrap_or_default();
            let target = self.scratch.path("restored");
            let outcome = self.repo.restore_command(id, &target).arg("--keep-going").run();
            if outcome.status == Some(1) {
                assert!(named == [0..0], "{why}: {id} can't be restored, and its manifest is whole: {outcome:?}");
                assert!(!target.exists(), "{why}: a restore that failed left its target");
                continue;
            }
            let missing = ranges(&outcome.summary()["damaged"]);
            assert_eq!(outcome.status, Some(if missing.is_empty() { 0 } else { 3 }), "{why}: {outcome:?}");
            let restored = fs::read(&target).unwrap();
            fs::remove_file(&target).unwrap();
            assert_eq!(restored.len(), content.len());
            for at in (0..VOLUME).filter(|at| restored[*at] != content[*at]) {
                assert!(
                    missing.iter().any(|range| range.contains(&at)),
                    "{why}: byte {at} of {id} is wrong, and only {missing:?} was named"
                );
            }
            for range in &missing {
                assert!(
                    range.clone().all(|at| named.iter().any(|named| named.contains(&at))),
                    "{why}: verify did not name {range:?} of {id}"
                );
            }
            if !missing.is_empty() {
                seen.insert((*id).to_owned(), missing);
            }
        }
        seen
    }
}

/// The bytes with one bit of byte `at` flipped.
pub fn flipped(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 1 << (at % 8);
    bytes
}

/// The ranges in a summary. Adjacent ranges are merged. Asserts that each has a reason.
pub fn ranges(damaged: &Value) -> Vec<Range<usize>> {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for item in damaged.as_array().unwrap() {
        assert!(item["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{item}");
        let range = number(&item["offset"])..number(&item["offset"]) + number(&item["size"]);
        match ranges.last_mut() {
            // Adjacent ranges may have different reasons.
            Some(last) if last.end == range.start && !range.is_empty() => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    ranges
}

fn ranges_by_backup(damaged: &Value) -> Damage {
    let mut items: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for item in damaged.as_array().unwrap() {
        assert_eq!(item["volume"], "vol");
        items.entry(item["backup"].as_str().unwrap().to_owned()).or_default().push(item.clone());
    }
    items.into_iter().map(|(backup, items)| (backup, ranges(&Value::Array(items)))).collect()
}

/// Damage given as blocks.
pub fn damage(expected: &[(&str, &[usize])]) -> Damage {
    let of_blocks = |blocks: &[usize]| {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for block in blocks {
            let range = block * BLOCK..((block + 1) * BLOCK).min(VOLUME);
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        ranges
    };
    expected.iter().map(|(id, blocks)| ((*id).to_owned(), of_blocks(blocks))).collect()
}

/// The damage that is reported for damaged manifests. Their ranges are unknown.
pub fn lost(ids: &[&str]) -> Damage {
    ids.iter().map(|id| ((*id).to_owned(), Vec::from([0..0]))).collect()
}

/// The range of each block's stored bytes and padding in a segment. See FORMAT.md, "Segment index entry".
pub fn places(segment: &[u8]) -> Vec<(usize, Range<usize>)> {
    let number = |at: usize, bytes: usize| {
        segment[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let footer = segment.len() - 64;
    let (index, index_bytes) = (number(footer + 8, 8), number(footer + 16, 8));
    let entries = (index + 320..index + index_bytes).step_by(56);
    let place = |entry| {
        let (start, stored) = (number(entry + 40, 4) * 512, number(entry + 44, 3));
        (number(entry, 8), start..start + stored.next_multiple_of(4096))
    };
    entries.map(place).collect()
}
