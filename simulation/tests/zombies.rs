//! A live run is considered dead: another run resumes, removes or deletes its backup, and both continue. At most one of
//! them commits, only whole backups are listed, and a cleaning finds everything that is left over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use septet_format::BackupId;
use septet_simulation::{Host, Wish, content, each_operation, each_seed, id};
use septet_store::Memory;

/// The action of a run that considers the other run dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Makes the same backup and resumes it.
    Resume,
    /// Makes another backup, and first removes what the other run stored.
    Another,
    Clean,
    /// Deletes the backup, whether it is committed or not.
    Force,
    Verify,
}

const ACTS: [Act; 5] = [Act::Resume, Act::Another, Act::Clean, Act::Force, Act::Verify];

/// An acknowledged backup, and the seed of its content.
type Made = Option<(BackupId, u64)>;

fn back_up(host: &Host, name: &str, full: bool, of: u64) -> Made {
    let content = content(of);
    let wish = Wish { backup: Some(id(name)), full, content: &content, snapshot: false };
    host.back_up(&wish, &mut Rng::with_seed(of), |_| ()).ok().map(|made| (made, of))
}

/// Performs an act. Returns the backup if it was acknowledged. Any act may fail beside the others.
fn perform(host: &Host, act: Act, of: u64) -> Made {
    let mut rng = Rng::with_seed(of);
    match act {
        Act::Resume => back_up(host, "zombie", false, of),
        Act::Another => back_up(host, &format!("another-{of}"), of.is_multiple_of(2), of),
        Act::Clean => {
            let _ = host.clean();
            None
        }
        Act::Force => {
            let _ = host.delete_by_force(&id("zombie"), &mut rng);
            None
        }
        Act::Verify => {
            let damage = host.verify(&mut rng);
            assert!(damage.as_ref().is_ok_and(Vec::is_empty), "{damage:?}");
            None
        }
    }
}

/// A repository with two backups that can be parents.
fn base(name: &str) -> Arc<Memory> {
    let store = Memory::new(name);
    let host = Host::new(store.clone()).mortal();
    for (name, of) in [("b1", 101), ("b2", 102)] {
        back_up(&host, name, false, of).expect("a backup");
    }
    store
}

fn check(host: &Host, acknowledged: &[(BackupId, u64)], forced: bool, why: &str) {
    let listed = host.contents();
    let mut expected = BTreeMap::from([(id("b1"), content(101)), (id("b2"), content(102))]);
    for (backup, of) in acknowledged {
        let before = expected.insert(backup.clone(), content(*of));
        assert!(before.is_none(), "{backup} was acknowledged twice: {why}");
    }
    for (backup, content) in &expected {
        // A backup that was deleted by force may have been committed before that.
        let is_gone = forced && *backup == id("zombie") && !listed.contains_key(backup);
        assert!(is_gone || listed.get(backup) == Some(content), "{backup} is not what was acknowledged: {why}");
    }
    assert!(listed.keys().all(|backup| expected.contains_key(backup)), "{:?} are listed: {why}", listed.keys());
    host.check_cleaning(why);
}

/// Pauses a backup at an operation while others consider its run dead. Returns whether it had that many operations.
fn stand_still(base: &Memory, acts: &'static [Act], at: u64) -> bool {
    let store = base.copy(&format!("zombie-{acts:?}-{at}"));
    let host = Host::new(store.clone()).mortal();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (told, other) = (acknowledged.clone(), Host::new(store.clone()).mortal());
    store.pause_at(at, move || {
        for (of, act) in (10..).zip(acts) {
            told.lock().expect("a place").extend(perform(&other, *act, of));
            // Every listed backup is whole even now, while the other run is paused.
            other.contents();
        }
    });
    let made = back_up(&host, "zombie", false, 1);
    if store.end_pause() {
        return false;
    }
    let mut acknowledged = acknowledged.lock().expect("a place").clone();
    acknowledged.extend(made);
    check(&host, &acknowledged, acts.contains(&Act::Force), &format!("{acts:?} at {at}"));
    true
}

fn at_each_operation(acts: &'static [Act]) {
    let base = base(&format!("zombies-{acts:?}"));
    let at = each_operation(|at| stand_still(&base, acts, at));
    println!("{acts:?}: {at} operations");
    assert!(at > 20, "a backup has more operations than {at}");
}

#[test]
fn it_is_resumed_and_runs_on() {
    at_each_operation(&[Act::Resume]);
}

#[test]
fn it_is_cleared_away_and_runs_on() {
    at_each_operation(&[Act::Clean]);
    at_each_operation(&[Act::Clean, Act::Another]);
}

#[test]
fn another_backup_clears_it_away_and_it_runs_on() {
    at_each_operation(&[Act::Another, Act::Verify]);
}

#[test]
fn it_is_deleted_and_runs_on() {
    at_each_operation(&[Act::Force]);
    at_each_operation(&[Act::Force, Act::Resume, Act::Clean]);
}

#[test]
fn it_is_resumed_and_cleared_away_and_runs_on() {
    at_each_operation(&[Act::Resume, Act::Clean]);
    at_each_operation(&[Act::Resume, Act::Force]);
}

/// Several nested runs, each paused at a random operation. Each considers all others dead.
fn crowd(seed: u64) {
    let store = base(&format!("crowd-{seed}"));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let forced = Arc::new(Mutex::new(false));
    let mut rng = Rng::with_seed(seed);
    for _ in 0..2 {
        step(&store, Rng::with_seed(rng.u64(..)), 3, &acknowledged, &forced);
    }
    store.end_pause();
    let (acknowledged, forced) = (acknowledged.lock().expect("a place"), forced.lock().expect("a place"));
    check(&Host::new(store), &acknowledged, *forced, &format!("seed {seed}"));
}

fn step(
    store: &Arc<Memory>,
    mut rng: Rng,
    depth: u32,
    acknowledged: &Arc<Mutex<Vec<(BackupId, u64)>>>,
    forced: &Arc<Mutex<bool>>,
) {
    let act = if depth == 3 { Act::Resume } else { ACTS[rng.usize(..ACTS.len())] };
    if act == Act::Force {
        *forced.lock().expect("a place") = true;
    }
    if depth > 0 {
        let (inner, told, ended) = (store.clone(), acknowledged.clone(), forced.clone());
        let inner_rng = Rng::with_seed(rng.u64(..));
        store.pause_at(rng.u64(..40), move || step(&inner, inner_rng, depth - 1, &told, &ended));
    }
    let of = rng.u64(1000..);
    let made = perform(&Host::new(store.clone()).mortal(), act, of);
    acknowledged.lock().expect("a place").extend(made);
}

#[test]
fn many_that_take_each_other_for_dead() {
    each_seed(150, crowd);
}
