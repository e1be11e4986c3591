//! A soak test: random operations on several volumes in several repositories, with faults and concurrent commands.
//! After each operation the repository is compared with a simple model.
//!
//! A seed determines the operations. The moment of a kill also depends on the machine. The `model` knows the content of
//! every backup. After an interrupted run, the backup that was being made or deleted may exist or not. If it exists, it
//! must be complete.

mod act;
mod doing;
mod fault;
mod model;
mod place;

use std::fmt;

use crate::Scratch;
use crate::content::Rng;
use crate::s3::{Proxy, Seaweed};
use model::Volume;
use place::Place;

/// What was done, and the results.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// The number of operations.
    pub operations: u64,
    /// Faults (killed runs, failing stores, damaged objects) after which everything was as the model says.
    pub faults: u64,
    /// Pairs of commands that ran at the same time.
    pub pairs: u64,
    /// Restored bytes that were compared with the model.
    pub bytes_compared: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, faults, pairs, bytes_compared } = self;
        // A loss causes a panic, so nothing was lost if this is reached.
        write!(f, "{operations} operations, {faults} faults survived, {pairs} pairs side by side, ")?;
        write!(f, "{bytes_compared} bytes compared, 0 losses")
    }
}

/// The state that the operations work on.
struct World {
    rng: Rng,
    scratch: Scratch,
    places: Vec<Place>,
    volumes: Vec<Volume>,
    /// Whether to give up a failing store soon. Otherwise the usual time limits hold.
    impatient: bool,
    tally: Tally,
}

/// The operations, each with its share of 110.
type Act = fn(&mut World, usize);
const ACTS: [(usize, Act); 13] = [
    (20, World::write),
    (5, World::resize),
    (22, World::back_up),
    (5, World::back_up_full),
    (7, World::restore),
    (7, World::restore_part),
    (9, World::delete),
    (3, World::clean),
    (3, World::verify),
    (3, World::rebuild),
    (11, World::kill),
    (8, World::two_at_once),
    (5, World::store_fails),
];

/// Does `operations` operations, determined by the seed, in a directory and in a bucket of `seaweed`.
///
/// # Panics
/// At the first difference from the model.
pub fn run(seed: u64, operations: u64, seaweed: &Seaweed) -> Tally {
    println!("seed {seed}: SEPTET_SOAK_SEED={seed} SEPTET_SOAK_OPERATIONS={operations} does the same again");
    let mut world = World::new(seed, seaweed);
    for number in 0..operations {
        // A new generator for each operation, so that the random outcome of an interrupted run influences later
        // operations as little as possible.
        world.rng = Rng::new(seed.wrapping_mul(1_000_003) ^ number);
        world.step();
        world.tally.operations += 1;
        if world.tally.operations.is_multiple_of(100) {
            println!("{}", world.tally);
        }
    }
    world.end();
    world.tally
}

impl World {
    fn new(seed: u64, seaweed: &Seaweed) -> Self {
        let scratch = Scratch::in_memory();
        let places = vec![
            Place::directory(scratch.path("mount")),
            Place::bucket(Proxy::before(seaweed.server()), &seaweed.place(&format!("/{seed}?part-size=5"))),
        ];
        let mut rng = Rng::new(seed);
        let volumes = (0..4).map(|number| Volume::new(&scratch, number, number % places.len(), &mut rng)).collect();
        Self { rng, scratch, places, volumes, impatient: false, tally: Tally::default() }
    }

    fn step(&mut self) {
        let volume = self.rng.below(self.volumes.len());
        // The rest of the 110 is the operation `damage`.
        let mut choice = self.rng.below(110);
        let act = ACTS.iter().find(|(weight, _)| {
            let hit = choice < *weight;
            choice = choice.saturating_sub(*weight);
            hit
        });
        act.map_or(World::damage as Act, |(_, act)| *act)(self, volume);
        self.compare(volume);
    }

    /// Compares the list of backups with the model, and one restored backup with its content.
    fn compare(&mut self, volume: usize) {
        let place = self.volumes[volume].place;
        let listed = self.places[place].listed();
        for volume in self.volumes.iter_mut().filter(|volume| volume.place == place) {
            volume.settle(&listed);
        }
        if let Some((id, content)) = self.volumes[volume].any_backup(&mut self.rng) {
            self.compare_backup(volume, &id, &content);
        }
    }

    fn compare_backup(&mut self, volume: usize, id: &str, content: &[u8]) {
        let target = self.scratch.path("restored");
        self.septet(volume, &["restore", "--json", id]).arg(&target).ok();
        crate::assert_bytes(&target, content);
        std::fs::remove_file(&target).expect("what was restored");
        self.tally.bytes_compared += content.len() as u64;
    }

    /// Asserts at the end that everything restores and nothing is damaged, and that nothing is left after all is
    /// deleted.
    fn end(&mut self) {
        for volume in 0..self.volumes.len() {
            for (id, content) in self.volumes[volume].backups() {
                self.compare_backup(volume, &id, &content);
            }
        }
        for volume in 0..self.volumes.len() {
            self.verify(volume);
            let ids: Vec<String> = self.volumes[volume].backups().into_iter().map(|(id, _)| id).collect();
            if !ids.is_empty() {
                self.septet(volume, &["delete", "--json"]).args(ids).ok();
            }
        }
        for place in &self.places {
            place.septet(&["clean", "--json"]).ok();
            let left: Vec<String> = place.objects().into_iter().filter(|key| key != "septet.json").collect();
            assert_eq!(left, [""; 0], "what no backup needs is left in {}", place.url());
        }
    }
}
