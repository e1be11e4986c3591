//! A backup is interrupted at any point and started again. Nothing is stored twice, and the result equals that of a
//! backup that was not interrupted.
//!
//! `SEPTET_SEEDS=100000` tries 100,000 seeds; `SEPTET_SEED=17` replays seed 17.

use fastrand::Rng;
use septet_simulation::{BLOCK_BYTES, World, each_seed};
use septet_store::Stop;

/// A volume with one backup, and with changes since then.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.back_up(true);
    world.write();
    world
}

/// Stops a backup at a change, starts it again, and compares the result with an uninterrupted one.
fn interrupt(seed: u64, stop: impl Fn(u64, u64) -> Stop, full: bool, snapshot: bool) {
    let mut whole = world(seed);
    let first = whole.changes() + 1;
    let backup = whole.back_up_again(full, snapshot).expect("nobody stops it");
    let expected = whole.manifest(&backup);

    let mut world = world(seed);
    let stop = stop(first, whole.changes());
    world.stop_at(stop);
    assert_eq!(world.back_up_again(full, snapshot), None, "{stop:?}");
    world.restart();
    let before = world.segments();
    let listed = world.listed().len();
    if listed > 1 {
        return world.recover();
    }
    let backup = world.back_up_again(full, snapshot).expect("nobody stops it");
    let found = world.manifest(&backup);
    let why = format!("seed {seed}, {stop:?}: {before:?}");
    assert_eq!(found.blocks, expected.blocks, "{why}");
    let live = |manifest: &septet_format::Manifest| -> u64 {
        manifest.segment_rows().map(|(_, _, segment)| segment.live_bytes).sum()
    };
    assert_eq!(live(&found), live(&expected), "{why}");
    let after = world.segments();
    for (key, bytes) in &before {
        assert_eq!(after.get(key), Some(bytes), "{why}: {key} was of no use");
    }
    // Each stored block lies in exactly one segment. If a block had been stored twice, the count would be higher.
    assert_eq!(world.stored_blocks(&backup), expected.blocks.data, "{why}");
    if snapshot {
        let taken_over = world.blocks_in(&before, &backup);
        assert!(
            found.bytes_read
                <= expected.bytes_read.saturating_sub(taken_over.saturating_sub(1) * u64::from(BLOCK_BYTES)),
            "{why}"
        );
    }
    world.recover();
}

#[test]
fn every_change_of_a_backup() {
    for (full, snapshot) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut probe = world(3);
        let first = probe.changes() + 1;
        probe.back_up_again(full, snapshot);
        for at in first..=probe.changes() {
            for applied in [false, true] {
                interrupt(3, |_, _| Stop { at, applied }, full, snapshot);
            }
        }
    }
}

#[test]
fn any_change_of_any_backup() {
    each_seed(200, |seed| {
        let mut rng = Rng::with_seed(!seed);
        let (any, applied) = (rng.u64(..), rng.usize(..2) == 0);
        let stop = |first: u64, last: u64| Stop { at: first + any % (last - first + 1), applied };
        interrupt(seed, stop, rng.usize(..2) == 0, rng.usize(..2) == 0);
    });
}

/// The store stops again and again, while the volume changes, and nothing is cleaned in between.
#[test]
fn again_and_again() {
    each_seed(200, |seed| {
        let mut rng = Rng::with_seed(!seed);
        let mut world = World::new(seed);
        for _ in 0..6 {
            let at = world.changes() + 1 + rng.usize(..16) as u64;
            world.stop_at(Stop { at, applied: rng.usize(..2) == 0 });
            while !world.has_stopped() {
                world.act();
            }
            world.restart();
        }
        world.back_up(false);
        world.recover();
    });
}
