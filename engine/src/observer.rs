//! Receives progress, notes and damage while a request is carried out.

use septet_format::{BackupId, VolumeName};
use septet_ipc::message::{Damage, Progress};

/// The operation that is about to begin.
#[derive(Debug, Clone, Copy)]
pub enum Doing<'a> {
    /// A volume is backed up.
    BackUp {
        /// The volume's name.
        volume: &'a VolumeName,
        /// The backup that is being made.
        backup: &'a BackupId,
        /// The parent: the backup with which it is compared.
        parent: Option<&'a BackupId>,
    },
    /// A backup is restored.
    Restore {
        /// The volume's name.
        volume: &'a VolumeName,
        /// The backup.
        backup: &'a BackupId,
    },
    /// Backups of a volume are verified.
    Verify {
        /// The volume's name.
        volume: &'a VolumeName,
        /// The backups.
        backups: &'a [BackupId],
    },
    /// Backups of a volume are deleted.
    Delete {
        /// The volume's name.
        volume: &'a VolumeName,
        /// The backups.
        backups: &'a [BackupId],
    },
}

/// Receives messages about a request while it is carried out.
pub trait Observer {
    /// An operation is about to begin.
    fn begins(&mut self, doing: &Doing);
    /// The progress of the agents. The first call says that all agents have opened what they work on.
    fn progress(&mut self, progress: &Progress);
    /// A message for the user.
    fn note(&mut self, text: &str);
    /// Damage that was found.
    fn damage(&mut self, damage: &Damage);
    /// A step of a smoke test has passed.
    fn passed(&mut self, step: &str, result: &str);
}

/// Ignores everything.
impl Observer for () {
    fn begins(&mut self, _: &Doing) {}
    fn progress(&mut self, _: &Progress) {}
    fn note(&mut self, _: &str) {}
    fn damage(&mut self, _: &Damage) {}
    fn passed(&mut self, _: &str, _: &str) {}
}

/// Records whether the agents have begun to work, and forwards everything.
pub(crate) struct Watched<'a> {
    observer: &'a mut dyn Observer,
    /// Whether the agents have opened everything that they need.
    pub(crate) at_work: bool,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(observer: &'a mut dyn Observer) -> Self {
        Self { observer, at_work: false }
    }
}

impl Observer for Watched<'_> {
    fn begins(&mut self, doing: &Doing) {
        self.observer.begins(doing);
    }

    fn progress(&mut self, progress: &Progress) {
        self.at_work = true;
        self.observer.progress(progress);
    }

    fn note(&mut self, text: &str) {
        self.observer.note(text);
    }

    fn damage(&mut self, damage: &Damage) {
        self.observer.damage(damage);
    }

    fn passed(&mut self, step: &str, result: &str) {
        self.observer.passed(step, result);
    }
}
