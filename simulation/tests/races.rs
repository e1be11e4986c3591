//! Any two of {backup, resumed backup, delete, clean, verify, restore} on two hosts. One is paused at each of its
//! operations in turn, while the other runs from start to end. The clocks are wrong by hours.
//!
//! Afterwards every backup that was acknowledged and not deleted restores bit for bit. No other backup is listed, and
//! after a cleaning only the objects that manifests name are left. The table in ARCHITECTURE.md says which operation
//! may fail.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use fastrand::Rng;
use septet_format::BackupId;
use septet_simulation::{BLOCK_BYTES, Host, Wish, each_operation, id};
use septet_store::{Memory, Stop};

/// The request of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// An incremental, under an id of its own.
    Incremental,
    /// A backup with the id that the other host may want too.
    OneId,
    /// Resuming the backup of a dead run.
    Resume,
    /// Deleting the newest backup, which is the parent of an incremental.
    DeleteNewest,
    /// Deleting the backup before the newest, whose segments others need.
    DeleteOlder,
    /// Deleting by force the id that others may want.
    Force,
    Clean,
    Verify,
    /// Restoring the newest backup.
    Restore,
}

use Act::{Clean, DeleteNewest, DeleteOlder, Force, Incremental, OneId, Restore, Resume, Verify};

const ACTS: [Act; 9] = [Incremental, OneId, Resume, DeleteNewest, DeleteOlder, Force, Clean, Verify, Restore];

/// How `act` may fail beside `other`: a part of the error's text. This is the table in ARCHITECTURE.md.
fn may_fail(act: Act, other: Act) -> &'static [&'static str] {
    match (act, other) {
        // The parent, or its tables, were deleted before it was marked as needed.
        (Incremental | OneId | Resume, DeleteNewest) => {
            &["has just been deleted: start again", "there is no backup vol/b3"]
        }
        (OneId, OneId) => &["is being made by", "exists already"],
        // If two runs resume one backup, exactly one succeeds. A backup that was removed can't be resumed.
        (Resume, Resume | Incremental | OneId | Clean) => {
            &["is being made by", "has just been removed or completed: start again"]
        }
        (OneId, Force) => &[
            "was deleted while it was being made",
            "was deleted or never completed",
            "the upload was finished or aborted",
        ],
        // A backup that is deleted while it is read no longer exists.
        (Restore, DeleteNewest) => &["there is no backup vol/b3", "it is not there"],
        // If one backup is deleted twice, the later deletion finds none.
        (DeleteNewest, DeleteNewest) => &["there is no backup vol/b3"],
        (DeleteOlder, DeleteOlder) => &["there is no backup vol/b2"],
        _ => &[],
    }
}

/// Blocks of noise, each from its seed. Seed 0 gives zeros.
fn content(seeds: &[u64]) -> Vec<u8> {
    let block = |seed: &u64| {
        let mut rng = Rng::with_seed(*seed);
        let words = (0..BLOCK_BYTES / 8).map(|_| if *seed == 0 { 0 } else { rng.u64(..) });
        words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>()
    };
    seeds.iter().flat_map(block).collect()
}

static CONTENTS: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    [content(&[1, 2, 3, 4]), content(&[1, 12, 0, 4]), content(&[1, 12, 23, 0]), content(&[31, 12, 33, 34, 35, 36, 37])]
});

/// b1 was deleted, b2 and b3 need its segments, and a run with the parent b3 has died.
fn base(act: Act) -> Arc<Memory> {
    let store = Memory::new(&format!("base-{act:?}"));
    let host = Host::new(store.clone()).mortal();
    let mut rng = Rng::with_seed(1);
    for (name, content) in ["b1", "b2", "b3"].iter().zip(&*CONTENTS) {
        let wish = Wish { backup: Some(id(name)), full: false, content, snapshot: false };
        host.back_up(&wish, &mut rng, |_| ()).expect("a backup");
    }
    host.delete(&id("b1"), &mut rng).expect("a deletion");
    // The run is stopped when one of its segments exists.
    let segment =
        |store: &Memory| septet_store::Store::list(store, "vol/dead/segments/").is_ok_and(|all| !all.is_empty());
    for at in store.changes() + 1.. {
        let trial = store.copy(&format!("trial-{act:?}"));
        let host = Host::new(trial.clone()).mortal();
        trial.set_stop(Some(Stop { at: at - store.changes(), applied: true }));
        let wish = Wish { backup: Some(id("dead")), full: false, content: &CONTENTS[3], snapshot: false };
        host.back_up(&wish, &mut rng, |_| ()).expect_err("it stops");
        trial.set_stop(None);
        if segment(&trial) {
            return trial;
        }
    }
    unreachable!("a backup has segments")
}

/// The result of an act.
#[derive(Default)]
struct Came {
    made: Option<BackupId>,
    deleted: Option<BackupId>,
    failed: Option<String>,
}

