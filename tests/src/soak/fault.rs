//! The operations with faults: runs that are killed, stores that fail, objects that are damaged.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::World;
use super::act::id_of;
use super::doing::Doing;
use super::place::target;
use crate::damage::{flipped, ranges};
use crate::{Outcome, Running};

impl World {
    /// Kills a run, or one of its agents, at a random moment (kill -9).
    pub(super) fn kill(&mut self, volume: usize) {
        let (doing, command) = self.something(volume);
        let pause = Duration::from_micros(self.rng.next_u64() % 200_000);
        let agent = self.rng.below(2) == 0;
        let mut run = command.spawn();
        std::thread::sleep(pause);
        if agent {
            self.kill_agent(&run);
        } else {
            run.kill_all();
        }
        let outcome = run.wait();
        self.survived(volume, doing, &outcome);
    }

    fn kill_agent(&mut self, run: &Running) {
        let agents = run.agents();
        if !agents.is_empty() {
            let pid = i32::try_from(agents[self.rng.below(agents.len())].pid).expect("a process id");
            // The agent may have ended meanwhile.
            let _ = kill_process(Pid::from_raw(pid).expect("an id"), Signal::KILL);
        }
    }

    /// Runs a command while the store is full or its server has faults.
    pub(super) fn store_fails(&mut self, volume: usize) {
        self.impatient = true;
        let (doing, command) = self.something(volume);
        self.impatient = false;
        let failing = self.places[self.volumes[volume].place].fail(&mut self.rng);
        let outcome = command.run();
        drop(failing);
        assert!(matches!(outcome.status, Some(0 | 1)), "{outcome:?}");
        self.survived(volume, doing, &outcome);
    }

    fn survived(&mut self, volume: usize, doing: Doing, outcome: &Outcome) {
        self.tally.faults += u64::from(outcome.status != Some(0));
        self.decide(volume, doing, outcome);
    }

    /// Flips a bit of an object. No restore may return a wrong byte, and the verification must name all damaged
    /// backups. A full backup then protects the volume again.
    pub(super) fn damage(&mut self, volume: usize) {
        let place = self.volumes[volume].place;
        let store = self.places[place].store();
        let of_volume = format!("{}/", self.volumes[volume].name);
        let is_target = |key: &&String| key.starts_with(&of_volume) && !key.ends_with(".json");
        let keys = self.places[place].objects();
        let keys: Vec<&String> = keys.iter().filter(is_target).collect();
        if keys.is_empty() || self.volumes[volume].backups().is_empty() {
            return;
        }
        let key = keys[self.rng.below(keys.len())];
        let bytes = store.get(key, 1 << 30).expect("an object");
        let at = self.rng.below(bytes.len());
        store.put(key, flipped(bytes, at).into()).expect("damaging an object");
        let named = self.named_by_verify(volume);
        for name in self.damaged_backups(volume) {
            assert!(named.contains(&name), "{name} is damaged by bit flips in {key}, and verify named only {named:?}");
        }
        self.repair(volume, &named);
        self.tally.faults += 1;
    }

    /// Rebuilds tables, and makes a full backup to replace lost data.
    fn repair(&mut self, volume: usize, named: &BTreeSet<String>) {
        for name in named {
            self.septet(volume, &["rebuild", name]).run();
        }
        self.back_up_full(volume);
        for name in self.named_by_verify(volume) {
            self.septet(volume, &["delete", "--json", &name]).ok();
            self.volumes[volume].deleted(id_of(&name));
        }
    }

    /// The backups that a verification reports as damaged.
    fn named_by_verify(&self, volume: usize) -> BTreeSet<String> {
        let found = self.septet(volume, &["verify", "--json"]).run();
        let summary = found.summary();
        let text = |item: &Value, key: &str| item[key].as_str().expect("a name").to_owned();
        let damaged = summary["damaged"].as_array().expect("a list").iter();
        let named: BTreeSet<_> =
            damaged.map(|item| format!("{}/{}", text(item, "volume"), text(item, "backup"))).collect();
        assert_eq!(found.status, Some(if named.is_empty() { 0 } else { 3 }), "{found:?}");
        named
    }

    /// The backups that do not restore completely. Asserts that everything restored is correct.
    fn damaged_backups(&mut self, volume: usize) -> Vec<String> {
        let mut damaged = Vec::new();
        for (name, content) in self.volumes[volume].backups() {
            let target = target(&self.scratch);
            let _ = fs::remove_file(&target);
            let outcome = self.septet(volume, &["restore", "--json", "--keep-going", &name]).arg(&target).run();
            match outcome.status {
                Some(0) => crate::assert_bytes(&target, &content),
                Some(3) => {
                    let missing = ranges(&outcome.summary()["damaged"]);
                    let restored = fs::read(&target).expect("what could be restored");
                    let wrong = (0..content.len())
                        .find(|at| restored[*at] != content[*at] && !missing.iter().any(|range| range.contains(at)));
                    assert_eq!((wrong, restored.len()), (None, content.len()), "{name}: {missing:?}");
                }
                // The map is damaged, so no block can be found.
                Some(1) => {}
                _ => panic!("{outcome:?}"),
            }
            self.tally.bytes_compared += content.len() as u64;
            if outcome.status != Some(0) {
                damaged.push(name);
            }
        }
        damaged
    }
}
