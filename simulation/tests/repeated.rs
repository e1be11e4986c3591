//! Deletions are carried out again, at any operation within a day, while a few ids are used, given up, deleted and used
//! again. Runs die in the middle. Every acknowledged backup restores bit for bit until it is deleted.
//!
//! `SEPTET_SEEDS=100000` tries 100,000 seeds; `SEPTET_SEED=17` replays seed 17.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use septet_format::BackupId;
use septet_simulation::{Host, Wish, content, each_seed, id};
use septet_store::{Memory, Stop};

const HOUR: Duration = Duration::from_secs(60 * 60);
const ROUNDS: u64 = 14;

/// What the backups must contain.
#[derive(Default)]
struct Expected(BTreeMap<BackupId, Vec<u8>>);

impl Expected {
    /// Checks the listed backups. The last act, of which nothing is known, changed at most `unknown`: to the given content,
    /// or to nothing.
    fn check(&mut self, host: &Host, unknown: Option<(BackupId, Option<Vec<u8>>)>) {
        let listed = host.contents();
        if let Some((backup, after)) = unknown {
            let now = listed.get(&backup);
            let is_possible = now == self.0.get(&backup) || now == after.as_ref();
            assert!(is_possible, "{backup} is neither what it was nor what it became");
            self.0.remove(&backup);
            self.0.extend(now.map(|now| (backup, now.clone())));
        }
        assert_eq!(listed.keys().collect::<Vec<_>>(), self.0.keys().collect::<Vec<_>>());
        assert!(listed == self.0, "a backup holds something else");
    }
}

fn live(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let store = Memory::new(&format!("repeated-{seed}"));
    let host = Host::new(store.clone()).mortal();
    let mut expected = Expected::default();
    for round in 0..ROUNDS {
        let name = id(["x", "y", "z"][rng.usize(..3)]);
        let again = store.clone();
        store.pause_at(rng.u64(..60), move || again.repeat_deletions());
        if rng.bool() {
            store.set_stop(Some(Stop { at: store.changes() + rng.u64(1..30), applied: rng.bool() }));
        }
        let mut unknown = None;
        match rng.u32(..10) {
            0..=4 => {
                let content = content(seed * ROUNDS + round);
                let wish = Wish { backup: Some(name.clone()), full: rng.bool(), content: &content, snapshot: false };
                match host.back_up(&wish, &mut rng, |_| ()) {
                    Ok(made) => drop(expected.0.insert(made, content)),
                    Err(_) => unknown = Some((name, Some(content))),
                }
            }
            5 | 6 => match host.delete(&name, &mut rng) {
                Ok(()) => drop(expected.0.remove(&name)),
                Err(_) => unknown = Some((name, None)),
            },
            7 => drop(host.clean()),
            _ => store.let_time_pass(HOUR * [1, 12, 25][rng.usize(..3)]),
        }
        store.set_stop(None);
        store.end_pause();
        store.repeat_deletions();
        expected.check(&host, unknown);
    }
    host.check_cleaning(&format!("seed {seed}"));
}

#[test]
fn an_id_is_used_again_while_deletions_of_its_last_use_are_repeated() {
    each_seed(300, live);
}
