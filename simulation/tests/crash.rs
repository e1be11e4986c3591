//! The store stops for good at any change, during any operation. Nothing is lost, and a cleaning finds everything that
//! is left over.
//!
//! `SEPTET_SEEDS=100000` tries 100,000 seeds; `SEPTET_SEED=17` replays seed 17.

use fastrand::Rng;
use septet_simulation::{World, each_seed};
use septet_store::Stop;

/// A sequence with every kind of action.
const ACTIONS: [fn(&mut World); 6] = [
    |world| world.back_up(true),
    |world| world.back_up(false),
    |world| world.back_up(false),
    World::delete_any,
    World::clean,
    |world| world.back_up(false),
];

#[test]
fn every_change_of_a_short_life() {
    let mut world = World::new(0);
    let first = world.changes() + 1;
    ACTIONS.iter().for_each(|act| act(&mut world));
    for at in first..=world.changes() {
        for applied in [false, true] {
            println!("the store stops at change {at}, which is {}made", if applied { "" } else { "not " });
            let mut world = World::new(0);
            world.stop_at(Stop { at, applied });
            ACTIONS
                .iter()
                .take_while(|act| {
                    act(&mut world);
                    !world.has_stopped()
                })
                .for_each(drop);
            assert!(world.has_stopped());
            world.recover();
        }
    }
}

/// A few actions, during which the store stops three times. The result is checked after each stop.
fn live(seed: u64) {
    let mut rng = Rng::with_seed(!seed);
    let mut world = World::new(seed);
    for _ in 0..3 {
        for _ in 0..rng.usize(..3) {
            world.act();
        }
        let at = world.changes() + 1 + rng.usize(..24) as u64;
        world.stop_at(Stop { at, applied: rng.usize(..2) == 0 });
        while !world.has_stopped() {
            world.act();
        }
        world.recover();
    }
    world.act();
    world.recover();
}

#[test]
fn nothing_is_lost_wherever_the_store_stops() {
    each_seed(400, live);
}