fn perform(act: Act, side: &str, host: &Host, seed: u64) -> Came {
    let mut rng = Rng::with_seed(seed);
    let back_up = |backup: Option<BackupId>, rng: &mut Rng| {
        let wish = Wish { backup, full: false, content: &CONTENTS[3], snapshot: false };
        host.back_up(&wish, rng, |_| ()).map(|made| Came { made: Some(made), ..Came::default() })
    };
    let deleted = |name: &str| Came { deleted: Some(id(name)), ..Came::default() };
    let came = match act {
        Incremental => back_up(Some(id(&format!("incremental-{side}"))), &mut rng),
        OneId => back_up(Some(id("one")), &mut rng),
        Resume => back_up(None, &mut rng),
        DeleteNewest => host.delete(&id("b3"), &mut rng).map(|()| deleted("b3")),
        DeleteOlder => host.delete(&id("b2"), &mut rng).map(|()| deleted("b2")),
        Force => host.delete_by_force(&id("one"), &mut rng).map(|()| deleted("one")),
        Clean => host.clean().map(|()| Came::default()),
        Verify => host.verify(&mut rng).map(|damage| {
            assert!(damage.is_empty(), "{damage:?}");
            Came::default()
        }),
        Restore => host.restore(&id("b3"), &mut rng).map(|restored| {
            assert!(restored == CONTENTS[2], "b3 was restored to something else");
            Came::default()
        }),
    };
    came.unwrap_or_else(|why| Came { failed: Some(why), ..Came::default() })
}

fn check_failure(came: &Came, act: Act, other: Act) {
    let Some(why) = &came.failed else { return };
    assert!(may_fail(act, other).iter().any(|text| why.contains(text)), "{act:?} beside {other:?} failed: {why}");
}

/// Pauses `act` at operation `at` and runs `other` meanwhile. Returns whether `act` had that many operations.
fn race(base: &Memory, act: Act, other: Act, at: u64) -> bool {
    static COUNT: Mutex<u64> = Mutex::new(0);
    let name = {
        let mut count = COUNT.lock().expect("a count");
        *count += 1;
        format!("race-{count}")
    };
    let store = base.copy(&name);
    let slow = Host::new(store.clone()).with_clock_wrong_by(-9);
    let quick = Host::new(store.clone()).with_clock_wrong_by(7);
    let came = Arc::new(Mutex::new(None));
    let (told, host) = (came.clone(), quick.clone());
    store.pause_at(at, move || {
        let came = perform(other, "quick", &host, at);
        // Every listed backup is whole even now, while the other host is paused.
        host.contents();
        *told.lock().expect("a place") = Some(came);
    });
    let slow_came = perform(act, "slow", &slow, !at);
    if store.end_pause() {
        return false;
    }
    let quick_came = came.lock().expect("a place").take().expect("it came to something");
    check_failure(&slow_came, act, other);
    check_failure(&quick_came, other, act);
    check_result(&slow, [slow_came, quick_came], act == Force || other == Force);
    true
}

fn check_result(host: &Host, came: [Came; 2], forced: bool) {
    let mut expected = BTreeMap::from([(id("b2"), CONTENTS[1].clone()), (id("b3"), CONTENTS[2].clone())]);
    expected.extend(came.iter().filter_map(|came| came.made.clone()).map(|made| (made, CONTENTS[3].clone())));
    let listed = host.contents();
    for backup in came.iter().filter_map(|came| came.deleted.as_ref()) {
        // A backup that is deleted by force may have been made before or after the deletion.
        if !(forced && listed.contains_key(backup)) {
            expected.remove(backup);
        }
    }
    assert_eq!(listed.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(listed == expected, "a backup holds something else");
    host.check_cleaning("after the race");
}

/// Pauses `act` at each of its operations, beside each of the other acts.
fn beside_each(act: Act) {
    let base = base(act);
    for other in ACTS {
        let at = each_operation(|at| race(&base, act, other, at));
        println!("{act:?} beside {other:?}: {at} operations");
        assert!(at > 3, "{act:?} did nothing");
    }
}

#[test]
fn a_backup_beside_each() {
    beside_each(Incremental);
}

#[test]
fn a_backup_whose_id_others_want_beside_each() {
    beside_each(OneId);
}

#[test]
fn a_resumed_backup_beside_each() {
    beside_each(Resume);
}

#[test]
fn a_deletion_beside_each() {
    beside_each(DeleteNewest);
    beside_each(DeleteOlder);
    beside_each(Force);
}

#[test]
fn a_cleaning_beside_each() {
    beside_each(Clean);
}

#[test]
fn a_verification_beside_each() {
    beside_each(Verify);
}

#[test]
fn a_restore_beside_each() {
    beside_each(Restore);
}
