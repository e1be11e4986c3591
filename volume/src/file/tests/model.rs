//! Tests that random writes and zeroing have the same result as on a plain vector of bytes.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{direct_loop, disk, file, open_target, tmpfs};
use crate::Target;
use crate::conformance::pattern;

const VOLUME_BYTES: usize = (256 << 10) + 512;

#[derive(Debug, Clone)]
struct Step {
    start: usize,
    end: usize,
    /// The seed of the data to write. `None` zeroes the range.
    seed: Option<u64>,
}

/// Ranges with no, one or both ends on a page boundary, so that neighbouring ranges share pages in every way.
fn step() -> impl Strategy<Value = Step> {
    let place = prop_oneof![
        0..=VOLUME_BYTES,
        (0..=VOLUME_BYTES / 4096).prop_map(|page| page * 4096),
        (0..=VOLUME_BYTES / 512).prop_map(|sector| sector * 512),
        Just(VOLUME_BYTES),
    ];
    (place.clone(), place, any::<Option<u64>>()).prop_map(|(a, b, seed)| Step { start: a.min(b), end: a.max(b), seed })
}

fn run_steps(path: &Path, before: Option<Vec<u8>>, steps: &[Step]) {
    let target = open_target(path, VOLUME_BYTES, before.is_some()).expect("the target");
    let mut model = before.unwrap_or_else(|| vec![0; VOLUME_BYTES]);
    for step in steps {
        let range = step.start..step.end;
        match step.seed {
            Some(seed) => {
                let data = pattern(seed, range.len());
                target.write_at(step.start as u64, &data).expect("written");
                model[range].copy_from_slice(&data);
            }
            None => {
                target.zero(step.start as u64, range.len() as u64).expect("zeroed");
                model[range].fill(0);
            }
        }
    }
    target.finish().expect("finished");
    drop(target);
    assert!(fs::read(path).expect("the volume")[..VOLUME_BYTES] == model, "it differs from the model");
}

fn check(run: impl Fn(&[Step])) {
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let steps = prop::collection::vec(step(), 0..12);
    TestRunner::new(config)
        .run(&steps, |steps| {
            run(&steps);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_new_file_is_like_the_model() {
    for directory in [disk(), tmpfs()] {
        let path = directory.path().join("volume");
        check(|steps| {
            let _ = fs::remove_file(&path);
            run_steps(&path, None, steps);
        });
    }
}

#[test]
fn an_existing_file_is_like_the_model() {
    for directory in [disk(), tmpfs()] {
        let before = pattern(1, VOLUME_BYTES);
        check(|steps| run_steps(&file(directory.path(), &before), Some(before.clone()), steps));
    }
}

#[test]
fn a_device_is_like_the_model() {
    for sector_bytes in [512, 4096] {
        let directory = disk();
        let device = direct_loop(&file(directory.path(), &vec![0; 1 << 20]), sector_bytes);
        check(|steps| {
            let mut before = fs::read(device.path()).expect("the device");
            before.truncate(VOLUME_BYTES);
            run_steps(device.path(), Some(before), steps);
        });
    }
}
