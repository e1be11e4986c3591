//! Tests of each rule. Then backups and deletions in random interleavings, on a model of a volume in which each step is
//! one operation of the store.

use super::*;
use crate::RepositoryError;
use crate::sample::{Sample, manifest};
use proptest::prelude::*;
use proptest::sample::Index;
use septet_format::Pending;
use std::collections::{BTreeMap, BTreeSet};

fn id(name: &str) -> BackupId {
    name.parse().unwrap()
}

fn segments(key_of: &str, numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("vol/{key_of}/segments/{number:06}")).collect()
}

fn marker(backup: &str, parent: Option<&BackupId>) -> Pending {
    Pending {
        format: 1,
        repository: uuid::Uuid::nil(),
        volume: "vol".parse().unwrap(),
        backup: id(backup),
        parent: parent.cloned(),
        attempt: 0,
        by: septet_format::Process::default(),
        source: septet_format::Source::default(),
        created: jiff::Timestamp::UNIX_EPOCH,
        beat: 0,
        snapshot: None,
    }
}

fn contents<'a>(keys: impl IntoIterator<Item = &'a String>) -> Contents {
    let object = |key: &String| septet_store::ObjectInfo { key: key.clone(), bytes: 1, modified: None };
    Contents::new(keys.into_iter().map(object).collect())
}

fn add(survey: &mut Survey, keys: impl IntoIterator<Item = String>) {
    let mut all: Vec<_> = survey.contents.objects.iter().map(|object| object.key.clone()).collect();
    all.extend(keys);
    survey.contents = contents(&all);
}

/// Three backups, each the parent of the next, with one segment each. The manifest of the first is gone.
fn survey() -> (Survey, Manifest) {
    let [b1, b2, b3] = [manifest("b1", &["b1"]), manifest("b2", &["b1", "b2"]), manifest("b3", &["b3"])];
    let mut survey = Survey::default();
    for backup in ["b1", "b2", "b3"] {
        let names = ["manifest-0.json", "map-0", "checksums-0", "segments/000000", "segments/000001", "foreign"];
        let names = names.into_iter().filter(|name| (backup, *name) != ("b1", "manifest-0.json"));
        add(&mut survey, names.map(|name| format!("vol/{backup}/{name}")));
    }
    survey.backups.manifests = vec![b2, b3];
    (survey, b1)
}

const TABLES_OF_B1: [&str; 2] = ["vol/b1/map-0", "vol/b1/checksums-0"];

#[test]
fn what_no_manifest_names_may_go_and_nothing_else() {
    let (survey, b1) = survey();
    let mut expected = TABLES_OF_B1.map(str::to_owned).to_vec();
    expected.extend(["b1", "b2", "b3"].iter().flat_map(|backup| segments(backup, [1])));
    assert_eq!(plan(&survey, &[]), expected);
    assert_eq!(plan(&survey, &[b1]), expected, "a deleted manifest keeps nothing by itself");
}

#[test]
fn a_backup_being_made_keeps_its_own_and_its_parents() {
    let (mut survey, _) = survey();
    survey.backups.manifests.remove(0);
    survey.markers.pending.push(marker("b4", Some(&id("b2"))));
    add(&mut survey, segments("b4", [0]));
    let b2 = manifest("b2", &["b1", "b2"]);
    let mut expected = TABLES_OF_B1.map(str::to_owned).to_vec();
    expected.extend(["b1", "b2", "b3"].iter().flat_map(|backup| segments(backup, [1])));
    assert_eq!(plan(&survey, &[b2]), expected);
    assert_eq!(plan(&survey, &[]), TABLES_OF_B1, "the parent is not known: no segment goes");
}

#[test]
fn an_attempt_that_cannot_commit_any_more_keeps_nothing_and_its_successor_all() {
    let (mut survey, b1) = survey();
    let made = segments("b4", [0, 1 << 20]);
    add(&mut survey, made.iter().cloned().chain(["vol/b4/map-1".to_owned(), "vol/b4/manifest-0.json".to_owned()]));
    let without = plan(&survey, std::slice::from_ref(&b1));
    survey.markers.pending.push(marker("b4", Some(&id("b2"))));
    assert_eq!(plan(&survey, std::slice::from_ref(&b1)), without, "attempt 0 was ended");
    assert!(made.iter().all(|key| without.contains(key)) && without.contains(&"vol/b4/map-1".to_owned()));
    survey.markers.pending[0].attempt = 1;
    assert!(!plan(&survey, &[b1]).iter().any(|key| key.starts_with("vol/b4/")), "attempt 1 goes on");
}

