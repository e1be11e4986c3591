//! A server carries out a write long after its sender was killed, when the backup was meanwhile resumed, removed or
//! deleted. No incomplete backup is ever listed, and a cleaning finds everything that is left over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fastrand::Rng;
use septet_format::BackupId;
use septet_simulation::{Host, Wish, content, each_operation, id};
use septet_store::Memory;

/// The end of the key of each write that is carried out late.
const WRITES: [&str; 6] =
    ["/pending-0.json", "/checksums-0", "/map-0", "/manifest-0.json", "/segments/000000", "/segments/000001"];

/// The actions that happen before the late write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The same command again, which resumes where it can.
    Again,
    /// A backup under another id.
    Another,
    Clean,
    Force,
    Delete,
}

use Then::{Again, Another, Clean, Delete, Force};

fn back_up(host: &Host, name: &str, exactly: bool, content: &[u8]) -> Result<BackupId, String> {
    let wish = Wish { backup: exactly.then(|| id(name)), full: false, content, snapshot: false };
    host.back_up(&wish, &mut Rng::with_seed(5), |_| ())
}

fn act(host: &Host, then: Then, round: u64) -> Option<BackupId> {
    let mut rng = Rng::with_seed(6);
    match then {
        // The request may be refused if the backup has been given up meanwhile.
        Again => back_up(host, "late", false, &content(3)).ok(),
        Another => Some(back_up(host, &format!("another-{round}"), true, &content(3)).expect("a backup")),
        Clean => {
            host.clean().expect("cleaning");
            None
        }
        Force => {
            host.delete_by_force(&id("late"), &mut rng).expect("a deletion");
            None
        }
        Delete => {
            // This backup need not exist.
            let _ = host.delete(&id("late"), &mut rng);
            None
        }
    }
}

/// Makes a backup with a delayed write, then does all of `thens`. The write is carried out after `at` operations of
/// these. Returns whether there were that many operations.
fn play(base: &Memory, write: &'static str, thens: &[Then], at: u64) -> bool {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let store = base.copy(&format!("late-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    let host = Host::new(store.clone()).mortal();
    // From this write on every write is delayed, as if the sender had been killed.
    let begun = Arc::new(AtomicBool::new(false));
    store.delay({
        let begun = begun.clone();
        move |key| {
            let is_meant = key.starts_with("vol/late/") && key.ends_with(write);
            begun.load(Ordering::Relaxed) || (is_meant && !begun.swap(true, Ordering::Relaxed))
        }
    });
    back_up(&host, "late", true, &content(2)).expect_err("it gets no answer");
    assert!(store.end_delay(), "{write} was not written");
    let late = store.clone();
    store.pause_at(at, move || drop(late.carry_out_late()));
    let mut made = Vec::new();
    for (round, then) in (0..).zip(thens) {
        made.extend(act(&host, *then, round));
        if *then == Force || *then == Delete {
            made.retain(|backup| *backup != id("late"));
        }
        // Every listed backup reads back whole.
        host.contents();
    }
    let was_early = !store.end_pause();
    store.carry_out_late();
    let listed = host.contents();
    let why = format!("{write}, {thens:?}, {at}: {:?} are listed", listed.keys());
    for backup in &made {
        assert!(listed.get(backup) == Some(&content(3)), "{backup} was acknowledged; {why}");
    }
    // A backup that was never acknowledged may be committed by its late manifest. Then it is whole.
    let others = listed.iter().filter(|(backup, _)| !made.contains(backup) && **backup != id("base"));
    for (backup, found) in others {
        assert!(
            *backup == id("late") && *found == content(2) && write == "/manifest-0.json",
            "{backup} is listed; {why}"
        );
    }
    host.check_cleaning(&why);
    was_early
}

/// Runs `thens` with each late write, which is carried out at each of their operations and after them.
fn after_each_write(thens: &[Then]) {
    let base = Memory::new(&format!("late-base-{thens:?}"));
    back_up(&Host::new(base.clone()).mortal(), "base", true, &content(1)).expect("a backup");
    for write in WRITES {
        let at = each_operation(|at| play(&base, write, thens, at));
        println!("{write} beside {thens:?}: {at} operations");
        assert!(at > 2, "nothing was done");
    }
}

#[test]
fn after_it_was_resumed() {
    after_each_write(&[Again]);
}

#[test]
fn after_it_was_resumed_and_deleted() {
    after_each_write(&[Again, Delete]);
}

#[test]
fn after_another_backup_cleared_it_away() {
    after_each_write(&[Another]);
}

#[test]
fn after_a_cleaning() {
    after_each_write(&[Clean]);
    after_each_write(&[Clean, Another]);
}

#[test]
fn after_it_was_deleted() {
    after_each_write(&[Force]);
    after_each_write(&[Delete]);
    after_each_write(&[Force, Another, Clean]);
}
