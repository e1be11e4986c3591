//! Commands that need not succeed: what each does, and what is known after its end. Also runs two of them at once.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::act::id_of;
use super::place::target;
use crate::Outcome;
use crate::run::Septet;

/// The effect of a command.
pub(super) enum Doing {
    /// Makes this backup.
    Backup(String),
    /// Deletes this backup.
    Delete(String),
    /// Restores a backup with this content to the common target.
    Restore(Arc<Vec<u8>>),
    /// Changes nothing.
    Nothing,
}

impl World {
    /// A random command, not run yet.
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

    /// Updates the model after a command. The effect of a successful command is certain, that of a failed one is not.
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

    /// Runs two commands at the same time. Both must succeed, unless ARCHITECTURE.md says that one may fail because of
    /// the other.
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

/// Whether one command may fail because of another: the other deletes the backup that it uses, or has the same target.
fn may_be_told(doing: &Doing, other: &Doing) -> bool {
    matches!(
        (doing, other),
        (Doing::Backup(_) | Doing::Restore(_) | Doing::Delete(_), Doing::Delete(_))
            | (Doing::Restore(_), Doing::Restore(_))
    )
}