#[test]
fn tables_of_other_attempts_go() {
    let (mut survey, b1) = survey();
    let others = ["vol/b2/checksums-1".to_owned(), "vol/b2/map-1".to_owned()];
    add(&mut survey, others.clone());
    let planned = plan(&survey, &[b1]);
    assert!(others.iter().all(|key| planned.contains(key)) && !planned.contains(&"vol/b2/map-0".to_owned()));
}

#[test]
fn no_segment_goes_while_a_manifest_or_a_marker_cannot_be_read() {
    let error = || RepositoryError::InvalidName("unreadable".to_owned());
    let (mut survey, b1) = survey();
    survey.markers.unreadable.push((id("b4"), error()));
    assert_eq!(plan(&survey, std::slice::from_ref(&b1)), TABLES_OF_B1);
    survey.markers.unreadable.clear();
    survey.backups.damaged.push((id("b1"), error()));
    assert!(plan(&survey, &[b1]).is_empty(), "a damaged backup is a backup");
}

#[test]
fn deleting_any_backup_of_a_real_chain_leaves_the_others_whole() {
    for doomed in ["b1", "b2", "b3"] {
        let mut sample = Sample::new();
        let seeds = [("b1", [1, 2, 3, 4]), ("b2", [1, 6, 3, 8]), ("b3", [1, 6, 5, 10])];
        for (at, (backup, seeds)) in seeds.iter().enumerate() {
            let parent = at.checked_sub(1).map(|before| ["b1", "b2"][before]);
            sample.backup(backup, parent, seeds);
        }
        sample.delete(doomed);
        for (backup, seeds) in seeds.iter().filter(|(backup, _)| *backup != doomed) {
            sample.check(backup, seeds);
        }
        for backup in ["b1", "b2", "b3"].iter().filter(|backup| **backup != doomed) {
            sample.delete(backup);
        }
        assert_eq!(sample.keys(), ["b1", "b2", "b3"].map(|backup| format!("vol/{backup}/manifest-1.json")));
    }
}

/// A model of a volume: the objects that exist at one moment.
#[derive(Default)]
struct World {
    objects: BTreeSet<String>,
    manifests: BTreeMap<BackupId, Manifest>,
    markers: BTreeMap<BackupId, Pending>,
}

/// A backup or a deletion, paused between two operations.
enum Actor {
    Backup { id: String, parent: Option<BackupId>, manifest: Option<Box<Manifest>>, step: usize },
    Delete { doomed: BackupId, deleted: Vec<Manifest>, survey: Survey, doing: Vec<String>, step: usize },
}

impl World {
    /// Asserts that every manifest names only existing objects.
    fn check(&self) {
        for (backup, manifest) in &self.manifests {
            for table in ["map-0", "checksums-0"] {
                assert!(self.objects.contains(&format!("vol/{backup}/{table}")), "{backup} has lost its {table}");
            }
            for (_, source, segment) in manifest.segment_rows() {
                let key = keys::segment(&source.volume, &source.backup, segment.number);
                assert!(self.objects.contains(&key), "{backup} has lost {key}");
            }
        }
    }

    fn put(&mut self, backup: &str, name: &str) {
        self.objects.insert(format!("vol/{backup}/{name}"));
    }

    fn add_manifests(&self, survey: &mut Survey) {
        for (backup, manifest) in &self.manifests {
            if !survey.backups.has(backup) {
                survey.backups.manifests.push(manifest.clone());
            }
        }
    }
}

impl Actor {
    fn backup(id: &str, parent: Option<BackupId>) -> Self {
        Self::Backup { id: id.to_owned(), parent, manifest: None, step: 0 }
    }

    fn delete(doomed: BackupId) -> Self {
        Self::Delete { doomed, deleted: Vec::new(), survey: Survey::default(), doing: Vec::new(), step: 0 }
    }

