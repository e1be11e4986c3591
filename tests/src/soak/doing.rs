//! A command that need not succeed: what it does, and what is known when it has ended. And two of them at once.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::act::id_of;
use super::place::target;
use crate::Outcome;
use crate::run::Septet;

/// What a command does.
pub(super) enum Doing {
    /// It makes this backup.
    Backup(String),
    /// It deletes this one.
    Delete(String),
    /// It restores to the one target what should be this.
    Restore(Arc<Vec<u8>>),
    /// It changes nothing.
    Nothing,
}

impl World {
    /// Some command, to be run.
    pub(super) fn something(&mut self, volume: usize) -> (Doing, Septet) {
        let backup = self.volumes[volume].any_backup(&mut self.rng);
        match (self.rng.below(8), backup) {
            (0, Some((name, _))) => {
                let command = self.septet(volume, &["delete", "--json", &name]);
                (Doing::Delete(id_of(&name).to_owned()), command)
            }
            (1, Some((name, content))) => {
                let target = target(&self.scratch);
                let _ = fs::remove_file(&target);
                (Doing::Restore(content), self.septet(volume, &["restore", "--json", &name]).arg(target))
            }
            (2, Some(_)) => (Doing::Nothing, self.septet(volume, &["clean", "--json"])),
            (3, Some(_)) => (Doing::Nothing, self.septet(volume, &["verify", "--json"])),
            _ => {
                let (id, command) = self.backup_command(volume);
                (Doing::Backup(id), command)
            }
        }
    }

    /// What ended well is certain; of what did not, nothing is.
    pub(super) fn decide(&mut self, volume: usize, doing: Doing, outcome: &Outcome) {
        let well = outcome.status == Some(0);
        let volume = &mut self.volumes[volume];
        match doing {
            Doing::Backup(id) => volume.backed_up(id, well),
            Doing::Delete(id) if well => volume.deleted(&id),
            Doing::Delete(id) => volume.doubt(&id),
            Doing::Restore(content) if well => {
                crate::assert_bytes(&target(&self.scratch), &content);
                self.tally.bytes_compared += content.len() as u64;
            }
            Doing::Restore(_) | Doing::Nothing => {}
        }
    }

    /// Two commands side by side: both succeed, but where ARCHITECTURE.md says that one is told of the other.
    pub(super) fn two_at_once(&mut self, volume: usize) {
        let (one, two) = (self.something(volume), self.something(volume));
        let pause = Duration::from_micros(self.rng.next_u64() % 100_000);
        let first = one.1.spawn();
        std::thread::sleep(pause);
        let second = two.1.spawn();
        let outcomes = [first.wait(), second.wait()];
        for (doing, other, outcome) in [(&one.0, &two.0, &outcomes[0]), (&two.0, &one.0, &outcomes[1])] {
            let told = outcome.status == Some(1) && may_be_told(doing, other);
            assert!(outcome.status == Some(0) || told, "{outcome:?}");
        }
        for (doing, outcome) in [one.0, two.0].into_iter().zip(&outcomes) {
            self.decide(volume, doing, outcome);
        }
        self.tally.pairs += 1;
    }
}

/// Whether one command may fail because of another: what it builds on or restores is deleted, or its target is taken.
fn may_be_told(doing: &Doing, other: &Doing) -> bool {
    matches!(
        (doing, other),
        (Doing::Backup(_) | Doing::Restore(_) | Doing::Delete(_), Doing::Delete(_))
            | (Doing::Restore(_), Doing::Restore(_))
    )
}