    /// Does one operation. Returns false when all is done.
    fn advance(&mut self, world: &mut World) -> bool {
        match self {
            Self::Backup { id, parent, manifest, step } => {
                *step += 1;
                advance_backup(world, id, parent.as_ref(), manifest, *step)
            }
            Self::Delete { doomed, deleted, survey, doing, step } => {
                *step += 1;
                match *step {
                    1 => deleted.extend(world.manifests.remove(doomed)),
                    2 => survey.contents = contents(&world.objects),
                    3 | 5 => world.add_manifests(survey),
                    4 => survey.markers.pending = world.markers.values().cloned().collect(),
                    6 => *doing = plan(survey, deleted),
                    _ => match doing.pop() {
                        Some(key) => drop(world.objects.remove(&key)),
                        None => return false,
                    },
                }
                true
            }
        }
    }
}

/// Does the steps of `pending::begin` and the pipeline.
fn advance_backup(
    world: &mut World,
    name: &str,
    parent: Option<&BackupId>,
    ours: &mut Option<Box<Manifest>>,
    step: usize,
) -> bool {
    match step {
        1 => drop(world.markers.insert(id(name), marker(name, parent))),
        2 => {
            let mut manifest = manifest(name, &[name]);
            if let Some(parent) = parent {
                let Some(parent) = world.manifests.get(parent) else {
                    world.markers.remove(&id(name));
                    return false;
                };
                manifest.sources.splice(0..0, parent.sources.clone());
            }
            *ours = Some(Box::new(manifest));
        }
        3 => world.put(name, "segments/000000"),
        4 => world.put(name, "map-0"),
        5 => world.put(name, "checksums-0"),
        6 => drop(ours.take().map(|manifest| world.manifests.insert(id(name), *manifest))),
        7 => drop(world.markers.remove(&id(name))),
        _ => return false,
    }
    ours.is_some() || step != 2
}

fn run_to_the_end(world: &mut World, mut actor: Actor) {
    while actor.advance(world) {
        world.check();
    }
}

fn play(parents: &[Index], doomed: &[Index], schedule: &[Index]) {
    let mut world = World::default();
    let old = ["o1", "o2", "o3"];
    for (at, name) in old.iter().enumerate() {
        run_to_the_end(&mut world, Actor::backup(name, at.checked_sub(1).map(|before| id(old[before]))));
    }
    // The parent of a new backup, and the target of a deletion, may be an old backup or a new one.
    let names: Vec<String> =
        old.map(str::to_owned).into_iter().chain((0..parents.len()).map(|at| format!("n{at}"))).collect();
    let backups = parents.iter().enumerate().map(|(at, parent)| {
        let parent = &names[..old.len() + at][parent.index(old.len() + at)];
        Actor::backup(&format!("n{at}"), Some(id(parent)))
    });
    let mut actors: Vec<Actor> =
        backups.chain(doomed.iter().map(|at| Actor::delete(id(&names[at.index(names.len())])))).collect();
    for turn in schedule {
        if actors.is_empty() {
            break;
        }
        let turn = turn.index(actors.len());
        if !actors[turn].advance(&mut world) {
            drop(actors.remove(turn));
        }
        world.check();
    }
    for actor in actors {
        run_to_the_end(&mut world, actor);
    }
    assert!(world.markers.is_empty());
    run_to_the_end(&mut world, Actor::delete(id("nobody")));
    let mut needed = BTreeSet::new();
    for (backup, manifest) in &world.manifests {
        needed.extend(["map-0", "checksums-0"].map(|table| format!("vol/{backup}/{table}")));
        needed.extend(
            manifest.segment_rows().map(|(_, source, row)| keys::segment(&source.volume, &source.backup, row.number)),
        );
    }
    assert_eq!(world.objects, needed, "what nobody needs is found in the end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn backups_and_deletions_may_interleave_in_any_way(
        parents in prop::collection::vec(any::<Index>(), 1..4),
        doomed in prop::collection::vec(any::<Index>(), 1..4),
        schedule in prop::collection::vec(any::<Index>(), 0..120),
    ) {
        play(&parents, &doomed, &schedule);
    }
}
